"""The stages, in run-all's order. Adding one is one file here, one settings model, one line."""

from __future__ import annotations

from collections.abc import Callable

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.stages.base import Stage

__all__ = ["STAGES", "Stage", "stage"]


def _without_ground_truth(project: Project) -> str | None:
    return None if project.has_ground_truth else "the project has no ground-truth round"


def _uses_network(project: Project) -> bool:
    return project.segment.backend not in ("watershed", "labels")


def _disabled(section: str) -> Callable[[Project], str | None]:
    def skip(project: Project) -> str | None:
        enabled = project.section(section).model_dump()["enabled"]
        return None if enabled else f"{section}.enabled is false"

    return skip


def _without_network(section: str) -> Callable[[Project], str | None]:
    def skip(project: Project) -> str | None:
        return _disabled(section)(project) or _disabled("train.cnn")(project)

    return skip


def _without_embeddings(project: Project) -> str | None:
    if project.embed.source == "features":
        return _disabled("embed")(project)
    return _without_network("embed")(project)


def _without_model(project: Project) -> str | None:
    return "predict.model names no model" if project.predict.model is None else None


STAGES = (
    Stage("rename", "Map raw microscope names to field keys", ("rename",), (), ("images.csv",)),
    Stage(
        "segment",
        "Find nuclei or whole cells",
        ("segment",),
        ("rename",),
        ("masks/", "cells.parquet"),
        isolated=_uses_network,
    ),
    Stage(
        "align",
        "Bring the ground-truth rounds onto the Cell Painting frame",
        ("align",),
        ("rename", "segment"),
        ("aligned/", "registration.csv"),
        skip=_without_ground_truth,
    ),
    Stage(
        "crop",
        "Cut one patch per cell",
        ("crop",),
        ("segment", "align"),
        ("crops/",),
        version=2,
    ),
    Stage(
        "features",
        "Measure intensity, shape and texture of every cell",
        ("features",),
        ("segment", "align"),
        ("features/",),
    ),
    Stage(
        "gate",
        "Give cells their true class from the ground truth",
        ("gate",),
        ("features",),
        ("gate/",),
        skip=_without_ground_truth,
    ),
    Stage(
        "train-rf",
        "Train and evaluate a random forest",
        ("train", "train.rf"),
        ("features", "gate"),
        ("train/rf/",),
        skip=_disabled("train.rf"),
        version=2,
    ),
    Stage(
        "train-cnn",
        "Train and evaluate a network",
        ("train", "train.cnn"),
        ("crop", "features", "gate"),
        ("train/cnn/",),
        skip=_disabled("train.cnn"),
        version=2,
    ),
    Stage(
        "embed",
        "Embed every cell and draw the map",
        ("embed",),
        ("crop", "features", "gate", "train-cnn"),
        ("embed/",),
        skip=_without_embeddings,
    ),
    Stage(
        "gradcam",
        "Show where the network looks",
        ("gradcam",),
        ("crop", "train-cnn"),
        ("gradcam/",),
        skip=_without_network("gradcam"),
        version=2,
    ),
    Stage(
        "predict",
        "Apply a saved model: classes, and the composition of every well",
        ("predict",),
        ("crop", "features"),
        ("predict/",),
        skip=_without_model,
    ),
)


def stage(name: str) -> Stage:
    """Look a stage up by name; raises :class:`UserError` listing the names."""
    for candidate in STAGES:
        if candidate.name == name:
            return candidate
    raise UserError(f"There is no stage '{name}'; stages are {', '.join(s.name for s in STAGES)}.")
