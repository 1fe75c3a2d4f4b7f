"""The gate's summary and warnings: cutoffs, label noise, contamination, doubtful cutoffs."""

from __future__ import annotations

from nucprof.core.cutoffs import CutoffQuality
from nucprof.core.gate import Gate
from nucprof.core.identity import NO_MARKER, SEVERAL
from nucprof.core.markers import markers_of
from nucprof.core.stray_light import uneven_plates

MOST_PLATES = 4
"""Largest number of plates whose cutoffs are listed one by one."""
LEAST_TOLD = 0.005
"""Foreign cells below this share of a monoculture appear in the table only."""
FEW_CELLS = 20
"""With fewer cells on one side, a cutoff is a guess."""
LEAST_YOUDEN = 0.5
"""Sensitivity + specificity - 1 below which a marker hardly separates the monocultures."""


def cutoff_lines(gate: Gate) -> list[str]:
    """The cutoff of each class, and how well it separates the monocultures."""
    lines = []
    for name, rule in gate.rules.items():
        found = gate.cutoffs.values[rule.marker].items()
        values = {plate: value for plate, value in found if value == value}  # not NaN
        sign = ">" if rule.carries else "not >"
        number = f"{gate.cutoffs.summary(rule.marker):.1f}"
        if gate.per_plate and len(set(values.values())) > 1:
            each = ", ".join(f"{value:.1f} on {plate}" for plate, value in values.items())
            low, high = min(values.values()), max(values.values())
            few = len(values) <= MOST_PLATES
            number = each if few else f"{low:.1f} to {high:.1f}, by plate"
        quality = gate.cutoffs.quality[rule.marker][""]
        shares = {"sensitivity": quality.sensitivity, "specificity": quality.specificity}
        words = [
            f"{what} {share.value:.1%} [{share.low:.1%}-{share.high:.1%}]"
            for what, share in shares.items()
            if share.cells and gate.class_of(rule.marker) == name
        ]
        judged = f" on held-out {quality.held_out}" if quality.held_out else ""
        lines.append(
            f"{name}: {rule.marker} {sign} {number}"
            + (f"; {', '.join(words)}{judged}" if words else "")
        )
    return lines


def certainty_lines(gate: Gate) -> list[str]:
    """Label noise, and contamination of the monocultures."""
    lines = []
    if gate.label_noise == gate.label_noise:
        lines.append(f"label noise: {gate.label_noise:.1%} of the decided cells, by the mixture")
    foreign = [
        c for c in gate.identity.contents if c.culture in gate.rules and c.is_class != c.culture
    ]
    if len(gate.cells.plate_names) > MOST_PLATES:
        foreign = sorted(foreign, key=lambda c: -c.share.value)[:1]
    lines += [
        f"plate {c.plate}: {c.share.value:.1%} [{c.share.low:.1%}-{c.share.high:.1%}] of the "
        f"monoculture {c.culture} {_are(c.is_class)}"
        for c in foreign
        if c.share.value > LEAST_TOLD
    ]
    return lines


def _are(content: str) -> str:
    return f"carry {content}" if content in (NO_MARKER, SEVERAL) else f"are {content}"


def warnings(gate: Gate) -> list[str]:
    """What the user must know before trusting the classes."""
    cells, markers = gate.cells, markers_of(gate.rules)
    lines = []
    if len(cells.plate_names) > 1 and not gate.per_plate:
        lines += [
            f"{line}, and one cutoff is used for all plates. Give each plate its own cutoff "
            "(gate.per = plate); every plate then needs the monocultures"
            for line in uneven_plates(cells, markers)
        ]
    lacking: set[str] = set()
    for marker in markers:
        without = [p for p in cells.plate_names if not cells.plate(p).has(marker)]
        lines += [
            f"plate {plate} has no values of {marker}, so its cells get no class"
            for plate in without
        ]
        lacking |= set(without)
        for plate, quality in gate.cutoffs.quality[marker].items():
            if gate.is_given(marker, plate) or (plate == "") == gate.per_plate or plate in without:
                continue
            lines += _weak(marker, quality, f" on plate {plate}" if plate else "")
    lines += [
        f"plate {plate}: the probabilities of the classes are left empty, as the cells with and "
        "without a marker are too few or too similar to fit the mixture"
        for plate in gate.identity.unfitted
        if plate not in lacking
    ]
    return lines


def _weak(marker: str, quality: CutoffQuality, where: str) -> list[str]:
    sensitivity, specificity = quality.sensitivity, quality.specificity
    if min(sensitivity.cells, specificity.cells) < FEW_CELLS:
        return [
            f"the cutoff of {marker}{where} rests on fewer than {FEW_CELLS} cells of a monoculture "
            f"({sensitivity.cells} and {specificity.cells} could be held out): it is a guess"
        ]
    if sensitivity.value + specificity.value - 1 < LEAST_YOUDEN:
        return [
            f"{marker} hardly separates the monocultures{where}: of the held-out cells, "
            f"{sensitivity.value:.0%} with the marker and {1 - specificity.value:.0%} without it "
            "are above the cutoff"
        ]
    return []
