"""A true class per cell, by cutoffs on its ground-truth intensities."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project
from nucprof.config.models import GateSettings
from nucprof.errors import DataError, ProjectError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import (
    Context,
    Drop,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    needs,
    without_ground_truth,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KEYS = ["Metadata_Plate", "Metadata_ROI_img_name"]
METADATA = [
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_ObjectNumber",
    "Metadata_ROI_img_name",
    "Metadata_Target",
]


@dataclass(frozen=True, kw_only=True)
class GateJob(Job):
    """The whole project's cells.

    ``markers`` names the round of each marker, ``tables`` the feature table of each round.
    """

    settings: GateSettings
    markers: dict[str, str]
    compartment: str
    tables: dict[str, Path]
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class GateRecord:
    """Cells by true class."""

    classes: dict[str, int]


def plan(context: Context) -> Plan[GateJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    folder = results.folder("gate")
    tables = {name: results.features(name) for name in (CP_ROUND, *project.rounds)}
    names = ("GT_data.csv", "cutoffs.json", "counts.csv", "scatter.png")
    job = GateJob(
        inputs=tuple(tables.values()),
        outputs=tuple(folder / name for name in names),
        settings=project.gate,
        markers=markers_of(project),
        compartment="Cells" if project.mask_kind == "cells" else "Nuclei",
        tables=tables,
        folder=folder,
    )
    return Plan([job])


def markers_of(project: Project) -> dict[str, str]:
    """Marker -> its round: every ground-truth channel but the nuclear stain."""
    return {
        channel: name
        for name in project.rounds
        for channel in project.round_channels(name)
        if channel != project.channels.nuclei
    }


def work(job: GateJob) -> Outcome[GateRecord]:
    """Gate all cells."""
    from nucprof.core import gating
    from nucprof.io.files import write_json
    from nucprof.io.tables import write_table

    settings, folder = job.settings, job.folder
    cells = read_cells(job)
    removed = cells[_filtered(cells, settings)]
    cells = cells.drop(removed.index).reset_index(drop=True)
    gate = Gate.of(cells, settings, job.markers)
    called = gating.classify(gate.values, gate.cutoffs, gate.classes)
    table = cells[METADATA].assign(true_condition=called)
    table.insert(0, "plate", table["Metadata_Plate"])
    table.insert(1, "ROI_img_name", table["Metadata_ROI_img_name"])
    counts = (
        table.groupby(
            ["Metadata_Plate", "Metadata_Well", "Metadata_Target", "true_condition"], dropna=False
        )
        .size()
        .rename("cells")
        .reset_index()
    )
    write_table(folder / "GT_data.csv", table)
    write_table(folder / "counts.csv", counts)
    write_json(folder / "cutoffs.json", gate.report())
    gate.draw(folder, called)
    tally = {name: int((called == name).sum()) for name in (*gate.classes, gating.UNDEFINED)}
    return Outcome(GateRecord(tally), dropped=_drops(removed))


class Gate:
    """Classes, markers, cutoffs, and the cells' values that they are applied to."""

    def __init__(
        self,
        values: Mapping[str, np.ndarray],
        cultures: np.ndarray,
        classes: Mapping[str, str],
        cutoffs: Mapping[str, float],
        monocultures: Sequence[str],
    ) -> None:
        self.values = values
        self.cultures = cultures
        self.classes = classes
        self.cutoffs = cutoffs
        self.monocultures = monocultures

    @classmethod
    def of(cls, cells: pd.DataFrame, settings: GateSettings, markers: Mapping[str, str]) -> Gate:
        """Find classes and cutoffs, those that the settings name and those that are auto.

        Raises
        ------
        DataError
            No one-to-one match of markers and monocultures, or no monoculture for an auto cutoff.
        """
        import numpy as np

        from nucprof.core import gating

        values = {marker: cells[marker].to_numpy(dtype=np.float64) for marker in markers}
        cultures = cells["Metadata_Target"].fillna("").to_numpy(dtype=object)
        found = sorted(set(cultures) - {"", settings.mixed_culture})
        classes = dict(settings.classes)
        if not classes:
            if len(found) < 2:
                raise DataError(
                    f"The layout names {len(found)} monocultures ({', '.join(found) or 'none'}); "
                    "finding cutoffs needs two. Give [gate.classes] and [gate.cutoffs], or the "
                    "layout."
                )
            classes = gating.assign_markers(values, cultures, found)
        cutoffs = {}
        for name, marker in classes.items():
            wanted = settings.cutoffs.get(marker, "auto")
            if wanted != "auto":
                cutoffs[marker] = float(wanted)
                continue
            if name not in found:
                raise DataError(
                    f"gate: class '{name}' has no monoculture in the layout (there are: "
                    f"{', '.join(found) or 'none'}), so that its cutoff cannot be found; give one: "
                    f"--cutoff {marker}=NUMBER."
                )
            others = [other for other in found if other != name]
            if not others:
                raise DataError(
                    f"gate: the layout has one monoculture, '{name}', so that there is nothing to "
                    f"separate it from; give its cutoff: --cutoff {marker}=NUMBER."
                )
            own = values[marker][cultures == name]
            rest = values[marker][np.isin(cultures, others)]
            cutoffs[marker] = gating.best_cutoff(own[~np.isnan(own)], rest[~np.isnan(rest)])
        return cls(values, cultures, classes, cutoffs, found)

    def report(self) -> dict[str, Any]:
        """What ``cutoffs.json`` holds: per marker its class, cutoff, and how well it separates."""
        from nucprof.core import gating

        table = gating.medians(self.values, self.cultures, self.monocultures)
        report = {}
        for name, marker in self.classes.items():
            others = [other for other in self.monocultures if other != name]
            quality = gating.cutoff_quality(
                self.values[marker], self.cultures, name, others, self.cutoffs[marker]
            )
            report[marker] = {
                "class": name,
                "cutoff": self.cutoffs[marker],
                **{k: None if v != v else v for k, v in vars(quality).items()},
                "medians": table[marker],
            }
        return report

    def draw(self, folder: Any, called: np.ndarray) -> None:
        """Draw every pair of markers; the first pair is ``scatter.png``."""
        from nucprof.core import gating
        from nucprof.figures import plots
        from nucprof.io.files import atomic

        for number, (a, b) in enumerate(combinations(self.classes.values(), 2)):
            name = "scatter.png" if number == 0 else f"scatter-{a}-{b}.png"
            with atomic(folder / name) as path:
                plots.gate_scatter(
                    path,
                    self.values[a],
                    self.values[b],
                    called,
                    classes=[*self.classes, gating.UNDEFINED],
                    cutoffs=(self.cutoffs[a], self.cutoffs[b]),
                    axis_names=(a, b),
                    title="True classes",
                )


def read_cells(job: GateJob) -> pd.DataFrame:
    """All cells with their metadata, marker intensities (by marker name) and filter features."""
    from nucprof.io.tables import read_columns, read_table

    tables = job.tables
    wanted = list(job.settings.filters)
    held = {name: read_columns(path) for name, path in tables.items()}
    extra = [feature for feature in wanted if feature in held[CP_ROUND]]
    cells = read_table(tables[CP_ROUND], [*METADATA, *extra])
    columns = {
        marker: f"{job.compartment}_Intensity_MeanIntensity_{marker}" for marker in job.markers
    }
    for name, path in tables.items():
        if name == CP_ROUND:
            continue
        here = {c: m for m, c in columns.items() if job.markers[m] == name}
        more = [f for f in wanted if f in held[name] and f not in cells.columns]
        found = read_table(path, [*KEYS, *here, *(f for f in more if f not in here)])
        for feature in more:
            found[f"filter {feature}"] = found[feature]
        found = found.rename(columns=here).rename(columns={f"filter {f}": f for f in more})
        cells = cells.merge(found, on=KEYS, how="left", validate="one_to_one")
    missing = [feature for feature in wanted if feature not in cells.columns]
    if missing:
        known = [c for c in held[CP_ROUND] if not c.startswith("Metadata_")]
        near = difflib.get_close_matches(missing[0], known, n=1)
        raise ProjectError(
            f"gate.filters: there is no feature '{missing[0]}'"
            + (f"; did you mean '{near[0]}'?" if near else ".")
        )
    return cells


def _filtered(cells: pd.DataFrame, settings: GateSettings) -> np.ndarray:
    import numpy as np

    from nucprof.core import gating

    if not settings.filters:
        return np.zeros(len(cells), dtype=bool)
    columns = {name: cells[name].to_numpy(dtype=np.float64) for name in settings.filters}
    return gating.outside(columns, settings.filters)


def _drops(removed: pd.DataFrame) -> list[Drop]:
    fields = removed.groupby(
        ["Metadata_Plate", removed["Metadata_ROI_img_name"].str.rsplit("_", n=1).str[0]]
    )["Metadata_ObjectNumber"]
    return [Drop(plate, field, "filter", ids.tolist()) for (plate, field), ids in fields]


def finish(context: Context, plan: Plan[GateJob], entries: Sequence[Entry[GateRecord]]) -> Summary:
    """Tell the cutoffs, how good they are, and how many cells each class has."""
    from nucprof.core import gating
    from nucprof.io.files import read_json

    folder = plan.jobs[0].folder
    (record,) = (entry.record for entry in entries)
    assert record is not None
    tally = record.classes
    summary = Summary(counts={"classes": tally})
    for marker, found in read_json(folder / "cutoffs.json").items():
        quality = ""
        if found["sensitivity"] is not None and found["specificity"] is not None:
            quality = (
                f", sensitivity {found['sensitivity']:.1%}, specificity "
                f"{found['specificity']:.1%} on the monocultures"
            )
        summary.lines.append(f"{found['class']}: {marker} > {found['cutoff']:.1f}{quality}")
    decided = sum(n for name, n in tally.items() if name != gating.UNDEFINED)
    total = sum(tally.values())
    summary.lines.append(
        ", ".join(f"{n} {name}" for name, n in tally.items())
        + f" ({decided / max(total, 1):.1%} decided)"
    )
    summary.lines.append(f"look at {folder / 'scatter.png'}")
    return summary


STAGE = Stage(
    name="gate",
    help="Give cells their true class from the ground truth",
    sections=("gate",),
    needs=needs("features"),
    makes=("gate/",),
    plan=plan,
    work=work,
    finish=finish,
    record=GateRecord,
    skip=without_ground_truth,
)
