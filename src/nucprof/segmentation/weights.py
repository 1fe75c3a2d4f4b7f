"""Model weights by name: where they are, how to get them, and the hash of those used.

A model is a folder in StarDist's layout (``config.json``, ``thresholds.json``, ``weights_best.h5``)
or one file (cellpose). The bundled one is in the package; all others are in the models folder: the
``models_dir`` setting, else the environment's ``NUCPROF_MODELS_DIR``, else the platform's data
folder. Only :func:`fetch` uses the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nucprof.errors import ModelError
from nucprof.io.damage import reading
from nucprof.segmentation.download import Progress, download

BUNDLED = "nucprof-fluo"
ENVIRONMENT = "NUCPROF_MODELS_DIR"
#: Files of a StarDist folder that decide about its output, in the order they are hashed.
STARDIST_FILES = ("config.json", "thresholds.json", "weights_best.h5", "nucprof.json")

#: Geometric middle of the nuclear diameters (10 to 50 px) in the images of the Data Science Bowl
#: 2018, on which the published networks were trained without resizing.
DSB_DIAMETER_PX = 22.0

_MOST_BYTES = 4_000_000_000
_PACKAGED = Path(__file__).parent / "models"
_STARDIST_URL = "https://github.com/stardist/stardist-models/releases/download/v0.1"
_CELLPOSE_URL = "https://huggingface.co/mouseland/cellpose-sam/resolve/main"


@dataclass(frozen=True)
class KnownModel:
    """A model that nucprof knows by name.

    Attributes
    ----------
    name, backend, about
        What the user writes, the backend that runs it, and one line about it.
    url, sha256
        Where :func:`fetch` finds it (None: bundled), and its hash, if known.
    canonical_diameter_px
        Canonical nuclear diameter; None if unknown.
    """

    name: str
    backend: str
    about: str
    url: str | None = None
    sha256: str | None = None
    canonical_diameter_px: float | None = None


KNOWN: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(BUNDLED, "stardist", "fluorescent nuclei, comes with nucprof"),
        KnownModel(
            "2D_versatile_fluo",
            "stardist",
            "fluorescent nuclei, by StarDist's authors",
            f"{_STARDIST_URL}/python_2D_versatile_fluo.zip",
            "4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
            canonical_diameter_px=DSB_DIAMETER_PX,
        ),
        KnownModel(
            "2D_paper_dsb2018",
            "stardist",
            "fluorescent nuclei, the network of StarDist's 2D paper",
            f"{_STARDIST_URL}/python_2D_paper_dsb2018.zip",
            "4c11cf68512341d9e8ce3d1278c64ceb8ac400582739f85fcab079a2e82840d2",
            canonical_diameter_px=DSB_DIAMETER_PX,
        ),
        KnownModel("cpsam", "cellpose", "Cellpose-SAM, cells and nuclei", f"{_CELLPOSE_URL}/cpsam"),
        KnownModel(
            "cpsam_v2", "cellpose", "Cellpose-SAM, second training", f"{_CELLPOSE_URL}/cpsam_v2"
        ),
        KnownModel("cpdino", "cellpose", "cellpose on a DINO backbone", f"{_CELLPOSE_URL}/cpdino"),
        KnownModel(
            "cpdino-vitb", "cellpose", "cellpose on a small DINO", f"{_CELLPOSE_URL}/cpdino-vitb"
        ),
    )
}


@dataclass(frozen=True)
class ModelEntry:
    """One line of ``nucprof models list``; ``path`` is None if the model is not installed."""

    name: str
    backend: str
    about: str
    path: Path | None
    bundled: bool


def models_folder(models_dir: Path | str | None = None) -> Path:
    """Return the folder of fetched and added models (which may not exist yet)."""
    chosen = models_dir or os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("nucprof", appauthor=False) / "models"


def resolve_model(
    name_or_folder: str | Path,
    models_dir: Path | str | None = None,
    *,
    backend: str | None = None,
) -> Path:
    """Find a model by name, or take a folder or file as given; never uses the network.

    Parameters
    ----------
    name_or_folder
        A known name, the name of an added model, or a path. Names come before paths.
    models_dir
        Folder of models; see :func:`models_folder`.
    backend
        When given, a model that is known to belong to another backend is refused.

    Returns
    -------
    Folder (StarDist) or file (cellpose).

    Raises
    ------
    ModelError
        If there is no such model here, or it is for another backend or incomplete.
    """
    name = str(name_or_folder)
    known = KNOWN.get(name)
    if known is not None and backend is not None and known.backend != backend:
        fitting = ", ".join(m.name for m in KNOWN.values() if m.backend == backend)
        raise ModelError(
            f"model '{name}' is for backend '{known.backend}', not '{backend}': set "
            f'backend = "{known.backend}", or choose one of {fitting or "your own files"}'
        )
    path = _find(name, models_dir)
    if path is None and Path(name).expanduser().exists():
        path = Path(name).expanduser()
    if path is None:
        raise ModelError(_missing(name, models_dir, backend))
    _check_complete(path, backend or (known.backend if known else None), path)
    return path


def list_models(models_dir: Path | str | None = None) -> list[ModelEntry]:
    """All known models and all added ones, those that are here with their path."""
    entries = [
        ModelEntry(m.name, m.backend, m.about, _find(m.name, models_dir), m.name == BUNDLED)
        for m in KNOWN.values()
    ]
    folder = models_folder(models_dir)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name not in KNOWN and not path.name.startswith("."):
            backend = "stardist" if path.is_dir() else "cellpose"
            entries.append(ModelEntry(path.name, backend, "added", path, bundled=False))
    return entries


def add(
    name: str, path: Path | str, models_dir: Path | str | None = None, *, force: bool = False
) -> Path:
    """Copy a model made or downloaded elsewhere into the models folder, under a name.

    Parameters
    ----------
    name
        Letters, digits, ``.``, ``_``, ``-``. A known name is allowed (weights copied by hand).
    path
        StarDist folder, or its ``.zip`` as published, or one cellpose file.
    force
        Replace a model of that name.

    Returns
    -------
    The path of the copy.

    Raises
    ------
    ModelError
        If the name is bad or taken, or the path holds no model.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == BUNDLED:
        raise ModelError(f"'{name}' cannot name a model: use letters, digits, '.', '_' and '-'")
    source = Path(path).expanduser()
    if not source.exists():
        raise ModelError(f"there is no file or folder {source}: give a StarDist folder or a file")
    target = models_folder(models_dir) / name
    if target.exists() and not force:
        raise ModelError(f"'{name}' is already at {target}: choose another name, or --force")
    known = KNOWN.get(name)
    backend = known.backend if known else None
    with _staging(target.parent) as staging:
        placed = staging / name
        with reading(source, ModelError, "Is it a whole model?"):
            _place(source, placed)
        _check_complete(placed, backend, source)
        _replace(placed, target)
    return target


def _place(source: Path, placed: Path) -> None:
    """Copy a model's own files, and nothing else, to a new place."""
    if source.is_dir():
        _copy_stardist(source, placed)
    elif not source.is_file():
        raise ModelError(
            f"{source} is neither a file nor a folder: give a StarDist folder or a file"
        )
    elif not zipfile.is_zipfile(source):
        raise ModelError(
            f"{source} is no model: a StarDist model is a folder or its .zip, a cellpose model one "
            "file as torch writes it (unpack other archives first)"
        )
    else:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
            if any(name.endswith("data.pkl") for name in names):  # as torch.save writes it
                shutil.copyfile(source, placed)
            else:
                _unpack(archive, source, placed)


def _copy_stardist(source: Path, placed: Path) -> None:
    placed.mkdir()
    for name in STARDIST_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, placed / name)


def _unpack(archive: zipfile.ZipFile, source: Path, placed: Path) -> None:
    """Take the files of a StarDist model out of a zip, by name, whatever else it holds."""
    configs = sorted(n for n in archive.namelist() if n.rsplit("/", 1)[-1] == "config.json")
    if not configs:
        raise ModelError(f"{source} contains no StarDist model: it has no config.json")
    folder = configs[0].removesuffix("config.json")
    placed.mkdir()
    for name in STARDIST_FILES:
        if folder + name not in archive.namelist():
            continue
        size = archive.getinfo(folder + name).file_size
        if size > _MOST_BYTES:
            raise ModelError(
                f"{source}: {name} unpacks to {size / 1e9:.1f} GB; no model is as large"
            )
        with archive.open(folder + name) as packed, (placed / name).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def fetch(
    name: str,
    models_dir: Path | str | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Download a known model into the models folder; the only function here with network access.

    Parameters
    ----------
    name
        A known name.
    models_dir
        Folder of models; see :func:`models_folder`.
    force
        Download again even if the model is installed.
    progress
        Called with the bytes received so far, and the total.

    Raises
    ------
    ModelError
        If the name is not known, the download fails or is cut off, or its SHA-256 is not the known
        one.
    """
    known = KNOWN.get(name)
    if known is None:
        names = ", ".join(m.name for m in KNOWN.values() if m.url)
        raise ModelError(f"nucprof knows no model '{name}' to fetch: choose one of {names}")
    present = _find(name, models_dir)
    if known.url is None or (present is not None and not force):
        return resolve_model(name, models_dir)
    with _staging(models_folder(models_dir)) as staging:
        file = download(known.url, staging, known.sha256, progress)
        return add(name, file, models_dir, force=True)


def model_hash(path: Path) -> str:
    """SHA-256 of a model: of its file, or of the files of its folder that decide its output."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else [path / n for n in STARDIST_FILES if (path / n).exists()]
    for file in files:
        if path.is_dir():
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def canonical_diameter(path: Path) -> float | None:
    """Canonical nuclear diameter of a model in pixels; None if it is not known.

    Read from ``nucprof.json`` (key ``canonical_diameter_px``) in the model's folder, else known by
    the folder's name.
    """
    file = path / "nucprof.json"
    if path.is_dir() and file.exists():
        try:
            value = float(json.loads(file.read_text(encoding="utf-8"))["canonical_diameter_px"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file} does not give canonical_diameter_px: {error!r}") from error
        return value
    known = KNOWN.get(path.name)
    return known.canonical_diameter_px if known else None


def _find(name: str, models_dir: Path | str | None) -> Path | None:
    """Path of a named model if it is installed, else None."""
    if name == BUNDLED:
        return _PACKAGED / BUNDLED
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return None
    path = models_folder(models_dir) / name
    if path.exists():
        return path
    known = KNOWN.get(name)
    if known is not None and known.backend == "cellpose":
        # The folder in which cellpose itself stores downloads.
        own = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
        folder = Path(own) if own else Path.home() / ".cellpose" / "models"
        return folder / name if (folder / name).is_file() else None
    return None


def _missing(name: str, models_dir: Path | str | None, backend: str | None) -> str:
    folder = models_folder(models_dir)
    kind = "a cellpose file" if backend == "cellpose" else "a StarDist folder"
    where = f" --models-dir {models_dir}" if models_dir else ""
    if name in KNOWN:
        first = f"'nucprof models fetch {name}{where}' (needs the internet)"
    else:
        names = ", ".join(m.name for m in KNOWN.values() if backend in (None, m.backend))
        first = f"'nucprof models fetch NAME{where}' for one of {names}"
    return (
        f"model '{name}' is not here (looked in {folder}). Three ways to get one: {first}; "
        f"'nucprof models add {name if name in KNOWN else 'NAME'} PATH{where}' for weights carried "
        f'in by hand; or model = "<path>" of {kind}'
    )


def _check_complete(path: Path, backend: str | None, told: Path) -> None:
    """Refuse an incomplete model; the message calls it ``told``, the place that the user knows."""
    if path.is_dir():
        absent = [n for n in ("config.json", "weights_best.h5") if not (path / n).is_file()]
        if absent or backend == "cellpose":
            raise ModelError(
                f"{told} is not a {backend or 'StarDist'} model: "
                + ("a folder" if backend == "cellpose" else f"it lacks {', '.join(absent)}")
            )
    elif backend == "stardist":
        raise ModelError(
            f"{told} is a file; a StarDist model is a folder with {', '.join(STARDIST_FILES[:3])}"
        )


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Temporary folder next to the models, on the same disk; removed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as name:
        yield Path(name)


def _replace(placed: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    os.replace(placed, target)
