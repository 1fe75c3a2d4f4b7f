"""Plain records that the report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageRun:
    """What the manifest records of a stage.

    Attributes
    ----------
    name : str
        The stage, with ``@NAME`` for results stored under another name than ``default``.
    status : str
        ``done``, ``partial``, ``failed`` or ``not needed``.
    parameters : mapping
        Its settings by their dotted names.
    overrides : mapping
        Those of them that were flags and differ from the project file.
    versions, models : mapping
        Versions of the packages; hashes of the segmentation models, by name.
    counts : mapping
        Of jobs, fields, cells.
    failures, excluded : tuple of mapping
        ``plate``, ``field``, ``reason`` and ``message`` of every field that failed or left.
    warnings : tuple of str
    finished : str
        When it ended, UTC.
    seconds : float
    """

    name: str
    status: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Mapping[str, str], ...] = ()
    excluded: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    finished: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class About:
    """What the report has to know of the project file.

    Attributes
    ----------
    name : str
    plates : tuple of str
    rounds : mapping
        Ground-truth round -> its channels.
    painted : tuple of str
        The Cell Painting channels.
    nuclei : str
        The nuclear channel.
    mixed : str
        The layout's name of mixed wells.
    objects : str
        ``nuclei`` or ``cells``: what is classified.
    crop_px : int or None
        Side of a crop; None where it follows from nuclei that are not measured yet.
    cultures : mapping
        ``plate/well`` -> its culture, by the layouts.
    """

    name: str
    plates: tuple[str, ...]
    rounds: Mapping[str, tuple[str, ...]]
    painted: tuple[str, ...]
    nuclei: str
    mixed: str
    objects: str
    crop_px: int | None = None
    cultures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A figure, inside the page and as a file.

    Attributes
    ----------
    title, caption : str
        What it shows, and how to read it.
    file : str
        Where it lies below the results folder.
    svg : str
        The figure, if it is drawn by lines.
    image : str
        The figure as a ``data:`` address, if it is a picture.
    wide : bool
        Whether it takes the whole width of the page.
    double : bool
        Whether it takes two columns of three.
    folded : bool
        Whether it is shown only on demand.
    """

    title: str
    caption: str
    file: str
    svg: str = ""
    image: str = ""
    wide: bool = False
    double: bool = False
    folded: bool = False

    kind = "figure"


@dataclass(frozen=True)
class Table:
    """A table; columns of numbers are set right-aligned.

    Attributes
    ----------
    title, caption : str
    columns : tuple of str
    rows : tuple of tuple
    numbers : frozenset of int
        Columns of numbers.
    folded : bool
        Whether it is shown only on demand.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    numbers: frozenset[int] = frozenset()
    folded: bool = False

    kind = "table"


@dataclass(frozen=True)
class Note:
    """Lines of text."""

    lines: Sequence[str]
    title: str = ""
    folded: bool = False

    kind = "note"


Block = Figure | Table | Note


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    id: str
    title: str
    blocks: Sequence[Block]
    intro: str = ""
