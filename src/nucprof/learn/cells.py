"""The labelled cells that every classifier learns from: features or crops joined by cell key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nucprof.config import Project
from nucprof.config.models import Sample, TrainSettings

if TYPE_CHECKING:
    import pandas as pd

Culture = Literal["mixed", "mono"]
Unit = Literal["well", "plate"]


def labelled_cells(
    cells: pd.DataFrame, gate: Path | None, corrections: Sequence[Path], mixed_name: str
) -> pd.DataFrame:
    """The cells with all that is known of their class: the gate's, and people's corrections.

    Raises
    ------
    UserError
        A file of corrections is wrong.
    """
    from nucprof.core.gating import UNDEFINED
    from nucprof.learn.corrections import add_corrections, checked_corrections
    from nucprof.plate.columns import LAYOUT, TRUE

    cells = add_true_class(cells, gate)
    if not corrections:
        return cells
    known = {name for column in (LAYOUT, TRUE) if column in cells for name in cells[column]}
    classes = sorted(name for name in known if isinstance(name, str))
    answers = checked_corrections(
        corrections, cells, [name for name in classes if name not in (mixed_name, UNDEFINED)]
    )
    return add_corrections(cells, answers)


def add_true_class(cells: pd.DataFrame, gate: Path | None) -> pd.DataFrame:
    """Join the gate's true class by (plate, cell); cells that it does not know are undefined."""
    from nucprof.core.gating import UNDEFINED
    from nucprof.io.tables import read_table
    from nucprof.plate.columns import KEY, TRUE

    if gate is None:
        return cells
    true = read_table(gate, [*KEY, TRUE])
    joined = cells.merge(true, on=KEY, how="left", validate="one_to_one")
    joined[TRUE] = joined[TRUE].fillna(UNDEFINED)
    return joined


def choose_cells(
    cells: pd.DataFrame, training: Training
) -> tuple[pd.DataFrame, pd.DataFrame | None, Culture]:
    """Cells to train on, cells of another culture to test on (or None), the former's culture."""
    from nucprof.learn.split import select_culture

    mixed_name = training.mixed_name
    chosen: Any = training.culture
    train, found = select_culture(
        cells, culture=chosen, mixed_name=mixed_name, targets=training.targets
    )
    if training.test_culture in ("same", found):
        return train, None, found
    other: Any = training.test_culture
    test, _ = select_culture(
        cells, culture=other, mixed_name=mixed_name, targets=sorted(train["target"].unique())
    )
    return train, test, found


@dataclass(frozen=True, kw_only=True)
class Training:
    """Which cells are learned from, and how they are split: what `[train]` says.

    Attributes
    ----------
    gated : bool
        Whether the true classes come from the gate.
    mixed_name : str
        The layout's word for mixed wells.
    """

    gated: bool
    targets: tuple[str, ...]
    culture: str
    test_culture: str
    mixed_name: str
    sample: Sample
    seeds: tuple[int, ...]
    split_unit: Unit
    density_strata: int

    @classmethod
    def of(cls, settings: TrainSettings, *, gated: bool, mixed_name: str) -> Training:
        """What every classifier needs to know of `[train]`; each has a section of its own."""
        return cls(
            gated=gated,
            targets=tuple(settings.targets),
            culture=settings.culture,
            test_culture=settings.test_culture,
            mixed_name=mixed_name,
            sample=settings.sample,
            seeds=tuple(settings.seeds),
            split_unit=settings.split_unit,
            density_strata=settings.density_strata,
        )


def training_of(project: Project) -> Training:
    """What a project says of the training of every classifier."""
    return Training.of(
        project.train, gated=project.has_ground_truth, mixed_name=project.gate.mixed_culture
    )
