"""The visual check of ``segment``: figures per field, flags, and overlays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.core.sample import evenly_spaced
from nucprof.plate.keys import FieldKey
from nucprof.plate.sources import Source

if TYPE_CHECKING:  # scipy would slow `nucprof --help`
    from nucprof.core.quality import Flag

#: Fields per plate whose overlay is drawn whether flagged or not.
SAMPLE = 6
_DIGITS = 6

Key = tuple[str, str]


@dataclass(frozen=True)
class Overlay:
    """What the overlay of a field is drawn from: its channels, its masks, and the mode."""

    sources: tuple[Source, ...]
    masks: tuple[Path, ...]
    mode: str


@dataclass
class QualityReport:
    """Files written, number of flagged fields, and warnings for the user."""

    outputs: list[Path]
    flagged: int
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def report_quality(
    folder: Path, figures: Mapping[Key, Mapping[str, float]], overlays: Mapping[Key, Overlay]
) -> QualityReport:
    """Write ``qc.csv`` and the overlays of a sample of fields and of every flagged one.

    Parameters
    ----------
    folder : Path
        Where to write.
    figures : mapping
        What :func:`nucprof.core.quality.measure_quality` found, by plate and field.
    overlays : mapping
        How to draw a field, by plate and field.
    """
    import pandas as pd

    from nucprof.core.quality import RULES
    from nucprof.io.tables import write_table

    rows: list[dict[str, Any]] = []
    wanted: set[Key] = set()
    for plate in dict.fromkeys(plate for plate, _ in figures):
        measured = {key: found for key, found in figures.items() if key[0] == plate}
        rows += quality_rows(measured)
        wanted |= set(evenly_spaced(list(measured), SAMPLE))
    flagged = {(str(row["plate"]), str(row["field"])) for row in rows if row["flag"]}
    columns = ["plate", "well", "site", *(rule.name for rule in RULES), "flag", "reason"]
    write_table(folder / "qc.csv", pd.DataFrame(rows, columns=columns))
    write_overlays(
        folder / "overlays", {k: o for k, o in overlays.items() if k in wanted | flagged}
    )
    report = QualityReport([folder / "qc.csv"], len(flagged))
    report.lines.append(f"look at them: {folder / 'overlays'}")
    if flagged:
        report.warnings.append(
            f"{len(flagged)} of {len(rows)} fields stand out ({_some(sorted(flagged))}); "
            f"the reasons are in {folder / 'qc.csv'}"
        )
        report.warnings += advise(rows)
    return report


def advise(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe the flagged fields, one line per type of fault, with advice.

    Parameters
    ----------
    rows : sequence of mapping
        As :func:`quality_rows` returns them.
    """
    faults: dict[str, list[tuple[Key, Flag]]] = {}
    for row in rows:
        for flag in row["flags"]:
            faults.setdefault(flag.advice, []).append(((row["plate"], row["field"]), flag))
    lines = []
    for advice, found in faults.items():
        example = found[0][1].reason if len(found) == 1 else f"e.g. {found[0][1].reason}"
        fields = _some([key for key, _ in found])
        lines.append(f"{example}, {len(found)} of {len(rows)} fields ({fields}): {advice}")
    return lines


def _some(keys: Sequence[Key], most: int = 3) -> str:
    """The first of many fields."""
    names = ["/".join(key) for key in keys[:most]]
    return ", ".join(names + ["..."] * (len(keys) > most))


def quality_rows(measured: Mapping[Key, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Rows of ``qc.csv`` for one plate; with ``field`` and ``flags`` in addition to the columns."""
    from nucprof.core.quality import RULES, flag_fields

    figures = {
        rule.name: [float(found[rule.name]) for found in measured.values()] for rule in RULES
    }
    rows: list[dict[str, Any]] = []
    for k, (name, flags) in enumerate(zip(measured, flag_fields(figures), strict=True)):
        key = FieldKey.parse(name[1])
        values = {column: round(found[k], _DIGITS) for column, found in figures.items()}
        rows.append(
            {
                "field": name[1],
                "plate": name[0],
                "well": str(key.well),
                "site": key.site,
                **values,
                "objects": int(values["objects"]),
                "flag": bool(flags),
                "reason": "; ".join(flag.reason for flag in flags),
                "flags": flags,
            }
        )
    return rows


def write_overlays(folder: Path, overlays: Mapping[Key, Overlay]) -> None:
    """Draw the masks of some fields, and remove overlays of others."""
    wanted = {overlay_path(folder, key) for key in overlays}
    for path in folder.glob("*/*.png"):
        if path not in wanted:
            path.unlink()
    for key, overlay in overlays.items():
        write_overlay(overlay_path(folder, key), overlay)


def overlay_path(folder: Path, key: Key) -> Path:
    """Where the overlay of a field lies."""
    return folder / key[0] / f"{key[1]}.png"


def write_overlay(path: Path, overlay: Overlay) -> None:
    """Draw the masks of a field on its image."""
    from nucprof.figures.overlay import CELLS, NUCLEI, add_scale_bar, draw_overlay
    from nucprof.io.images import read_channels, read_labels
    from nucprof.io.pictures import write_picture
    from nucprof.segmentation.planes import split_planes

    image = read_channels(overlay.sources)
    nuclei, *cells = (read_labels(mask) for mask in overlay.masks)
    # Nuclei last: they must be visible in cells that consist of the nucleus only.
    outlines: Sequence = [*((mask, CELLS) for mask in cells), (nuclei, NUCLEI)]
    nuclear, cyto = split_planes(image, overlay.mode)
    picture = draw_overlay(nuclear, outlines, cyto)
    um = next((source.pixel_size_um for source in overlay.sources if source.pixel_size_um), None)
    add_scale_bar(picture, um, picture.width // nuclear.shape[1])
    write_picture(path, picture)
