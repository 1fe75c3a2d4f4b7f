"""Paths of results: every path below the output folder is defined here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nucprof.plate.keys import CP_ROUND


@dataclass(frozen=True)
class Results:
    """The output folder of a project."""

    root: Path

    @property
    def manifest(self) -> Path:
        """The run manifest."""
        return self.root / "manifest.json"

    @property
    def owner(self) -> Path:
        """The file that names the project whose results these are."""
        return self.root / "project.json"

    @property
    def lock(self) -> Path:
        """The lock file that names the process that writes here."""
        return self.root / ".lock"

    @property
    def states(self) -> Path:
        """What every stage would do, as of the last check."""
        return self.root / "journal" / "states.json"

    def journal(self, stage: str) -> Path:
        """The journal of a stage, one line per finished field."""
        return self.root / "journal" / f"{stage}.jsonl"

    @property
    def images(self) -> Path:
        """Which file holds which channel of which field."""
        return self.root / "images.csv"

    @property
    def cells(self) -> Path:
        """The ledger of cells."""
        return self.root / "cells.parquet"

    def illumination(self, plate: str, round_name: str, channel: str) -> Path:
        """Gain and floor of a channel, by which its images are corrected on reading."""
        return self.root / "illumination" / plate / round_name / f"{channel}.tif"

    def illumination_picture(self, plate: str, round_name: str) -> Path:
        """Picture of gain and floor of all channels of a round."""
        return self.root / "illumination" / plate / f"{round_name}.png"

    def mask(self, plate: str, kind: str, field: str) -> Path:
        """Label image as segmented; ``kind`` is ``nuclei`` or ``cells``."""
        return self.root / "masks" / plate / kind / f"{field}.tif"

    def aligned_mask(self, plate: str, kind: str, field: str) -> Path:
        """Label image of the cells visible in every round."""
        return self.root / "aligned" / plate / "masks" / kind / f"{field}.tif"

    def aligned_image(self, plate: str, round_name: str, field: str) -> Path:
        """A ground-truth round on the Cell Painting frame."""
        return self.root / "aligned" / plate / f"GT_{round_name}" / f"{field}.tif"

    @property
    def objects(self) -> Path:
        """Evidence for every object that was segmented."""
        return self.root / "segment" / "objects.parquet"

    @property
    def nuclear_size(self) -> Path:
        """The nuclear diameter of every plate."""
        return self.root / "segment" / "nuclear_size.json"

    @property
    def registration(self) -> Path:
        """Shift and score of every field and round."""
        return self.root / "registration.csv"

    def crops(self, region: str, size: int) -> Path:
        """Folder of the crop stacks of a region and size."""
        return self.root / "crops" / f"{region}_{size}"

    def features(self, round_name: str) -> Path:
        """Feature table of the Cell Painting round or of a ground-truth round."""
        stem = CP_ROUND if round_name == CP_ROUND else f"GT_{round_name}"
        return self.root / "features" / f"{stem}.parquet"

    def part(self, stage: str, kind: str, plate: str, field: str) -> Path:
        """One field's part of a table, stored so that a changed field is computed alone."""
        return self.root / "parts" / stage / kind / plate / f"{field}.parquet"

    @property
    def classes(self) -> Path:
        """The true class of every cell, as the gate writes it."""
        return self.root / "gate" / "GT_data.csv"

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.root / "report.html"

    @property
    def colours(self) -> Path:
        """The colour of every class and culture of the project."""
        return self.root / "colours.json"

    def review(self, queue: str) -> Path:
        """The review page of a queue."""
        return self.root / "review" / f"{re.sub('[^A-Za-z0-9_.-]+', '_', queue)}.html"

    def folder(self, *names: str) -> Path:
        """A folder below the output folder, e.g. ``folder("train", "rf", "default")``."""
        return self.root.joinpath(*names)

    def relative(self, path: Path) -> str:
        """A path as in the manifest: relative to the output folder, with forward slashes."""
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )

    def absolute(self, text: str) -> Path:
        """The inverse of :meth:`relative`."""
        return self.root / text
