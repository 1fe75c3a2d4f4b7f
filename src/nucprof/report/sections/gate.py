"""The gate: the interactive plot, and the table of cutoffs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nucprof.figures.canvas import NO_CLASS
from nucprof.io.corrections import read_corrections
from nucprof.io.files import read_json
from nucprof.learn.corrections import agreement_lines, compare
from nucprof.report.cells import Cells
from nucprof.report.records import Block, Note, Section, StageRun, Table
from nucprof.report.source import Source


def section(source: Source) -> Section | None:
    """Cutoffs and their quality; the plot is put before them by the page."""
    cutoffs = read_cutoffs(source)
    if not cutoffs:
        return None
    rows = []
    for marker, entry in cutoffs.items():
        for plate, own in entry.get("per_plate", {"all": entry}).items():
            rows.append((
                ", ".join(classes_of(entry)), marker, plate, _number(own["cutoff"]),
                _share(own, "sensitivity"), _share(own, "specificity"),
                "given" if own["given"] else f"found; tested on held-out {own['held_out']}"
                if own["held_out"] else "found",
            ))  # fmt: skip
    columns = ("class", "marker", "plate", "cutoff", "sensitivity", "specificity", "how")
    blocks: list[Block] = [Table(
        "Cutoffs", columns, rows, numbers=frozenset({3}),
        caption="Sensitivity: of the cells in monocultures that carry the marker, the share above "
        "the cutoff. Specificity: of the cells in the other monocultures, the share not above it. "
        "In brackets: 95% intervals over wells.",
    )]  # fmt: skip
    source.captions["gate/scatter.png"] = (
        "Gate",
        "Every point is a cell; dashed lines are the cutoffs. A cell is of a class if its marker "
        "is above the cutoff and every other marker is not.",
    )
    return Section("gate", "Gate", [*blocks, *_corrections(source)])


def _corrections(source: Source) -> list[Block]:
    """How people's answers agree with the gate and with each other."""
    path = source.results.folder("gate", "corrections.csv")
    gated = source.table("gate", "GT_data.csv")
    if gated is None or "gate_condition" not in gated or not path.is_file():
        return []
    agreement = compare(read_corrections([path]), gated, "gate_condition")
    return [Note(agreement_lines(agreement), "Corrections")]


def read_cutoffs(source: Source) -> dict[str, Any]:
    """The gate's ``cutoffs.json``; empty where there is none."""
    path = source.results.folder("gate", "cutoffs.json")
    return dict(read_json(path)) if source.has("gate") and path.is_file() else {}


def classes_of(entry: Mapping[str, Any]) -> dict[str, bool]:
    """Class -> whether it carries the marker."""
    return dict(entry.get("classes") or {entry["class"]: entry["carries"]})


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _share(entry: Mapping[str, Any], name: str) -> str:
    value, low, high = entry[name], entry[f"{name}_low"], entry[f"{name}_high"]
    return "" if value is None else f"{value:.1%} ({low:.1%} to {high:.1%})"


def explorer(source: Source, cells: Cells, file: str) -> dict[str, Any] | None:
    """What the interactive gate has to know besides the cells; None without a gate.

    Parameters
    ----------
    source : Source
    cells : Cells
    file : str
        Name of the project file, for the command.
    """
    cutoffs = read_cutoffs(source)
    if not cutoffs or not cells.markers:
        return None
    markers = [marker for marker in cells.markers if marker in cutoffs]
    names = classes(source)
    colours = source.colours(names)
    rules = [
        {"name": name, "marker": markers.index(marker), "carries": carries, "colour": colours[name]}
        for name in names
        for marker in markers
        for own, carries in classes_of(cutoffs[marker]).items()
        if own == name
    ]
    plates = sorted(set(cells.table["Metadata_Plate"].astype(str)))
    values = [
        [cutoffs[m].get("per_plate", {}).get(p, cutoffs[m])["cutoff"] for p in plates]
        for m in markers
    ]
    run = source.runs["gate"]
    given = run.parameters.get("gate.cutoffs") or {}
    return {
        "markers": markers,
        "rules": rules,
        "grey": NO_CLASS,
        "cutoffs": values,
        "together": not any("per_plate" in entry for entry in cutoffs.values()),
        "byPlate": any("/" in name for name in given),
        "all": "gate.cutoffs" in run.overrides,
        "command": {"start": f"nucprof gate {_quoted(file)}", "end": _flags(run)},
    }


def classes(source: Source) -> list[str]:
    """The gate's classes, in the order of its rules."""
    found: dict[str, None] = {}
    for entry in read_cutoffs(source).values():
        found |= dict.fromkeys(classes_of(entry))
    return list(found)


def _flags(run: StageRun) -> list[str]:
    """The flags of the last run that are not in the project file, other than cutoffs."""
    words: list[str] = []
    for key, value in run.overrides.items():
        flag = "--" + key.partition(".")[2].replace("_", "-")
        flag = {"--classes": "--class", "--filters": "--filter"}.get(flag, flag)
        if flag == "--cutoffs":
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, Mapping):
            for name, own in value.items():
                words += [flag, _quoted(f"{name}={_limits(own)}", "'")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for own in value:
                words += [flag, _quoted(str(own))]
        else:
            words += [flag, _quoted(str(value))]
    return words


def _limits(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ":".join("" if own is None else str(own) for own in value)


def _quoted(text: str, quote: str = '"') -> str:
    plain = all(letter.isalnum() or letter in "_-./=+:" for letter in text)
    return text if plain else f"{quote}{text}{quote}"
