"""The files of a round's folder: images and other files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.io.formats import foreign
from nucprof.io.images import IMAGE_SUFFIXES
from nucprof.plate.names import is_text

_LOSSY = {".jpg", ".jpeg", ".gif", ".webp"}


@dataclass(frozen=True)
class Listing:
    """Image files by name, and files with the ending of images that are left out.

    ``hidden``: their names begin with a dot. ``broken``: their names are not UTF-8. ``others``: no
    files (a link to nothing, a folder, a pipe).
    """

    images: list[Path]
    hidden: list[Path]
    broken: list[Path]
    others: list[Path]


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
    images: list[Path] = []
    hidden: list[Path] = []
    broken: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.rglob("*") if settings.recursive else folder.iterdir()):
        if path.suffix.lower() in suffixes:
            if not path.is_file():
                others.append(path)
            elif path.name.startswith("."):
                hidden.append(path)
            else:
                (images if is_text(path.relative_to(folder)) else broken).append(path)
    if not images:
        shown = ", ".join(s for s in suffixes if s not in foreign.SUFFIXES or len(suffixes) == 1)
        inside = any(path.is_dir() for path in folder.iterdir())
        hint = (
            " Are they in subfolders? Look there too: init --recursive (rename.recursive = true)."
            if inside and not settings.recursive
            else ""
        )
        hint = _lossy_pictures(folder) + hint
        if wanted != "auto":
            hint = f" rename.extension = '{settings.extension}' asks for these only.{hint}"
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
    return Listing(images, hidden, broken, others)


def _lossy_pictures(folder: Path) -> str:
    """A sentence on pictures of kinds that are not read."""
    kinds = {path.suffix.lower() for path in folder.iterdir() if path.is_file()}
    lossy = sorted(kinds & _LOSSY)
    if not lossy:
        return ""
    return (
        f" {', '.join(lossy)} files are not read: their compression changes the grey values. "
        "Export the images as TIFF."
    )
