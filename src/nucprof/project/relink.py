"""Find a project's images after they were moved, and check their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nucprof.config import Project, load_project
from nucprof.config.save import save_folders
from nucprof.errors import UserError
from nucprof.io.files import Fingerprint
from nucprof.plate.keys import CP_ROUND
from nucprof.plate.words import some
from nucprof.run.pipeline import Run
from nucprof.stages import STAGES

Place = tuple[str, str]
"""Plate and round."""


def relink(path: Path, painted: Sequence[str], rounds: Sequence[str]) -> list[str]:
    """Change a project file to the new folders of its images.

    The project file is only written if every processed file is in the new folder, with the same
    name and content.

    Parameters
    ----------
    path : Path
        The project file.
    painted : sequence of str
        New Cell Painting folders: ``DIR`` if there is one plate, else ``PLATE=DIR``.
    rounds : sequence of str
        New folders of rounds: ``ROUND=DIR`` or ``PLATE/ROUND=DIR``.

    Returns
    -------
    list of str
        What was found, a line per folder.

    Raises
    ------
    UserError
        A name is unknown, nothing has been listed, or files are missing or have another content.
    """
    project = load_project(path, check_folders=False)
    run = Run(project)
    if not run.results.images.is_file():
        raise UserError("No image has been listed yet: edit the folders in the project file.")
    folders = {**_named(project, painted, CP_ROUND), **_named(project, rounds, "")}
    if not folders:
        raise UserError("Say where the images are now: --cp DIR, or --gt ROUND=DIR.")
    known = _fingerprints(run)
    lines = []
    for (plate, name), new in folders.items():
        files = _listed(project, run, (plate, name))
        if not files:
            raise UserError(
                f"plate {plate}, round {name}: no listed image lies in the folder that the project "
                "file names, so nothing can be compared. Was that folder edited already? Then run: "
                "nucprof rename PROJECT"
            )
        _refuse_others(files, new, known)
        lines.append(f"plate {plate}, round {name}: {len(files)} files found in {new}")
    save_folders(path, folders)
    return lines


def _named(project: Project, texts: Sequence[str], round_name: str) -> dict[Place, Path]:
    """Plate and round of every new folder; ``round_name`` is empty if the text contains it."""
    found = {}
    for text in texts:
        name, equals, folder = text.rpartition("=")
        plate, own = (name, round_name) if round_name else _split(name)
        held = [p for p in project.plates if plate in ("", p.name)]
        fits = [p for p in held if own == CP_ROUND or own in p.ground_truth]
        if len(fits) != 1:
            known = ", ".join(
                f"{p.name} ({', '.join([CP_ROUND, *p.ground_truth])})" for p in project.plates
            )
            raise UserError(f"'{text}' names no one folder; plates (and rounds) are: {known}.")
        new = Path(folder if equals else text).resolve()
        if not new.is_dir():
            raise UserError(f"There is no folder {new}.")
        found[fits[0].name, own] = new
    return found


def _split(name: str) -> tuple[str, str]:
    plate, _, round_name = name.rpartition("/")
    return plate, round_name


def _fingerprints(run: Run) -> dict[Path, Fingerprint]:
    """The hash of every image when it was last read."""
    return {
        Path(path): Fingerprint(*known)
        for stage in (s.name for s in STAGES if s.reads_images)
        for entry in run.entries(stage).values()
        for path, known in entry.inputs.items()
        if known is not None
    }


def _listed(project: Project, run: Run, place: Place) -> dict[Path, Path]:
    """Listed files of a round -> their path below the round's folder."""
    plate = next(p for p in project.plates if p.name == place[0])
    old = plate.cell_painting if place[1] == CP_ROUND else plate.ground_truth[place[1]]
    paths = {
        path
        for (name, _, round_name), held in run.images.channels.items()
        if (name, round_name) == place
        for source in held.values()
        for path in source.files
    }
    return {path: path.relative_to(old) for path in sorted(paths) if path.is_relative_to(old)}


def _refuse_others(
    files: Mapping[Path, Path], new: Path, known: Mapping[Path, Fingerprint]
) -> None:
    missing = [str(place) for place in files.values() if not (new / place).is_file()]
    if missing:
        below = next((d for d in sorted(new.iterdir()) if (d / missing[0]).is_file()), None)
        hint = f" They may be in {below}." if below else ""
        raise UserError(f"{new} lacks {len(missing)} of {len(files)} files: {some(missing)}.{hint}")
    other = [
        str(place)
        for path, place in files.items()
        if path in known and not known[path].matches(new / place)
    ]
    if other:
        raise UserError(
            f"{new}: {len(other)} of {len(files)} files differ from the files that were "
            f"processed: {some(other)}. To process them, edit the folder in the project file."
        )
