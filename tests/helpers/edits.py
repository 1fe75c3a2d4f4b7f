"""What is done to the files of a project: functions that get its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Edit = Callable[[Path], object]


def both(*edits: Edit) -> Edit:
    """Do several things in turn."""

    def edit(folder: Path) -> None:
        for one in edits:
            one(folder)

    return edit


def put(name: str, content: bytes | str) -> Edit:
    """Write a file."""

    def edit(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return edit


def half(name: str) -> Edit:
    """Keep the first half of a file, as an interrupted copy does."""

    def edit(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return edit


def remove(name: str) -> Edit:
    """Delete a file."""
    return lambda folder: (folder / name).unlink()


def swap(name: str, old: str, new: str) -> Edit:
    """Replace a text in a file, where it is there."""

    def edit(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def edit_json(name: str, change: Callable[[Any], object]) -> Edit:
    """Change what a JSON file holds, in place."""

    def edit(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        change(held)
        (folder / name).write_text(json.dumps(held), encoding="utf-8")

    return edit


def edit_line(name: str, **values: Any) -> Edit:
    """Give the first line of a journal other values."""

    def edit(folder: Path) -> None:
        first, *rest = (folder / name).read_text(encoding="utf-8").splitlines()
        line = json.dumps({**json.loads(first), **values})
        (folder / name).write_text("\n".join([line, *rest]) + "\n", encoding="utf-8")

    return edit


def add_line(name: str, **values: Any) -> Edit:
    """Add a line to a journal."""

    def edit(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    return edit


def edit_table(name: str, change: Callable[[Any], Any]) -> Edit:
    """Change a table: ``change`` gets a DataFrame and returns one."""

    def edit(folder: Path) -> None:
        import pandas as pd

        path = folder / name
        csv = path.suffix == ".csv"
        table = change(pd.read_csv(path) if csv else pd.read_parquet(path))
        table.to_csv(path, index=False) if csv else table.to_parquet(path, index=False)

    return edit


def edit_image(name: str, change: Callable[[Any], Any], only: int | None = None) -> Edit:
    """Change the pixels of the images of a folder: all of them, or the one of this number."""

    def edit(folder: Path) -> None:
        import numpy as np
        import tifffile

        for number, path in enumerate(sorted((folder / name).glob("*.tif"))):
            if only in (None, number):
                image = np.ascontiguousarray(change(tifffile.imread(path)))
                tifffile.imwrite(path, image, photometric="minisblack")

    return edit
