"""The stages, in the order of run-all. To add one: a file, a settings model and a line here."""

from __future__ import annotations

from nucprof.errors import UserError
from nucprof.stages import (
    align,
    crop,
    embed,
    features,
    gate,
    gradcam,
    predict,
    rename,
    report,
    segment,
    train_cnn,
    train_rf,
)
from nucprof.stages.base import Stage

STAGES: tuple[Stage, ...] = (
    rename.STAGE,
    segment.STAGE,
    align.STAGE,
    crop.STAGE,
    features.STAGE,
    gate.STAGE,
    train_rf.STAGE,
    train_cnn.STAGE,
    embed.STAGE,
    gradcam.STAGE,
    predict.STAGE,
    report.STAGE,
)

__all__ = ["STAGES", "Stage", "chosen_stages", "stage"]


def stage(name: str) -> Stage:
    """Look a stage up by name; raises :class:`UserError` listing the names."""
    for candidate in STAGES:
        if candidate.name == name:
            return candidate
    raise UserError(f"There is no stage '{name}'; stages are {', '.join(s.name for s in STAGES)}.")


def chosen_stages(first: str | None, last: str | None) -> list[Stage]:
    """Stages from ``first`` to ``last``, both included; raises :class:`UserError`."""
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name is not None and name not in names:
            raise UserError(f"There is no stage '{name}'; stages are {', '.join(names)}.")
    start = names.index(first) if first else 0
    stop = names.index(last) + 1 if last else len(names)
    if start >= stop:
        raise UserError(f"--from {first} lies after --until {last}.")
    return list(STAGES[start:stop])
