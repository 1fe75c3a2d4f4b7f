"""What is wrong or doubtful in the results of a project, in words that say what to do.

Rules look at plain facts; none of them reads a file. The report, ``nucprof status`` and the
terminal at the end of ``run-all`` show the same list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nucprof.config.by_mode import NUCLEUS_LENGTH
from nucprof.learn.report import SIGNIFICANT
from nucprof.plate.words import several, some
from nucprof.report.facts import Facts

#: A class, or the composition of a well, that rests on no more cells than this is a guess.
FEW_CELLS = 20
#: Largest share of a plate's cells that may lose their nucleus between two rounds,
MOST_LOST = 0.05
#: or lie outside the overlap of the rounds.
MOST_OUTSIDE = 0.25
#: Largest share of a plate's objects that may be much dimmer than the others.
MOST_DIM = 0.1
#: So many fields or wells are named; the others are counted.
MOST_NAMED = 4


@dataclass(frozen=True)
class Doubt:
    """One thing that is wrong or doubtful.

    Attributes
    ----------
    kind : str
        The rule, by its name in :data:`RULES`.
    text : str
        What is doubtful, and where.
    advice : str
        What to do.
    section : str
        The part of the report that shows it.
    """

    kind: str
    text: str
    advice: str
    section: str

    @property
    def line(self) -> str:
        """For the terminal."""
        return f"{self.text}. {self.advice}."


Found = Iterator[tuple[str, str]]
"""Text and advice of every doubt."""


def find_doubts(facts: Facts) -> list[Doubt]:
    """Everything doubtful, in the order of the stages."""
    return [
        Doubt(rule.kind, text, advice, rule.section)
        for rule in RULES
        for text, advice in rule.look(facts)
    ]


def outdated(facts: Facts) -> Found:
    """Results that are not up to date."""
    if facts.outdated:
        yield (
            f"results of {some(facts.outdated, MOST_NAMED)} were not up to date when this page was "
            "written",
            "Run nucprof run-all: it does again what has changed, and writes the page anew",
        )


def failed(facts: Facts) -> Found:
    """Fields that failed."""
    for stage, fields in facts.failed.items():
        yield (
            f"{stage} failed on {several(len(fields), 'field')} ({some(fields, MOST_NAMED)})",
            f"Read the messages under 'What was run', mend the cause and run nucprof {stage} again",
        )


def left_out(facts: Facts) -> Found:
    """Fields that left the project at a stage."""
    for stage, fields in facts.left_out.items():
        yield (
            f"{stage} left out {several(len(fields), 'field')} ({some(fields, MOST_NAMED)})",
            "Read the reasons under 'What was run'; their cells are in no result",
        )


def flagged(facts: Facts) -> Found:
    """Fields whose segmentation stands out."""
    by_fault: dict[str, list[str]] = {}
    for name, faults in facts.flagged.items():
        for fault in faults:
            by_fault.setdefault(fault, []).append(name)
    if facts.flagged:
        worst = "; ".join(f"{some(names, 2)}: {fault}" for fault, names in by_fault.items())
        yield (
            f"{len(facts.flagged)} of {facts.fields} fields stand out ({worst})",
            "Look at their outlines under 'Segmentation'; leave out the bad ones "
            "(project.exclude), or segment again with the settings named there",
        )


def dim(facts: Facts) -> Found:
    """Objects that are much dimmer than the others."""
    for plate, share in facts.dim.items():
        if share > MOST_DIM:
            yield (
                f"plate {plate}: {share:.0%} of the objects are much dimmer than the other nuclei; "
                "they may be haze, debris or nuclei out of focus",
                "Look at the outlines, then raise segment.min_contrast or segment.prob_thresh, or "
                "segment another channel",
            )


def small_crop(facts: Facts) -> Found:
    """Crops that do not hold a nucleus."""
    for plate, diameter in facts.diameter_px.items():
        if facts.crop_px is not None and facts.crop_px < NUCLEUS_LENGTH * diameter:
            yield (
                f"plate {plate}: a crop is {facts.crop_px} px wide, but a typical nucleus "
                f"{diameter:.0f} px and an elongated one {NUCLEUS_LENGTH * diameter:.0f} px, so "
                "crops cut nuclei off",
                'Set crop.patch_size = "auto", or a number of at least '
                f"{2 * diameter:.0f}, and run nucprof run-all again",
            )


def unregistered(facts: Facts) -> Found:
    """Registrations that are not certain."""
    for name, fields in facts.strange.items():
        yield (
            f"round {name}: the registration of {several(len(fields), 'field')} is doubtful "
            f"({some(fields, MOST_NAMED)})",
            "Look at the overlays under 'Registration'; leave out fields that do not fit "
            "(project.exclude)",
        )


def lost(facts: Facts) -> Found:
    """Cells that were lost between the rounds."""
    for plate, cells in facts.lost.items():
        if cells.before and cells.lost > MOST_LOST * cells.before:
            yield (
                f"plate {plate}: {cells.lost} of {cells.before} cells "
                f"({cells.lost / cells.before:.0%}) lost their nucleus between the rounds",
                "Look at the overlays under 'Registration': cells were washed off, or the rounds "
                "do not fit; align.lost_ratio sets how faint a nucleus may become",
            )
        if cells.before and cells.outside > MOST_OUTSIDE * cells.before:
            yield (
                f"plate {plate}: {cells.outside} of {cells.before} cells "
                f"({cells.outside / cells.before:.0%}) lie outside the overlap of the rounds",
                "Check that both rounds show the same place of the wells; a plate that was put "
                "back with a large shift loses this much",
            )


def uneven(facts: Facts) -> Found:
    """Plates of different brightness under one cutoff."""
    for text in facts.uneven:
        yield (
            f"{text}, but one cutoff is used for all plates",
            'Set gate.per = "plate" (every plate then needs the monocultures), or give each plate '
            "its cutoff: nucprof gate PROJECT --cutoff PLATE/MARKER=NUMBER",
        )


def few_of_a_class(facts: Facts) -> Found:
    """Classes that a cutoff leaves with few or no cells."""
    for name, count in facts.classes.items():
        if count <= FEW_CELLS:
            yield (
                f"class {name} has {several(count, 'cell') if count else 'no cells'} after the "
                "cutoffs",
                "Move the cutoffs under 'Gate' and copy the command, or check which marker the "
                "class has (gate.classes)",
            )


def chance(facts: Facts) -> Found:
    """Classifiers that are no better than their shuffled control."""
    for score in facts.scores:
        if score.p_value <= SIGNIFICANT:
            continue
        control = (
            f"macro-F1 {score.f1:.3f}; with shuffled labels {score.permuted:.3f} on average and up "
            f"to {score.permuted_95:.3f}, p = {score.p_value:.2g}"
        )
        if score.p_value_min > SIGNIFICANT:
            yield (
                f"the {score.method} cannot be told from chance with so few {score.unit}s "
                f"({control})",
                f"Add {score.unit}s of every class; until then do not rely on its predictions",
            )
        else:
            yield (
                f"the {score.method} is no better than its shuffled control ({control})",
                "Do not use its predictions. Check the classes under 'Gate', add wells, or train "
                "longer (train.cnn.epochs) on more cells",
            )


def one_validation_well(facts: Facts) -> Found:
    """A validation set of one well."""
    for culture, wells in facts.validation.items():
        if len(wells) == 1:
            yield (
                f"the network's validation set has one well of {culture} ({wells[0]}), so this "
                "well alone decides which epoch is kept and how probabilities are calibrated",
                "Image more wells (15 or more of a culture give two for validation), and trust "
                "the forest's cross-validation more",
            )


def small_wells(facts: Facts) -> Found:
    """Compositions that rest on few cells."""
    few = {well: n for well, n in facts.cells_of_wells.items() if n <= FEW_CELLS}
    if few:
        named = [f"{well}: {n}" for well, n in sorted(few.items(), key=lambda item: item[1])]
        yield (
            f"the composition of {several(len(few), 'well')} rests on {FEW_CELLS} cells or fewer "
            f"({some(named, MOST_NAMED)})",
            "Read their intervals, not their shares; image more sites of these wells",
        )


@dataclass(frozen=True)
class Rule:
    """A rule: its name, the part of the report that shows what it finds, and the function."""

    kind: str
    section: str
    look: Callable[[Facts], Found]

    @property
    def words(self) -> str:
        """What it looks for."""
        return (self.look.__doc__ or "").rstrip(".")


RULES: tuple[Rule, ...] = (
    Rule("outdated", "run", outdated),
    Rule("failed", "run", failed),
    Rule("left-out", "run", left_out),
    Rule("flagged", "segmentation", flagged),
    Rule("dim", "segmentation", dim),
    Rule("small-crop", "segmentation", small_crop),
    Rule("registration", "registration", unregistered),
    Rule("lost", "cells", lost),
    Rule("uneven", "gate", uneven),
    Rule("few-of-a-class", "gate", few_of_a_class),
    Rule("chance", "classifiers", chance),
    Rule("validation", "classifiers", one_validation_well),
    Rule("small-wells", "composition", small_wells),
)
