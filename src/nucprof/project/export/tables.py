"""One table of all cells: metadata, classes, and the features of every round."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nucprof.io.tables import read_table
from nucprof.plate.columns import CELL, KEY, PLATE, WELL
from nucprof.plate.keys import CP_ROUND
from nucprof.project.reader import ProjectResults

METADATA = "Metadata_"
_NAMES = {"plate": PLATE, "well": WELL, "site": "Metadata_Site", "ROI_img_name": CELL}


@dataclass(frozen=True)
class CellTable:
    """All cells with features.

    Attributes
    ----------
    cells : DataFrame
        One row per cell: columns ``Metadata_...``, then features.
    rounds : dict of str to str
        The round of every feature.
    """

    cells: pd.DataFrame
    rounds: dict[str, str]

    @property
    def metadata(self) -> list[str]:
        """The columns that are no features."""
        return [column for column in self.cells.columns if column not in self.rounds]

    @property
    def features(self) -> list[str]:
        """The columns with features."""
        return list(self.rounds)


@dataclass(frozen=True)
class FeatureName:
    """The parts of a feature's name, ``<Compartment>_<Category>_<Feature>[_<Channel>]``."""

    compartment: str
    category: str
    feature: str
    channel: str

    @classmethod
    def parse(cls, name: str) -> FeatureName:
        """Split a name; a channel may contain underscores."""
        compartment, category, feature, *channel = name.split("_", 3)
        return cls(compartment, category, feature, "".join(channel))


def cell_table(results: ProjectResults, *, ground_truth: bool = True) -> CellTable:
    """Features of all cells with their metadata, true classes and predictions.

    A feature of a ground-truth round whose name Cell Painting has too (shape, the nuclear stain)
    gets the round's name as a suffix. Without ``ground_truth`` there are no features of these
    rounds.

    Raises
    ------
    UserError
        The features have not been measured.
    """
    table = results.features(CP_ROUND)
    rounds = {name: CP_ROUND for name in table.columns if not name.startswith(METADATA)}
    for part in (_true_classes(results), _predictions(results)):
        table = table if part is None else table.merge(part, on=KEY, how="left", validate="1:1")
    for round_name in results.project.rounds if ground_truth else []:
        measured = results.features(round_name)
        names = {
            name: f"{name}_{round_name}" if name in rounds else name
            for name in measured.columns
            if not name.startswith(METADATA)
        }
        rounds |= dict.fromkeys(names.values(), round_name)
        own = measured[[*KEY, *names]].rename(columns=names)
        table = table.merge(own, on=KEY, how="left", validate="1:1")
    about = [column for column in table.columns if column not in rounds]
    return CellTable(table[[*about, *rounds]], rounds)


def one_vocabulary(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the same names for plate, well, site and cell as every other exported table.

    Several tables of the results call them ``plate``, ``well``, ``site`` and ``ROI_img_name``.
    """
    names = {old: new for old, new in _NAMES.items() if old in table.columns}
    twice = [old for old, new in names.items() if new in table.columns]
    return table.drop(columns=twice).rename(columns=names)


def _true_classes(results: ProjectResults) -> pd.DataFrame | None:
    """What the gate says of every cell; None where it has not run."""
    if not results.files.classes.is_file():
        return None
    table = one_vocabulary(results.classes)
    own = [c for c in table.columns if not c.startswith(METADATA)]
    return table[[*KEY, *own]].rename(columns={c: f"{METADATA}{c}" for c in own})


def _predictions(results: ProjectResults) -> pd.DataFrame | None:
    """What ``predict`` says of every cell; None where it has not run."""
    path = results.files.folder("predict", "default", "predictions.parquet")
    if not path.is_file():
        return None
    table = one_vocabulary(read_table(results.require(path, "predict")))
    own = [c for c in table.columns if c == "predicted" or c.startswith(("p_", "confidence"))]
    names = {c: c if c == "predicted" else f"predicted_{c}" for c in own}
    return table[[*KEY, *own]].rename(columns={c: f"{METADATA}{n}" for c, n in names.items()})
