"""Every rule finds its fault, says where it is and what to do, and finds nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nucprof.report.doubts import RULES, find_doubts
from nucprof.report.facts import Facts, Lost, Score

GOOD = Score("network", 0.95, 0.5, 0.55, p_value=0.01, p_value_min=0.01, unit="well")
FINE = Facts(
    fields=12,
    dim={"p": 0.02},
    crop_px=60,
    diameter_px={"p": 20.0},
    lost={"p": Lost(before=1000, lost=10, outside=60)},
    classes={"astro": 300, "neuro": 350},
    scores=(GOOD, replace(GOOD, method="forest")),
    validation={"co-culture": ["p/D03", "p/D09"]},
    cells_of_wells={"p/D02": 45},
)
FAULTS = {
    "outdated": (
        {"outdated": ["features", "gate"]},
        ["results of features, gate were not up to date", "run-all"],
    ),
    "failed": ({"failed": {"segment": ["p/B-02-01"]}}, ["p/B-02-01", "nucprof segment"]),
    "left-out": ({"left_out": {"align": ["p/B-02-01", "p/B-02-02"]}}, ["align left out 2 fields"]),
    "flagged": (
        {"flagged": {"p/B-02-01": ["focus 0.01 (plate: 0.05)"]}},
        ["1 of 12 fields", "p/B-02-01", "focus 0.01", "project.exclude"],
    ),
    "dim": ({"dim": {"p": 0.3}}, ["plate p: 30%", "segment.min_contrast"]),
    "small-crop": (
        {"crop_px": 18},
        ["18 px", "20 px", 'crop.patch_size = "auto"', "at least 40"],
    ),
    "registration": ({"strange": {"GT": ["p/B-02-01"]}}, ["round GT", "p/B-02-01"]),
    "lost": (
        {"lost": {"p": Lost(before=1000, lost=80, outside=60)}},
        ["80 of 1000 cells (8%)", "align.lost_ratio"],
    ),
    "uneven": (
        {"uneven": ["EdU is brighter on plate b than on plate a"]},
        ["EdU is brighter on plate b", 'gate.per = "plate"', "--cutoff PLATE/MARKER=NUMBER"],
    ),
    "few-of-a-class": ({"classes": {"astro": 0, "neuro": 350}}, ["class astro has no cells"]),
    "chance": (
        {"scores": (replace(GOOD, f1=0.5, p_value=0.4),)},
        ["the network is no better than its shuffled control", "0.500", "0.550"],
    ),
    "validation": ({"validation": {"co-culture": ["p/D03"]}}, ["one well of co-culture (p/D03)"]),
    "small-wells": (
        {"cells_of_wells": {"p/D02": 20, "p/D03": 45}},
        ["1 well rests on 20 cells or fewer (p/D02: 20)"],
    ),
}


def test_a_crop_must_hold_an_elongated_nucleus() -> None:
    # 1.25 times the diameter of 20 px, as the crop stage warns
    assert [doubt.kind for doubt in find_doubts(replace(FINE, crop_px=24))] == ["small-crop"]


def test_a_plate_without_faults_has_no_doubts() -> None:
    assert find_doubts(FINE) == []
    assert find_doubts(Facts()) == []


@pytest.mark.parametrize("kind", [rule.kind for rule in RULES])
def test_every_rule_finds_its_fault_alone(kind: str) -> None:
    changes, words = FAULTS[kind]
    (doubt,) = find_doubts(replace(FINE, **changes))
    assert doubt.kind == kind
    for word in words:
        assert word in doubt.line
    assert doubt.advice[0].isupper()
    assert doubt.line.endswith(".")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": {"astro": 20}}, "class astro has 20 cells"),
        (
            {"lost": {"p": Lost(before=100, lost=0, outside=30)}},
            "30 of 100 cells (30%) lie outside",
        ),
        (
            {"scores": (replace(GOOD, method="forest", p_value=0.25, p_value_min=0.25),)},
            "the forest cannot be told from chance with so few wells",
        ),
        (
            {"cells_of_wells": {f"p/B{n:02d}": n for n in range(1, 8)}},
            "7 wells rests on 20 cells or fewer "
            "(p/B01: 1, p/B02: 2, p/B03: 3, p/B04: 4 and 3 more)",
        ),
    ],
)
def test_other_forms_of_a_fault(changes, words) -> None:
    (doubt,) = find_doubts(replace(FINE, **changes))
    assert words in doubt.line


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": {"astro": 21}},
        {"crop_px": 25},
        {"crop_px": None},
        {"lost": {"p": Lost(before=1000, lost=50, outside=250)}},
        {"lost": {"p": Lost(before=0, lost=0, outside=0)}},
        {"dim": {"p": 0.1}},
        {"cells_of_wells": {"p/D02": 21}},
        {"scores": (replace(GOOD, p_value=0.05),)},
    ],
)
def test_the_limits_themselves_are_fine(changes) -> None:
    assert find_doubts(replace(FINE, **changes)) == []


def test_every_rule_has_words_for_what_it_looks_for() -> None:
    assert all(rule.words and not rule.words.endswith(".") for rule in RULES)
    assert len({rule.kind for rule in RULES}) == len(RULES)
