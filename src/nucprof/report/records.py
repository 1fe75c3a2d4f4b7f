"""Plain records that the report is made from."""

from __future__ import annotations

from collections.abc import Mapping
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
