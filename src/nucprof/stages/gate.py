"""A true class per cell, by cutoffs on its ground-truth intensities."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.models import GateSettings
from nucprof.errors import ProjectError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.plate.columns import CORRECTED, TRUE, mean_intensity
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

    from nucprof.core.gate import Gate

KEYS = ["Metadata_Plate", "Metadata_ROI_img_name"]
METADATA = [
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_ObjectNumber",
    "Metadata_ROI_img_name",
    "Metadata_Target",
]
_BACKGROUND = "background "


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
    colours: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class GateRecord:
    """Cells by true class, and the summary of the cutoffs."""

    classes: dict[str, int]
    lines: list[str]


def plan(context: Context) -> Plan[GateJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    folder = results.folder("gate")
    tables = {name: results.features(name) for name in (CP_ROUND, *project.rounds)}
    names = [
        "GT_data.csv", "cutoffs.json", "counts.csv", "contamination.csv", "intensities.parquet",
        "scatter.png",
    ]  # fmt: skip
    names += ["corrections.csv"] if project.gate.corrections else []
    job = GateJob(
        inputs=(*tables.values(), *project.gate.corrections),
        outputs=tuple(folder / name for name in names),
        settings=project.gate,
        markers=markers_of(project),
        compartment="Cells" if project.mask_kind == "cells" else "Nuclei",
        tables=tables,
        folder=folder,
        colours=results.colours,
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
    from nucprof.core.gate_words import certainty_lines, cutoff_lines, warnings
    from nucprof.core.markers import UNDEFINED
    from nucprof.figures.colours import project_colours
    from nucprof.figures.gates import draw_gate
    from nucprof.io.files import write_json
    from nucprof.io.tables import write_table

    cells = read_cells(job)
    removed = cells[_filtered(cells, job.settings)]
    cells = cells.drop(removed.index).reset_index(drop=True)
    gate = decided(cells, job)
    table = true_classes(cells, gate)
    table, lines = _corrected(table, gate, job)
    answers = table.pop(CORRECTED) if CORRECTED in table else None
    write_table(job.folder / "GT_data.csv", table)
    write_table(job.folder / "counts.csv", counts(table))
    write_table(job.folder / "contamination.csv", contents(gate))
    write_table(job.folder / "intensities.parquet", intensities(cells, gate, answers))
    write_json(job.folder / "cutoffs.json", gate.report())
    cultures = [*gate.monocultures, job.settings.mixed_culture]
    colours = project_colours(job.colours, [*gate.rules, UNDEFINED, *cultures])
    draw_gate(gate, job.folder, colours)
    called = table[TRUE]
    tally = {name: int((called == name).sum()) for name in (*gate.rules, UNDEFINED)}
    record = GateRecord(tally, [*cutoff_lines(gate), *certainty_lines(gate), *gate.notes, *lines])
    return Outcome(record, dropped=_drops(removed), warnings=warnings(gate))


def read_cells(job: GateJob) -> pd.DataFrame:
    """All cells with their metadata, marker intensities (by marker name) and filter features.

    The darkest pixel of the patch around a cell is read where it was measured, as
    ``background <marker>``.
    """
    from nucprof.io.tables import read_columns, read_table

    held = {name: read_columns(path) for name, path in job.tables.items()}
    filters = [feature for feature in job.settings.filters if feature in held[CP_ROUND]]
    cells = read_table(job.tables[CP_ROUND], [*METADATA, *filters])
    for name, path in job.tables.items():
        if name == CP_ROUND:
            continue
        columns = {}
        for marker in (m for m, of in job.markers.items() if of == name):
            columns[marker] = mean_intensity(job.compartment, marker)
            darkest = f"Patch_Intensity_MinIntensity_{marker}"
            if darkest in held[name]:
                columns[_BACKGROUND + marker] = darkest
            elif job.settings.background != "none":
                raise ProjectError(
                    f"gate.background = {job.settings.background} needs {darkest}: add Patch "
                    "to features.regions, and measure again."
                )
        columns |= {
            feature: feature
            for feature in job.settings.filters
            if feature in held[name] and feature not in cells.columns
        }
        found = read_table(path, [*KEYS, *dict.fromkeys(columns.values())])
        part = found[KEYS].assign(**{new: found[old] for new, old in columns.items()})
        cells = cells.merge(part, on=KEYS, how="left", validate="one_to_one")
    _require_features(list(job.settings.filters), list(cells.columns), held[CP_ROUND])
    return cells


def _require_features(wanted: list[str], read: list[str], known: list[str]) -> None:
    missing = [feature for feature in wanted if feature not in read]
    if missing:
        features = [c for c in known if not c.startswith("Metadata_")]
        near = difflib.get_close_matches(missing[0], features, n=1)
        raise ProjectError(
            f"gate.filters: there is no feature '{missing[0]}'"
            + (f"; did you mean '{near[0]}'?" if near else ".")
        )


def _filtered(cells: pd.DataFrame, settings: GateSettings) -> np.ndarray:
    import numpy as np

    from nucprof.core import gating

    if not settings.filters:
        return np.zeros(len(cells), dtype=bool)
    columns = {name: cells[name].to_numpy(dtype=np.float64) for name in settings.filters}
    return gating.outside(columns, settings.filters)


def decided(cells: pd.DataFrame, job: GateJob) -> Gate:
    """Classes of all cells, by the settings; their background is subtracted first."""
    import numpy as np

    from nucprof.core.gate import decide
    from nucprof.core.gating import MarkerCells
    from nucprof.core.markers import read_rules
    from nucprof.core.unmix import field_background

    settings = job.settings
    plates, wells, culture = (
        cells[f"Metadata_{name}"].fillna("").to_numpy(dtype=object)
        for name in ("Plate", "Well", "Target")
    )
    fields = plates + "/" + cells["Metadata_ROI_img_name"].str.rsplit("_", n=1).str[0]
    values = {marker: cells[marker].to_numpy(dtype=np.float64) for marker in job.markers}
    lowest = {m: cells[_BACKGROUND + m].to_numpy(dtype=np.float64) for m in job.markers
              if _BACKGROUND + m in cells}  # fmt: skip
    background = {m: field_background(low, fields.to_numpy()) for m, low in lowest.items()}
    if settings.background != "none":
        subtracted = background if settings.background == "field" else lowest
        values = {marker: values[marker] - subtracted[marker] for marker in values}
        background = {}
    return decide(
        MarkerCells(values, culture, plates, plates + "/" + wells),
        rules=read_rules(settings.classes),
        given={m: float(c) for m, c in settings.cutoffs.items() if c != "auto"},
        per=settings.per,
        mixed=settings.mixed_culture,
        unmixed=settings.unmix,
        background=background,
    )


def true_classes(cells: pd.DataFrame, gate: Gate) -> pd.DataFrame:
    """Class of every cell, and the probabilities of all classes and of this one."""
    table = cells[METADATA].assign(true_condition=gate.called)
    table.insert(0, "plate", table["Metadata_Plate"])
    table.insert(1, "ROI_img_name", table["Metadata_ROI_img_name"])
    for name, chance in gate.identity.probability.items():
        table[f"p_{name}"] = chance.round(4)
    table["confidence"] = gate.identity.confidence(gate.called).round(4)
    return table


def intensities(cells: pd.DataFrame, gate: Gate, answers: pd.Series | None) -> pd.DataFrame:
    """The intensities that the cutoffs apply to, by marker, and people's answers in `corrected`."""
    return cells[METADATA].assign(**gate.cells.values, **{CORRECTED: answers})


def _corrected(table: pd.DataFrame, gate: Gate, job: GateJob) -> tuple[pd.DataFrame, list[str]]:
    """Replace the gate's classes by people's answers; also say how well the two agree.

    ``gate_condition`` keeps the gate's own class. The confidence in a class that people gave is 1.
    All answers are kept beside the gate's results.
    """
    from nucprof.core.markers import UNDEFINED
    from nucprof.io.tables import read_table, write_table
    from nucprof.learn import corrections

    paths, kept = job.settings.corrections, job.folder / "corrections.csv"
    if not paths:
        kept.unlink(missing_ok=True)
        return table, []
    every = read_table(job.tables[CP_ROUND], KEYS)
    answers = corrections.checked_corrections(paths, every, list(gate.rules))
    write_table(kept, answers)
    agreement = corrections.compare(answers, table, TRUE)
    table = corrections.add_corrections(table, answers)
    given = table[CORRECTED]
    called = given.fillna(table[TRUE])
    sure = table["confidence"].mask(given.notna(), 1.0).mask(given == UNDEFINED)
    table = table.assign(**{"gate_condition": table[TRUE], TRUE: called, "confidence": sure})
    return table, corrections.agreement_lines(agreement)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Cells by well and class, and how many of them are of it by their probabilities."""
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Target", "true_condition"]
    groups = table.groupby(keys, dropna=False)["confidence"]
    return groups.agg(cells="size", mean_confidence="mean").round(4).reset_index()


def contents(gate: Gate) -> pd.DataFrame:
    """Composition of the monocultures: share of every class, with its interval."""
    import pandas as pd

    names = ["plate", "culture", "cells_are", "share", "low", "high", "cells", "wells"]
    rows = [
        (c.plate, c.culture, c.is_class, c.share.value, c.share.low, c.share.high,
         c.share.cells, c.share.wells)
        for c in gate.identity.contents
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names).round(4)


def _drops(removed: pd.DataFrame) -> list[Drop]:
    fields = removed.groupby(
        ["Metadata_Plate", removed["Metadata_ROI_img_name"].str.rsplit("_", n=1).str[0]]
    )["Metadata_ObjectNumber"]
    return [Drop(plate, field, "filter", ids.tolist()) for (plate, field), ids in fields]


def finish(context: Context, plan: Plan[GateJob], entries: Sequence[Entry[GateRecord]]) -> Summary:
    """Report the cutoffs, their quality, and the number of cells per class."""
    from nucprof.core.markers import UNDEFINED

    (record,) = (entry.record for entry in entries)
    assert record is not None
    tally = record.classes
    decided = sum(n for name, n in tally.items() if name != UNDEFINED)
    share = decided / max(sum(tally.values()), 1)
    return Summary(
        counts={"classes": tally},
        lines=[
            *record.lines,
            ", ".join(f"{n} {name}" for name, n in tally.items()) + f" ({share:.1%} decided)",
            f"look at {plan.jobs[0].folder / 'scatter.png'}",
        ],
    )


STAGE = Stage(
    name="gate",
    help="Assign each cell its true class from the ground truth",
    sections=("gate",),
    needs=needs("features"),
    makes=("gate/",),
    plan=plan,
    work=work,
    finish=finish,
    record=GateRecord,
    skip=without_ground_truth,
    version=3,
)
