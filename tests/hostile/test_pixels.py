"""Images that can be read and are not what they seem: copied, turned, of other grey levels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edits import edit_image

from hostile import Case, ids

SEGMENT = "run-all {p}/project.toml --until segment"
ALIGN = "run-all {p}/project.toml --until align"


def images(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).glob("*.tif"))


def copied(folder: Path) -> None:
    """The second well is a copy of the first, in both rounds."""
    for name in ("CP", "GT"):
        first, second, *_ = images(folder, name)
        shutil.copy(first, second)


def filled(value: float, dtype: str = "float32"):
    """Give some pixels of an image another value."""

    def change(image: np.ndarray) -> np.ndarray:
        image = image.astype(dtype)
        image[0, 10:12, 10] = value
        return image

    return change


NOT_FINITE = [
    Case(
        name=f"{name} pixels in {round_name}",
        kind="silent",
        command=ALIGN,
        plate="raw",
        prepare=edit_image(round_name, filled(value), only=0),
        says=("WellB02", "holds 2 pixels without a finite value", "project.exclude"),
        silent_on=("RuntimeWarning",),
        status=0,
    )
    for name, value in (("NaN", np.nan), ("infinite", np.inf))
    for round_name in ("CP", "GT")
]
GREY_LEVELS = [
    Case(
        name=f"one field holds {name}",
        kind="silent",
        command=SEGMENT,
        plate="raw",
        prepare=edit_image("CP", change, only=0),
        says=says,
        status=0,
    )
    for name, change, says in (
        (
            "8 bits",
            lambda image: (image >> 8).astype("uint8"),
            ("uint8 (B-02-01)", "brightness of objects"),
        ),
        (
            "signed numbers",
            lambda image: (image.astype("int32") - 3000).astype("int16"),
            ("int16 (B-02-01)",),
        ),
        (
            "fractions",
            lambda image: (image / 65535).astype("float32"),
            ("float32 (B-02-01)", "brightness of objects"),
        ),
        (
            "12 bits shifted to 16",
            lambda image: np.minimum(image.astype("int64") * 16, 65535).astype("uint16"),
            ("brightness of objects", "1 of 7 fields (demo/B-02-01)", "bit depth"),
        ),
    )
]
CASES = [
    *NOT_FINITE,
    *GREY_LEVELS,
    Case(
        name="one bit per pixel",
        kind="unclear",
        command="rename {p}/project.toml",
        plate="raw",
        prepare=edit_image("CP", lambda image: image > 1000, only=0),
        says=("bool (B-02-01)",),
        silent_on=("is damaged",),
        status=0,
    ),
    Case(
        name="a well is a copy of another",
        kind="silent",
        command=SEGMENT,
        plate="raw",
        prepare=copied,
        says=("the same image under two names: WellB02", "and WellB03", "count twice"),
        status=0,
    ),
    *(
        Case(
            name=f"the round is {name}",
            kind="silent",
            command=ALIGN,
            plate="raw",
            prepare=edit_image("GT", change),
            says=(
                "of 7 fields do not match Cell Painting",
                "is it mirrored, or turned by 90 or 180 degrees?",
            ),
            silent_on=("nan", "7 fields aligned"),
            status=0,
        )
        for name, change in (
            ("upside down", lambda image: image[:, ::-1, ::-1]),
            ("mirrored", lambda image: image[:, :, ::-1]),
            ("transposed", lambda image: image.swapaxes(1, 2)),
        )
    ),
    Case(
        name="no field is left",
        kind="unclear",
        command="run-all {p}/project.toml --until crop",
        plate="raw",
        prepare=edit_image("GT", lambda image: image[:, ::-1, ::-1]),
        says=("'crop' has no field to work on: 7 fields left out by align",),
        silent_on=("to write",),
        status=2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("silent")
def test_a_match_among_fields_that_match_nothing_is_unsure():
    from nucprof.alignment.report import RoundRecord, mismatched, registration_table, strange_fields

    refused = RoundRecord("GT", 5, score=0.3, threshold=0.5)
    matched = RoundRecord("GT", 5, score=0.6, threshold=0.5, shift_y=9.0, shift_x=1.0)
    fields = {f"B-0{n}-01": ("excluded", [refused]) for n in range(2, 8)}
    records = {("p", name): value for name, value in fields.items()}
    records["p", "C-02-01"] = ("done", [matched])
    table = registration_table(records)
    assert table["status"].tolist() == ["failed"] * 6 + ["unsure"]
    assert "may be chance" in strange_fields(table)[0]
    assert "6 of 7 fields do not match" in mismatched(table)[0]
