"""A results folder belongs to one project, which a file in it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.digest import sha256
from nucprof.io.files import write_json
from nucprof.io.results import Results
from nucprof.io.state import StateFile, find_state
from nucprof.run.lock import is_read_only

SCHEMA: Final = 1


class Owner(StateFile):
    """The project that the results are of.

    ``file``: its project file, as an absolute path and ``beside``, relative to the results.
    ``images``: by plate, the hash of the first Cell Painting image.
    """

    schema_: Literal[1] = Field(alias="schema")
    project: str
    file: Path
    beside: str
    images: dict[str, str]


def claim(project: Project, results: Results) -> None:
    """Make a results folder the project's own, or refuse it as that of another project.

    A project stays itself when it is renamed, moved or copied, with or without its results, and
    when its file is edited. It is another one if the recorded project file still exists elsewhere,
    or if that file is gone and no plate has the same first image.

    Raises
    ------
    UserError
        The results are those of another project; both are named.
    """
    held = refuse_another(project, results)
    if project.file is None:  # a project that was not read from a file
        return
    if held is not None and _is_beside(held, project, results) and _same(held.file, project.file):
        return
    if is_read_only(results.root):  # a run with nothing to do is served all the same
        return
    owner = Owner(
        schema=SCHEMA,
        project=project.project.name,
        file=project.file,
        beside=Path(os.path.relpath(project.file, results.root)).as_posix()
        if project.file.drive == results.root.drive
        else project.file.as_posix(),
        images=_first_images(project),
    )
    write_json(results.owner, owner.model_dump(mode="json", by_alias=True))


def refuse_another(project: Project, results: Results) -> Owner | None:
    """Return the recorded owner of a results folder; refuse another project's, as in `claim`."""
    if project.file is None:
        return None
    held = find_state(results.owner, Owner)  # None also for results of an earlier version
    if held is None or _is_beside(held, project, results) or not _is_another(held, project):
        return held
    raise UserError(
        f"{results.root} holds the results of project '{held.project}' ({held.file}), not of "
        f"'{project.project.name}' ({project.file}), which would overwrite or misread them. Choose "
        f"another project.output; or, if that project is gone for good, delete {results.owner}."
    )


def _is_beside(held: Owner, project: Project, results: Results) -> bool:
    return project.file is not None and _same(results.root / held.beside, project.file)


def _is_another(held: Owner, project: Project) -> bool:
    if held.file.is_file():
        return True
    now = _first_images(project)
    if held.images and now:
        return not set(held.images.values()) & set(now.values())
    return not set(held.images) & {plate.name for plate in project.plates}


def _same(one: Path, other: Path) -> bool:
    return os.path.normcase(os.path.normpath(one)) == os.path.normcase(other)


def _first_images(project: Project) -> dict[str, str]:
    """Hash of every plate's first Cell Painting image; plates without images are left out."""
    from nucprof.io.images import IMAGE_SUFFIXES  # scipy is slow to import

    found = {}
    for plate in project.plates:
        folder = plate.cell_painting
        names = sorted(folder.rglob("*")) if folder.is_dir() else []
        first = next((p for p in names if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()), None)
        if first is not None:
            found[plate.name] = sha256(first)
    return found
