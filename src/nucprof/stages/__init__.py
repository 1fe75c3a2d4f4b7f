"""The stages, in run-all's order. Adding one is one file here, one settings model, one line."""

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
)

__all__ = ["STAGES", "Stage", "stage"]


def stage(name: str) -> Stage:
    """Look a stage up by name; raises :class:`UserError` listing the names."""
    for candidate in STAGES:
        if candidate.name == name:
            return candidate
    raise UserError(f"There is no stage '{name}'; stages are {', '.join(s.name for s in STAGES)}.")
