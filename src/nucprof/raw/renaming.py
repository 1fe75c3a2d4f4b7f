"""Linking and moving raw files; all names are checked before the first file is touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.io.files import read_json, write_json
from nucprof.io.results import Results
from nucprof.raw.channels import channel_of_token
from nucprof.raw.round_files import RoundFiles

BESIDE = "nucprof-moved.json"
"""The file next to the images that lists their old names."""


def rename_targets(
    read: Sequence[RoundFiles], settings: RenameSettings, results: Results
) -> list[tuple[Path, Path]]:
    """Every file and its name in mode link (below the results) or move (in its own folder).

    Raises
    ------
    ProjectError
        A file holds several fields, or a channel several files, so they cannot be named by field.
    """
    targets = []
    for found in read:
        r = found.round
        below = results.folder("raw", r.plate, r.name)
        for key, files in found.fields.items():
            tokens = Counter(file.parsed.channel for file in files)
            positions = found.infos[files[0].path].positions
            if len(positions) > 1 or max(tokens.values()) > 1 or positions[0].parts:
                raise ProjectError(
                    f"{r.text}: rename.mode = {settings.mode} gives every file the name of its "
                    f"field, but {files[0].path.name} holds several fields, one of several focal "
                    "planes or times, or belongs to a set of files. Use rename.mode = index, which "
                    "touches no file."
                )
            for file in files:
                token = file.parsed.channel
                single = found.infos[file.path].planes == 1 and len(r.channels) > 1
                suffix = f"_{channel_of_token(found, token, settings)}" if token and single else ""
                folder = file.path.parent if settings.mode == "move" else below
                name = f"{key}{suffix}{file.path.suffix.lower()}"
                targets.append((file.path, folder / name))
    return targets


def rename_files(targets: list[tuple[Path, Path]], mode: str, log: Path) -> dict[Path, Path]:
    """Link or move files; returns the new path of each renamed file.

    Parameters
    ----------
    targets : list of (Path, Path)
        Every file and the name it gets.
    mode : str
        ``link`` (hard links) or ``move``.
    log : Path
        Where the moves are recorded, before the first is made.

    Raises
    ------
    ProjectError
        A name is taken (nothing was touched), or the file system refuses.
    """
    todo = [(source, target) for source, target in targets if source != target]
    names = Counter(target for _, target in targets)
    taken = sorted(
        {str(t) for t, claims in names.items() if claims > 1}
        | {str(t) for s, t in todo if t.exists() and not os.path.samefile(s, t)}
    )
    if taken:
        raise ProjectError(f"rename: these names exist already, nothing was renamed: {_few(taken)}")
    if mode == "move":
        before = read_json(log) if log.exists() else {}
        write_json(log, before | {str(target): str(source) for source, target in todo})
        _write_beside(todo)
    for source, target in todo:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if mode == "move":
                source.rename(target)
            elif not target.exists():
                os.link(source, target)
        except OSError as error:
            raise ProjectError(
                f"rename: {source} cannot become {target}: {error}. Hard links need both on one "
                "disk; mode index needs none."
            ) from None
    return dict(todo)


def _write_beside(moves: list[tuple[Path, Path]]) -> None:
    """Write old names next to the files: results may be deleted, but old names must be kept."""
    for folder in {target.parent for _, target in moves}:
        own = {t.name: s.name for s, t in moves if t.parent == folder}
        path = folder / BESIDE
        write_json(path, (read_json(path) if path.exists() else {}) | own)


def moved_from(log: Path, folders: Iterable[Path]) -> dict[Path, Path]:
    """Present name -> original name of every file that was moved.

    ``log`` is in the results folder; another list is in each of the image ``folders``.
    """
    moved = {
        folder / new: folder / old
        for folder in folders
        if (folder / BESIDE).exists()
        for new, old in read_json(folder / BESIDE).items()
    }
    if log.exists():
        moved |= {Path(new): Path(old) for new, old in read_json(log).items()}
    return moved


def undo_moves(log: Path, folders: Collection[Path]) -> int:
    """Restore the old names of moved files; returns their number. Raises :class:`ProjectError`."""
    moved = moved_from(log, folders)
    if not moved:
        raise ProjectError(f"{log} lists no file that was moved: there is nothing to undo.")
    taken = [str(old) for new, old in moved.items() if new.exists() and old.exists()]
    if taken:
        raise ProjectError(
            f"rename --undo: these names exist already, nothing was moved: {_few(taken)}"
        )
    count = 0
    for new, old in reversed(moved.items()):  # a file moved twice goes back in two steps
        if new.exists():
            new.rename(old)
            count += 1
    for path in (log, *(folder / BESIDE for folder in folders)):
        path.unlink(missing_ok=True)
    return count


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
