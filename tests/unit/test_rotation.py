"""Rounds that are turned, magnified, or that only seem to match."""

import dataclasses
import math

import numpy as np
import pytest

from nucprof.core.registration import NOTHING, estimate_shift, register
from nucprof.core.verdict import advice, doubt, refusal
from nucprof.errors import DataError

RADIUS = 7.5


@pytest.mark.parametrize(
    "where",
    [
        {"angle": 0.5},
        {"angle": 1.0},
        {"angle": -3.0},
        {"angle": 9.0},
        {"scale": 1.02},
        {"scale": 0.98, "angle": 2.0},
    ],
    ids=str,
)
def test_turned_and_magnified_rounds(scene, where):
    """A shift alone gave a third of the cells their neighbour's class at 2 degrees."""
    where = {"shift": (11.4, -17.8), **where}
    field = scene(1)
    found = register(field.draw(), field.draw(**where), radius_px=RADIUS, max_shift_px=80)
    assert found.significant
    assert found.angle == pytest.approx(where.get("angle", 0), abs=0.1)
    assert found.scale == pytest.approx(where.get("scale", 1), abs=0.002)
    assert field.error(found, **where) < 0.6
    assert found.residual < 0.5
    assert not refusal(found, "auto", RADIUS)
    assert not doubt(found, "auto")


@pytest.mark.parametrize(
    "kind", [{}, {"noise": 250}, {"count": 12}, {"shape": (220, 250)}], ids=str
)
def test_a_translation_stays_what_it_was(scene, kind):
    kind = dict(kind)
    noise = kind.pop("noise", 15)
    for seed in range(3):
        field = scene(seed, **kind)
        pair = field.draw(noise=noise), field.draw(noise=noise, shift=(-8.3, 14.6))
        found = register(*pair, radius_px=RADIUS, max_shift_px=60)
        plain = estimate_shift(*pair, max_shift_px=60)
        judged = dataclasses.replace(
            plain, residual=found.residual, agreement=found.agreement, others=found.others
        )
        assert found == judged  # to the last bit
        assert found.is_translation
        assert found.agreement > 0.66
        assert not refusal(found, "auto", RADIUS)
        assert not doubt(found, "auto") or not found.significant


def test_the_model_can_be_asked_for(scene):
    field = scene(2)
    where = {"shift": (3.0, 4.0), "angle": 1.0}
    pair = field.draw(), field.draw(**where)
    shifted = register(*pair, radius_px=RADIUS, model="translation")
    assert shifted.is_translation
    refused = refusal(shifted, "translation", RADIUS)
    assert "quarter of the nuclear radius" in refused
    turned = register(*pair, radius_px=RADIUS)
    assert "turned by 1.0" in advice(turned)
    assert advice(shifted) == ""
    pair = field.draw(), field.draw(shift=(3.0, 4.0))
    asked = register(*pair, radius_px=RADIUS, model="similarity")
    assert not asked.is_translation
    assert field.error(asked, shift=(3.0, 4.0)) < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_another_stain_that_lies_beside_the_nuclei_is_refused(scene, seed):
    """Such fields had a score above chance, and a third of them were more than 3 px off."""
    field = scene(seed, count=150)
    direction = field.rng.uniform(0, 2 * np.pi, len(field.points))
    beside = field.points + 9 * np.column_stack((np.sin(direction), np.cos(direction)))
    found = register(field.draw(), field.draw(points=beside, shift=(5, 5)), radius_px=RADIUS)
    assert refusal(found, "auto", RADIUS)


def test_a_part_of_the_nuclei_in_another_stain_is_enough(scene):
    field = scene(5, count=200)
    shown = field.rng.random(len(field.points)) < 0.3
    found = register(
        field.draw(), field.draw(levels=field.levels * shown, shift=(5, 5)), radius_px=RADIUS
    )
    assert field.error(found, shift=(5, 5)) < 0.4
    assert not refusal(found, "auto", RADIUS)
    assert not doubt(found, "auto")


def test_unrelated_fields_match_at_no_angle(scene):
    for seed in range(3):
        pair = scene(seed).draw(), scene(100 + seed).draw()
        found = register(*pair, radius_px=RADIUS, max_shift_px=60)
        assert "at no angle" in refusal(found, "auto", RADIUS)


def test_a_field_without_nuclei_or_with_an_impossible_radius(scene):
    pair = scene(0).draw(), scene(0).draw(shift=(4, 4))
    found = register(*pair, radius_px=None)
    assert found.is_translation
    assert not refusal(found, "auto", None)
    with pytest.raises(DataError, match="radius"):
        register(*pair, radius_px=0.0)


def test_verdicts_in_words():
    good = dataclasses.replace(
        NOTHING, shift_y=5.0, shift_x=0.0, significant=True, residual=0.1, agreement=1.0, others=6
    )
    assert refusal(good, "auto", 8.0) == ""
    assert doubt(good, "auto") == ""
    bent = dataclasses.replace(good, residual=2.1, angle=4.25)
    assert "turned by 4.25 degrees" in refusal(bent, "auto", 8.0)
    assert refusal(bent, "auto", 9.0) == ""
    assert "only 55%" in doubt(dataclasses.replace(good, agreement=0.55), "auto")
    assert "no part" in doubt(dataclasses.replace(good, residual=math.nan), "auto")
    assert "too little" in doubt(good, "similarity")
    still = dataclasses.replace(good, shift_y=0.2)
    assert doubt(still, "auto") == ""
    assert "too few other wells" in doubt(dataclasses.replace(still, others=2), "auto")
    beyond = dataclasses.replace(good, significant=False, at_limit=True)
    assert "align.max_shift_px" in refusal(beyond, "translation", 8.0)
