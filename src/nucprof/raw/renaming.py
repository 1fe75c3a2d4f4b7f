"""Linking and moving raw files, all names checked before the first is touched."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.io.files import read_json, write_json
from nucprof.io.results import Results
from nucprof.raw.rounds import RoundFile, RoundFiles, channel_of_token


def rename_files(targets: list[tuple[Path, Path]], mode: str, log: Path) -> dict[Path, Path]:
    """Link or move files; returns where each that changed its name now is.

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
        A name is taken: nothing was touched. Or the file system refuses.
    """
    todo = [(source, target) for source, target in targets if source != target]
    names = Counter(target for _, target in targets)
    taken = sorted(
        {str(t) for t, claims in names.items() if claims > 1}
        | {str(t) for s, t in todo if t.exists() and not os.path.samefile(s, t)}
    )
    if taken:
        raise ProjectError(f"rename: these names are taken, nothing was renamed: {_few(taken)}")
    if mode == "move":
        before = read_json(log) if log.exists() else {}
        write_json(log, before | {str(target): str(source) for source, target in todo})
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


def moved_from(log: Path) -> dict[Path, Path]:
    """Present name -> original name of every file that was moved."""
    if not log.exists():
        return {}
    return {Path(new): Path(old) for new, old in read_json(log).items()}


def undo_moves(log: Path) -> int:
    """Give moved files their old names back; returns how many. Raises :class:`ProjectError`."""
    moved = moved_from(log)
    if not moved:
        raise ProjectError(f"{log} lists no file that was moved: there is nothing to undo.")
    taken = [str(old) for new, old in moved.items() if new.exists() and old.exists()]
    if taken:
        raise ProjectError(
            f"rename --undo: these names are taken, nothing was moved: {_few(taken)}"
        )
    count = 0
    for new, old in reversed(moved.items()):  # a file moved twice goes back in two steps
        if new.exists():
            new.rename(old)
            count += 1
    log.unlink()
    return count


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def target_name(
    found: RoundFiles, file: RoundFile, alone: bool, settings: RenameSettings, results: Results
) -> Path:
    """Where a file goes in mode link (below the results) or move (in its own folder).

    ``alone``: no other file belongs to its field.
    """
    r, key, token = found.round, file.parsed.key, file.parsed.channel
    info = found.infos.get(file.path)
    whole = alone if info is None else info.planes > 1
    suffix = ""
    if token is not None and len(r.channels) > 1 and not whole:
        suffix = f"_{channel_of_token(r, token, settings)}"
    folder = file.path.parent if settings.mode == "move" else results.folder("raw", r.plate, r.name)
    return folder / f"{key}{suffix}{file.path.suffix.lower()}"
