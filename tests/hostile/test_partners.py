"""Ground-truth images that are not what they are said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hostile import Case, ids

UNTIL_ALIGN = "run-all {p}/project.toml --until align"


def rewrite(change):
    """Give every image of the round other pixels: ``change`` gets those of CP and of the round."""

    def edit(folder: Path) -> None:
        painted, imaged = (sorted((folder / name).iterdir()) for name in ("CP", "GT"))
        for one, other in zip(painted, imaged, strict=True):
            image = change(tifffile.imread(one), tifffile.imread(other))
            tifffile.imwrite(other, image, metadata={"axes": "CYX"}, photometric="minisblack")

    return edit


def turned(_, image: np.ndarray) -> np.ndarray:
    """The round, turned by 5 degrees on the stage."""
    from scipy.ndimage import rotate

    planes = [rotate(p.astype(float), 5, reshape=False, mode="reflect", order=1) for p in image]
    return np.stack(planes).astype(image.dtype)


def shifted_names(folder: Path) -> None:
    """Every image of the round gets the name of another well."""
    paths = sorted((folder / "GT").iterdir())
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)


CASES = [
    Case(
        name="the round repeats the pixels of Cell Painting",
        kind="silent",
        command=UNTIL_ALIGN,
        prepare=rewrite(lambda painted, _: painted[:3]),
        plate="raw",
        says=("has the very pixels of Cell Painting", "-63 same_image (align), 0 kept"),
        status=0,
    ),
    Case(
        name="the round is turned by 5 degrees",
        kind="silent",
        command=UNTIL_ALIGN,
        prepare=rewrite(turned),
        plate="raw",
        says=("turned or magnified, median 4.99 degrees",),
        status=0,
    ),
    Case(
        name="the images of the round are swapped between wells",
        kind="silent",
        command=UNTIL_ALIGN,
        prepare=shifted_names,
        plate="raw",
        says=("does not match the Cell Painting image better than chance", "no field aligned"),
        status=0,
    ),
    Case(
        name="the round is empty",
        kind="silent",
        command=UNTIL_ALIGN,
        prepare=rewrite(lambda _, image: np.zeros_like(image)),
        plate="raw",
        says=("no field aligned", "0 kept"),
        status=0,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)
