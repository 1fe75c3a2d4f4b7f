"""Images that are in a project twice: the same bytes under two names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nucprof.plate.words import some
from nucprof.raw.index import ImageIndex
from nucprof.stages.base import Entry


def copied_images(
    entries: Iterable[Entry], images: ImageIndex, known: Iterable[Entry] = ()
) -> list[str]:
    """Warn of microscope images that have the same content under different names.

    Parameters
    ----------
    entries : iterable of Entry
        The jobs of a stage; what they read has been hashed.
    images : ImageIndex
        Which of the files that they read are images of the microscope.
    known : iterable of Entry
        Jobs of earlier stages, which have told of copies among their own images.
    """
    listed = {
        path
        for channels in images.channels.values()
        for source in channels.values()
        for path in source.planes
    }
    told = _by_content(known, listed)
    pairs = [
        f"{_told(first, copy)} and {_told(copy, first)}"
        for content, (first, *copies) in _by_content(entries, listed).items()
        for copy in copies
        if {first, copy} - set(told.get(content, ()))
    ]
    if not pairs:
        return []
    return [
        f"the same image under two names: {some(pairs)}. Their cells count twice; check whether "
        "files were copied, and leave one out (project.exclude)"
    ]


def _told(path: Path, other: Path) -> str:
    """A file's name; with its folder if the other file has the same name."""
    return path.name if path.name != other.name else f"{path.parent.name}/{path.name}"


def _by_content(entries: Iterable[Entry], listed: set[Path]) -> Mapping[str, list[Path]]:
    found: dict[str, dict[Path, None]] = {}
    for entry in entries:
        for name, fingerprint in entry.inputs.items():
            if fingerprint is not None and Path(name) in listed:
                found.setdefault(fingerprint[2], {})[Path(name)] = None
    return {content: sorted(paths) for content, paths in found.items()}
