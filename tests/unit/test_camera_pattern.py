"""What the camera brings into every image: found, hidden, and no reason to accept a field."""

import numpy as np
import pytest

from nucprof.alignment.pattern_file import (
    Pair,
    describe_pattern,
    ensure_pattern,
    read_pattern,
    sample_fields,
)
from nucprof.core.pattern import Pattern, common, reduced, signature
from nucprof.core.registration import register
from nucprof.core.verdict import doubt, refusal
from nucprof.errors import UserError
from nucprof.io.arrays import read_arrays, write_arrays
from nucprof.io.images import write_image
from nucprof.plate.sources import Source

RADIUS = 7.5


def specks(shape, seed=0, count=30):
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    out = np.zeros(shape)
    for y, x in rng.uniform(20, np.array(shape) - 20, (count, 2)):
        out += 6000 * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 18)
    return out


def plate(scene, fields, related, common_part):
    """Pairs of images of `fields` wells, and their shifts; all show `common_part`."""
    pairs, shifts = [], []
    for k in range(fields):
        field = scene(k, shape=common_part.shape, count=70)
        other = field if related else scene(100 + k, shape=common_part.shape, count=70)
        shift = tuple(np.random.default_rng(k).uniform(-20, 20, 2))
        pairs.append((field.draw() + common_part, other.draw(shift=shift) + common_part))
        shifts.append(shift)
    return pairs, shifts


def pattern_of(pairs, own):
    here = [reduced(a, b.shape) for a, b in pairs]
    there = [reduced(b, a.shape) for a, b in pairs]
    others = [k for k in range(len(pairs)) if k != own][:6]
    return Pattern(
        common(here),
        common(there),
        tuple(signature(here[k]) for k in others),
        tuple(there[k] for k in others),
    )


@pytest.mark.parametrize("fields", [4, 14])
def test_unrelated_fields_that_share_specks_are_refused(scene, fields):
    """All of these were accepted, at shift 0."""
    dirt = specks((400, 440))
    pairs, _ = plate(scene, fields, False, dirt)
    alone = register(*pairs[0], radius_px=RADIUS)
    assert alone.significant
    assert np.hypot(alone.shift_y, alone.shift_x) < 1
    assert "too few other wells" in doubt(alone, "auto")
    for own in (0, 1):
        found = register(*pairs[own], radius_px=RADIUS, pattern=pattern_of(pairs, own))
        assert refusal(found, "auto", RADIUS)


def test_fields_under_the_same_specks_find_their_own_shift(scene):
    pairs, shifts = plate(scene, 14, True, specks((400, 440)))
    for own in (0, 1):
        found = register(*pairs[own], radius_px=RADIUS, pattern=pattern_of(pairs, own))
        assert np.hypot(*np.subtract((found.shift_y, found.shift_x), shifts[own])) < 0.3
        assert not refusal(found, "auto", RADIUS)
        assert not doubt(found, "auto")


def test_a_turned_round_under_the_same_specks(scene):
    dirt = specks((400, 440))
    pairs, _ = plate(scene, 14, True, dirt)
    field, where = scene(0, count=70), {"shift": (9.0, -4.0), "angle": 2.0}
    pairs[0] = field.draw() + dirt, field.draw(**where) + dirt
    found = register(*pairs[0], radius_px=RADIUS, pattern=pattern_of(pairs, 0))
    assert not refusal(found, "auto", RADIUS)
    assert field.error(found, **where) < 1.0


def test_the_common_part_and_nothing_else_is_hidden(scene):
    dirt = specks((400, 440))
    pairs, _ = plate(scene, 14, True, dirt)
    hidden = common([reduced(a, b.shape) for a, b in pairs])
    assert hidden[dirt > 600].all()
    assert hidden.mean() < 4 * (dirt > 600).mean()
    clean, _ = plate(scene, 14, True, np.zeros((400, 440)))
    assert not common([reduced(a, b.shape) for a, b in clean]).any()
    assert not common([reduced(a, b.shape) for a, b in pairs[:3]]).any()  # chance would do that


def test_a_clean_plate_changes_no_shift(scene):
    pairs, _ = plate(scene, 10, True, np.zeros((300, 300)))
    plain = register(*pairs[0], radius_px=RADIUS)
    found = register(*pairs[0], radius_px=RADIUS, pattern=pattern_of(pairs, 0))
    assert (found.shift_y, found.shift_x) == (plain.shift_y, plain.shift_x)
    assert found.others == 6


def test_copies_of_a_field_are_no_other_fields(scene):
    field = scene(0)
    pairs = [(field.draw(), field.draw(shift=(3, k))) for k in range(5)]
    found = register(*pairs[0], radius_px=RADIUS, pattern=pattern_of(pairs, 0))
    assert found.others == 0
    assert found.significant


# --- the file ------------------------------------------------------------------------------------


def test_sampled_fields():
    assert sample_fields(["B-02-01", "B-02-02"]) == ()  # one well
    few = ["C-03-01", "B-02-01", "B-02-02"]
    assert sample_fields(few) == ("B-02-01", "C-03-01", "B-02-02")
    plate = [f"B-{c:02d}-{s:02d}" for c in range(1, 61) for s in (1, 2, 3)]
    chosen = sample_fields(plate)
    assert len(chosen) == 18
    assert chosen == sample_fields(plate[::-1])
    assert {name[-2:] for name in chosen} == {"01", "02", "03"}
    assert chosen[:2] == ("B-01-01", "B-13-01")


def test_the_file_of_a_plate(scene, tmp_path):
    pairs, _ = plate(scene, 4, True, np.zeros((200, 200)))
    held = {}
    for number, images in enumerate([*pairs, pairs[0]]):
        paths = [tmp_path / f"{kind}{number}.tif" for kind in ("cp", "gt")]
        for path, image in zip(paths, images, strict=True):
            write_image(path, image[None].astype(np.uint16), ["DNA"])
        field = f"B-{number + 2:02d}-01"
        held[field] = Pair((Source(paths[0]),), (Source(paths[1]),))
    held["B-09-01"] = Pair((Source(tmp_path / "gone.tif"),), (Source(paths[1]),))
    path = tmp_path / "pattern" / "GT.npz"
    ensure_pattern(path, held)
    first = path.read_bytes()
    path.unlink()
    ensure_pattern(path, held)
    assert path.read_bytes() == first
    changed = path.stat().st_mtime_ns
    ensure_pattern(path, held)
    assert path.stat().st_mtime_ns == changed
    lines, warnings = describe_pattern(path, ("p", "GT"))
    assert lines == []
    assert "B-06-01" in warnings[0]  # the copy
    pattern = read_pattern(path, "B-03-01")
    assert len(pattern.rounds) == 3
    np.testing.assert_allclose(
        pattern.rounds[0], reduced(pairs[0][1].astype(np.uint16), (200, 200)), atol=0.01
    )


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"one": np.arange(3)})
    np.testing.assert_array_equal(read_arrays(path, ["one"])[0], [0, 1, 2])
    with pytest.raises(UserError, match=r"a\.npz (is damaged|cannot be read)"):
        read_arrays(path, ["two"])
    path.write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"a\.npz (is damaged|cannot be read)"):
        read_arrays(path, ["one"])
