"""The model of the whole project file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from nucprof.config import models as m
from nucprof.config.segmenters import SegmentSettings
from nucprof.plate.keys import CP_ROUND

ENV_PREFIX = "NUCPROF_"


class Project(BaseModel):
    """A project: all settings that a stage may need.

    Precedence: flags > environment (``NUCPROF_SEGMENT__PMIN``) > file > defaults.
    Paths are absolute after :func:`load_project`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    project: m.ProjectSection = Field(description="the project as a whole")
    plates: list[m.PlateSection] = Field(description="the plates", min_length=1)
    channels: m.ChannelsSection = Field(description="the channels")
    rename: m.RenameSettings = Field(default_factory=m.RenameSettings)
    illumination: m.IlluminationSettings = Field(default_factory=m.IlluminationSettings)
    segment: SegmentSettings = Field(default_factory=SegmentSettings)
    align: m.AlignSettings = Field(default_factory=m.AlignSettings)
    crop: m.CropSettings = Field(default_factory=m.CropSettings)
    features: m.FeatureSettings = Field(default_factory=m.FeatureSettings)
    reference: m.ReferenceSettings = Field(default_factory=m.ReferenceSettings)
    gate: m.GateSettings = Field(default_factory=m.GateSettings)
    train: m.TrainSettings = Field(default_factory=m.TrainSettings)
    embed: m.EmbedSettings = Field(default_factory=m.EmbedSettings)
    gradcam: m.GradcamSettings = Field(default_factory=m.GradcamSettings)
    predict: m.PredictSettings = Field(default_factory=m.PredictSettings)
    execution: m.ExecutionSettings = Field(default_factory=m.ExecutionSettings)

    _file: Path | None = PrivateAttr(default=None)

    @property
    def root(self) -> Path:
        """The folder of the project file."""
        return self._file.parent if self._file else self.project.output.parent

    @property
    def file(self) -> Path | None:
        """The project file; None for a project that was not read from one."""
        return self._file

    def at(self, file: Path) -> Project:
        """The same project, read from `file`."""
        placed = self.model_copy()
        placed._file = file
        return placed

    def round_channels(self, round_name: str) -> list[str]:
        """Channels of a round, in file order; ``CP`` is the Cell Painting round."""
        if round_name == CP_ROUND:
            return list(self.channels.cell_painting)
        return list(self.channels.ground_truth[round_name])

    @property
    def rounds(self) -> list[str]:
        """Names of the ground-truth rounds that at least one plate has, in the file's order."""
        used = {name for plate in self.plates for name in plate.ground_truth}
        return [name for name in self.channels.ground_truth if name in used]

    def rounds_of(self, plate: str) -> list[str]:
        """Names of the ground-truth rounds of one plate, in the file's order."""
        held = next(p.ground_truth for p in self.plates if p.name == plate)
        return [name for name in self.channels.ground_truth if name in held]

    @property
    def has_ground_truth(self) -> bool:
        """Whether any plate has a ground-truth round."""
        return bool(self.rounds)

    @property
    def mask_kind(self) -> str:
        """``nuclei`` or ``cells``: the objects that are classified."""
        return self.segment.mode

    def section(self, name: str) -> BaseModel:
        """The section of a dotted name, e.g. ``train.rf``."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value  # type: ignore[no-any-return]
