"""The facts about a project's results that the rules of :mod:`nucprof.report.doubts` look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nucprof.io.files import read_json
from nucprof.io.results import Results
from nucprof.io.tables import count_rows, read_rows
from nucprof.plate.keys import FieldKey, WellKey
from nucprof.report.records import About, StageRun

#: Stages that train, the name of what they train, and their folder.
METHODS = {"train-rf": ("forest", "rf"), "train-cnn": ("network", "cnn")}


@dataclass(frozen=True)
class Lost:
    """Cells of a plate before registration, without a nucleus after it, and outside the overlap."""

    before: int
    lost: int
    outside: int


@dataclass(frozen=True)
class Score:
    """How good a classifier is, and its shuffled control."""

    method: str
    f1: float
    permuted: float
    permuted_95: float
    p_value: float
    p_value_min: float
    unit: str


@dataclass(frozen=True)
class Facts:
    """What is known of the results; a stage that has not run leaves its part empty.

    Attributes
    ----------
    outdated : sequence of str
        Stages that are not up to date, but whose results are shown.
    failed, left_out : mapping
        Stage -> fields.
    fields : int
        Segmented fields.
    flagged : mapping
        Field -> what stands out.
    dim : mapping
        Plate -> share of the objects that are much dimmer than the others.
    crop_px : int or None
        Side of a crop.
    diameter_px : mapping
        Plate -> diameter of a typical nucleus.
    strange : mapping
        Round -> fields whose registration is an outlier or unsure.
    lost : mapping
        Plate -> cells that registration dropped.
    uneven : tuple of str
        Markers that differ in brightness between plates that share a cutoff, in words.
    classes : mapping
        Class -> cells.
    scores : tuple of Score
    validation : mapping
        Culture -> the network's validation wells.
    cells_of_wells : mapping
        Well -> cells that its composition rests on.
    """

    outdated: Sequence[str] = ()
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fields: int = 0
    flagged: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dim: Mapping[str, float] = field(default_factory=dict)
    crop_px: int | None = None
    diameter_px: Mapping[str, float] = field(default_factory=dict)
    strange: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lost: Mapping[str, Lost] = field(default_factory=dict)
    uneven: Sequence[str] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    validation: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cells_of_wells: Mapping[str, int] = field(default_factory=dict)


def files_of(results: Results) -> dict[str, tuple[Path, ...]]:
    """The files that :func:`read_facts` reads, by the stage that writes them."""
    rf, cnn = (results.folder("train", method, "default") for _, method in METHODS.values())
    return {
        "segment": (results.folder("segment", "qc.csv"), results.nuclear_size),
        "align": (results.registration, results.cells),
        "gate": (results.folder("gate", "counts.csv"), results.folder("gate", "cutoffs.json")),
        "train-rf": (rf / "metrics.json",),
        "train-cnn": (cnn / "metrics.json", cnn / "split.csv"),
        "predict": (results.folder("predict", "default", "composition.csv"),),
    }


def read_facts(
    results: Results, about: About, runs: Iterable[StageRun], outdated: Sequence[str] = ()
) -> Facts:
    """Read the facts from the small tables of the results, in a fraction of a second.

    ``outdated`` are stages that are not up to date.

    Raises :class:`~nucprof.errors.UserError` for a damaged table.
    """
    done = {run.name: run for run in runs if run.status != "not needed"}
    quality = _rows(results, "segment", "qc.csv") if "segment" in done else []
    counts = _rows(results, "gate", "counts.csv") if "gate" in done else []
    shown = {name: run for name, run in done.items() if name != "report"}
    return Facts(
        outdated=outdated,
        failed={n: _fields(run.failures) for n, run in shown.items() if run.failures},
        left_out={n: _fields(run.excluded) for n, run in shown.items() if run.excluded},
        fields=len(quality),
        flagged={
            _field(row): row["reason"].split("; ") for row in quality if row["flag"] == "True"
        },
        dim=_dim(quality),
        crop_px=about.crop_px if "crop" in done else None,
        diameter_px=_diameters(results) if {"crop", "segment"} <= set(done) else {},
        strange=_strange(results) if "align" in done else {},
        lost=_lost(results) if "align" in done else {},
        uneven=_uneven(results) if "gate" in done else (),
        classes=_classes(results, counts) if "gate" in done else {},
        scores=tuple(_scores(results, about, done)),
        validation=_validation(results, about) if "train-cnn" in done else {},
        cells_of_wells=_wells(results, about, counts, predicted="predict" in done),
    )


def _rows(results: Results, *names: str) -> list[dict[str, str]]:
    path = results.folder(*names)
    return read_rows(path) if path.is_file() else []


def _fields(failures: Iterable[Mapping[str, str]]) -> list[str]:
    return [f"{f['plate']}/{f['field']}" if f["field"] else "the whole project" for f in failures]


def _field(row: Mapping[str, str]) -> str:
    well = WellKey.parse(row["well"])
    return f"{row['plate']}/{FieldKey(well.row, well.column, int(row['site']))}"


def _dim(quality: Iterable[Mapping[str, str]]) -> dict[str, float]:
    objects: dict[str, float] = {}
    dim: dict[str, float] = {}
    for row in quality:
        number = float(row["objects"])
        objects[row["plate"]] = objects.get(row["plate"], 0) + number
        dim[row["plate"]] = dim.get(row["plate"], 0) + number * float(row["dim_share"])
    return {plate: dim[plate] / number for plate, number in objects.items() if number}


def _diameters(results: Results) -> dict[str, float]:
    path = results.nuclear_size
    return dict(read_json(path)["diameter_px"]) if path.is_file() else {}


def _strange(results: Results) -> dict[str, list[str]]:
    strange: dict[str, list[str]] = {}
    for row in read_rows(results.registration) if results.registration.is_file() else []:
        if row["status"] in ("outlier", "unsure"):
            strange.setdefault(row["round"], []).append(_field(row))
    return strange


def _lost(results: Results) -> dict[str, Lost]:
    """By the ledger: cells that segmentation kept, and those that registration dropped."""
    if not results.cells.is_file():
        return {}
    counts = count_rows(results.cells, ["Metadata_Plate", "stage", "reason"])
    found = {}
    for plate in dict.fromkeys(plate for plate, _, _ in counts):
        own = {(stage, reason): n for (p, stage, reason), n in counts.items() if p == plate}
        before = sum(n for (stage, _), n in own.items() if stage not in ("rename", "segment"))
        found[plate] = Lost(
            before, own.get(("align", "lost_nucleus"), 0), own.get(("align", "outside_overlap"), 0)
        )
    return found


def _uneven(results: Results) -> tuple[str, ...]:
    return tuple(entry["uneven"] for entry in _cutoffs(results).values() if entry.get("uneven"))


def _cutoffs(results: Results) -> dict[str, Any]:
    path = results.folder("gate", "cutoffs.json")
    return dict(read_json(path)) if path.is_file() else {}


def _classes(results: Results, counts: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Cells of every class that the gate knows, 0 of a class that no cell is of."""
    names = [name for entry in _cutoffs(results).values() for name in entry.get("classes", ())]
    found = dict.fromkeys(dict.fromkeys(names), 0)
    for row in counts:
        if row["true_condition"] in found:
            found[row["true_condition"]] += int(row["cells"])
    return found


def _scores(results: Results, about: About, done: Mapping[str, StageRun]) -> Iterable[Score]:
    for stage, (method, folder) in METHODS.items():
        path = results.folder("train", folder, "default", "metrics.json")
        if stage in done and path.is_file():
            m = read_json(path)
            yield Score(
                method,
                m["f1_macro"],
                m["f1_macro_permuted"],
                m["f1_macro_permuted_95"],
                m["p_value"],
                m["p_value_min"],
                m["split_unit"],
            )


def _validation(results: Results, about: About) -> dict[str, list[str]]:
    """The validation wells of the run that has fewest, by culture."""
    seeds: dict[str, dict[str, list[str]]] = {}
    for row in _rows(results, "train", "cnn", "default", "split.csv"):
        if row["part"] == "validation":
            culture = about.cultures.get(f"{row['plate']}/{row['well']}", "the culture")
            of_seed = seeds.setdefault(row["seed"], {})
            of_seed.setdefault(culture, []).append(f"{row['plate']}/{row['well']}")
    return min(seeds.values(), key=lambda wells: min(map(len, wells.values())), default={})


def _wells(
    results: Results, about: About, counts: Iterable[Mapping[str, str]], *, predicted: bool
) -> dict[str, int]:
    """Cells by well: of the composition that predict wrote, else of the gate's mixed wells."""
    if predicted:
        rows = _rows(results, "predict", "default", "composition.csv")
        return {f"{row['plate']}/{row['well']}": int(row["n_cells"]) for row in rows}
    cells: dict[str, int] = {}
    for row in counts:
        if row["Metadata_Target"] == about.mixed:
            well = f"{row['Metadata_Plate']}/{row['Metadata_Well']}"
            cells[well] = cells.get(well, 0) + int(row["cells"])
    return cells
