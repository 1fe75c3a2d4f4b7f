"""Checks of the machine, of images and layouts, and of the resources a project needs."""

from __future__ import annotations

import contextlib
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path

import psutil

from nucprof.config import Project, load_project
from nucprof.config.by_mode import crop_kind
from nucprof.config.segmenters import broken_segmenters, own_settings
from nucprof.errors import NucprofError
from nucprof.machine import available_memory, cores
from nucprof.project.doctor_images import Check, examine_images
from nucprof.raw.space import MASK_BYTES_PER_PIXEL, TABLE_BYTES_PER_CELL
from nucprof.run.pool import worker_count
from nucprof.segmentation.choose import choose_segmenter, find_model

_GB = 1e9
_ENOUGH_MEMORY = 8 * _GB
# Measured on one core with 2048 x 2048 fields of 4 channels (see benchmarks/README.md).
_SECONDS_PER_MEGAPIXEL = 1.5
_CELLS_PER_MEGAPIXEL = 170


def examine(project_path: Path | None = None) -> Iterator[Check]:
    """Check the machine and, if given, a project; nothing is changed."""
    yield from _machine()
    yield from _libraries()
    if project_path is None:
        return
    try:
        project = load_project(project_path)
        yield Check("ok", f"{project_path} is valid")
        segmenter = choose_segmenter(project.segment, project.execution.device)
        own = own_settings(project.segment, segmenter.settings)
        model = find_model(segmenter, own, project.execution.models_dir)
        found = f"segmentation by {segmenter.name}" + (f", model {model}" if model else "")
        yield Check("ok", found)
        images = examine_images(project)
        yield from images.checks
        yield from _needs(project, images.raw_bytes, images.painted_pixels)
    except NucprofError as error:
        yield Check("FAIL", str(error))


def conclude(checks: Sequence[Check], project_path: Path | None) -> list[str]:
    """The last lines: what to do next, or that everything is ready."""
    todo = [check for check in checks if check.mark in ("FAIL", "warn")]
    if todo:
        return ["To do:", *(f"  {n}. {check.text}" for n, check in enumerate(todo, start=1))]
    if project_path is None:
        return ["The machine is ready. Start a project with: nucprof init --cp FOLDER"]
    return [f"Ready. Next: nucprof run-all {shlex.quote(str(project_path))}"]


def _machine() -> Iterator[Check]:
    yield Check("ok", f"Python {platform.python_version()} on {platform.platform()}")
    total = psutil.virtual_memory().total
    text = (
        f"{cores()} cores, {total / _GB:.0f} GB memory, {available_memory() / _GB:.0f} GB free: "
        f"{worker_count('auto')} workers"
    )
    yield Check(
        "ok" if total >= _ENOUGH_MEMORY else "warn",
        text if total >= _ENOUGH_MEMORY else f"{text}; under 8 GB large fields may not fit",
    )


def _installed(name: str) -> str:
    """A distribution, or its build without GPU, with its version; empty if neither is there."""
    for distribution in (name, f"{name}-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return f"{distribution} {metadata.version(distribution)}"
    return ""


def _libraries() -> Iterator[Check]:
    for name in ("tensorflow", "stardist", "torch", "torchvision", "cellpose", "nd2", "umap-learn"):
        found = _installed(name)
        if found:
            yield Check("ok", found)
        elif name == "tensorflow":
            yield Check("note", "tensorflow is not installed: torch runs StarDist")
        else:
            yield Check("FAIL", f"{name} is not installed; run: pip install nucprof")
    for reason in broken_segmenters().values():
        yield Check("warn", reason)
    if util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            yield Check("ok", f"GPU for torch: {torch.cuda.get_device_name(0)}")
        elif torch.backends.mps.is_available():
            yield Check("ok", "GPU for torch: Apple MPS")
        else:
            yield Check(
                "note",
                "no GPU for torch: the network is trained on the CPU (resnet18), and "
                "whole cells are found by 'propagate' instead of Cellpose",
            )
    if sys.platform == "win32":
        yield Check(
            "note",
            "TensorFlow has no GPU on native Windows since 2.11: StarDist runs on "
            "the CPU here; use WSL2 to run it on the GPU",
        )


def _needs(project: Project, raw: float, pixels: float) -> Iterator[Check]:
    """Estimate disk space and time; aligned rounds take as much space as the raw ones."""
    aligned = 0.0
    if project.has_ground_truth:
        painted = len(project.channels.cell_painting)
        truth = sum(len(c) for c in project.channels.ground_truth.values())
        aligned = raw * truth / (painted + truth)
    cells = pixels / 1e6 * _CELLS_PER_MEGAPIXEL
    size = crop_kind(project).patch_size
    crops = cells * len(project.channels.cell_painting) * size * size * 2
    need = aligned + crops + cells * TABLE_BYTES_PER_CELL + pixels * MASK_BYTES_PER_PIXEL
    folder = project.project.output
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    minutes = pixels / 1e6 * _SECONDS_PER_MEGAPIXEL / worker_count(project.execution.workers) / 60
    yield Check(
        "ok" if free > 1.2 * need else "FAIL",
        f"results need about {need / _GB:.1f} GB; {free / _GB:.0f} GB are free at {folder}",
    )
    yield Check(
        "ok",
        f"about {max(1, round(minutes))} min to the features on this machine, at "
        f"{_CELLS_PER_MEGAPIXEL} cells a megapixel; training comes on top",
    )
