"""The files of a round's folder: images and other files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.io.formats import foreign
from nucprof.io.images import IMAGE_SUFFIXES
from nucprof.plate.names import is_text

_LITTER = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Listing:
    """Image files by name, and files that are left out.

    ``litter``: what the system or a program created among the images. ``broken``: images whose
    names are not UTF-8.
    """

    images: list[Path]
    litter: list[Path]
    broken: list[Path]


def list_folder(folder: Path, text: str, settings: RenameSettings) -> Listing:
    """List the image files of a folder; nothing is opened.

    Parameters
    ----------
    folder : Path
        The folder; with ``rename.recursive`` also its subfolders.
    text : str
        The name of the folder in messages.
    settings : RenameSettings
        ``extension`` and ``recursive``.

    Raises
    ------
    ProjectError
        There is no image file, or all are of a format that needs bioio and it is not installed.
    """
    if not folder.is_dir():
        raise ProjectError(
            f"{text}: there is no such folder. If the images are elsewhere now, run: nucprof "
            "relink PROJECT --cp NEW (or --gt ROUND=NEW)"
        )
    wanted = settings.extension.lower()
    suffixes = IMAGE_SUFFIXES if wanted == "auto" else (f".{wanted.lstrip('.')}",)
    images, litter, broken = [], [], []
    for path in sorted(folder.rglob("*") if settings.recursive else folder.iterdir()):
        if not path.is_file():
            continue
        if path.name.startswith(".") or path.name.lower() in _LITTER:
            litter.append(path)
        elif path.suffix.lower() in suffixes:
            (images if is_text(path.relative_to(folder)) else broken).append(path)
    if not images:
        shown = ", ".join(s for s in suffixes if s not in foreign.SUFFIXES or len(suffixes) == 1)
        inside = any(path.is_dir() for path in folder.iterdir())
        hint = " Are they in subfolders? Set rename.recursive = true." if inside else ""
        if broken:
            raise ProjectError(
                f"{text}: the name of {broken[0].name} (one of {len(broken)} images) is not UTF-8; "
                "rename the images."
            )
        raise ProjectError(f"{text}: there is no image file ({shown}).{hint}")
    if not foreign.installed() and all(p.suffix.lower() in foreign.SUFFIXES for p in images):
        raise ProjectError(
            f"{text}: {images[0].suffix} files are read through bioio, which is not installed; "
            f"run: {foreign.INSTALL}"
        )
    return Listing(images, litter, broken)
