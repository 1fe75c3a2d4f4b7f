"""One colour per class in all figures of a project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nucprof.errors import UserError
from nucprof.figures.canvas import NO_CLASS, PALETTE
from nucprof.io.files import read_json, write_json

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
WITHOUT = ("undefined", "uncertain")
"""What cells without a class are called; they are grey."""


def project_colours(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The colours of classes and cultures, as kept in ``colours.json``; new names get the next one.

    A name keeps its colour for as long as the file exists. The file may be edited.

    Parameters
    ----------
    path : Path
        The file; it is made where it is missing.
    names : sequence of str
        Classes or cultures.

    Returns
    -------
    dict
        Name -> colour, ``#rrggbb``.

    Raises
    ------
    UserError
        The file holds something else.
    """
    held = _read(path) if path.is_file() else {}
    new = [name for name in dict.fromkeys(names) if name not in held and name not in WITHOUT]
    for name in new:
        free = [colour for colour in PALETTE if colour not in held.values()]
        held[name] = free[0] if free else PALETTE[len(held) % len(PALETTE)]
    if new:
        write_json(path, held)
    return {name: held.get(name, NO_CLASS) for name in names}


def _read(path: Path) -> dict[str, str]:
    held = read_json(path)
    pairs = held.items() if isinstance(held, dict) else [("colours", held)]
    for name, colour in pairs:
        if not (isinstance(colour, str) and _COLOUR.fullmatch(colour)):
            raise UserError(
                f"{path}: '{name}' = {colour!r} is no colour like \"#cc0000\". Correct it, or move "
                "the file away; nucprof then makes it again."
            )
    return dict(pairs)
