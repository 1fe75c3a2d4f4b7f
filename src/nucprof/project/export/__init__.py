"""Results in the formats of other programs.

A format is one file here and one line in :data:`FORMATS`. Formats that need a package beyond the
base install name its extra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path

from nucprof.errors import UserError
from nucprof.project.reader import ProjectResults, open_project


@dataclass(frozen=True)
class Format:
    """A format of other programs.

    Attributes
    ----------
    module : str
        The module with ``write(results, path) -> list[str]``, which returns lines for the user.
    target : str
        Name of the file or folder; ``{name}`` is the project's name.
    package, extra : str
        The package that it needs beyond the base install, and the extra that installs it.
    """

    module: str
    target: str
    package: str = ""
    extra: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether a folder is written."""
        return self.target.endswith("/")

    def writer(self, name: str) -> Callable[[ProjectResults, Path], list[str]]:
        """The function that writes it; raises :class:`UserError` naming a missing extra."""
        if self.package and util.find_spec(self.package) is None:
            raise UserError(
                f"--to {name} needs the package {self.package}; install it: "
                f'pip install "nucprof[{self.extra}]"'
            )
        write: Callable[[ProjectResults, Path], list[str]] = import_module(
            f"nucprof.project.export.{self.module}"
        ).write
        return write


FORMATS = {
    "csv": Format("csv_tables", "csv/"),
    "xlsx": Format("workbook", "results.xlsx"),
    "h5ad": Format("single_cell", "{name}.h5ad", "anndata", "h5ad"),
    "pycytominer": Format("profiles", "{name}.parquet"),
    "ome-zarr": Format("zarr_plate", "ome-zarr/", "ngio", "ome-zarr"),
    "crops": Format("crop_set", "{name}-crops.h5"),
}


def export(path: Path, to: str, out: Path | None = None) -> list[str]:
    """Write results in another format.

    Parameters
    ----------
    path : Path
        The project file.
    to : str
        A key of :data:`FORMATS`.
    out : Path, optional
        File or folder to write; default: below ``export/`` in the results.

    Returns
    -------
    list of str
        What was written, and how to open it.

    Raises
    ------
    UserError
        The format is unknown or its package is not installed, a result is missing, or ``out`` is
        in the way.
    """
    if to not in FORMATS:
        raise UserError(f"--to {to}: unknown format; formats are {', '.join(FORMATS)}.")
    chosen = FORMATS[to]
    write = chosen.writer(to)
    results = open_project(path)
    below = results.files.folder("export")
    target = out or below / chosen.target.format(name=results.project.project.name)
    if out is not None and out.exists():
        raise UserError(f"--out {out} exists; choose another name.")
    if target.is_dir() != chosen.is_folder and target.exists():
        raise UserError(f"{target} is in the way; move it, or choose another place with --out.")
    return [*write(results, target), f"Wrote {target}"]
