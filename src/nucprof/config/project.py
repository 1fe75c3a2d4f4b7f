"""The model of the whole project file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nucprof.config import models as m
from nucprof.plate.keys import CP_ROUND

ENV_PREFIX = "NUCPROF_"


class Project(BaseSettings):
    """A project: everything that a stage may ask for.

    Precedence: flags > environment (``NUCPROF_SEGMENT__PMIN``) > file > defaults.
    Paths are absolute after :func:`load_project`.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
    )

    project: m.ProjectSection = Field(description="the project as a whole")
    plates: list[m.PlateSection] = Field(description="the plates", min_length=1)
    channels: m.ChannelsSection = Field(description="the channels")
    rename: m.RenameSettings = Field(default_factory=m.RenameSettings)
    segment: m.SegmentSettings = Field(default_factory=m.SegmentSettings)
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values as :func:`load_project` merged them, and from nowhere else."""
        return (init_settings,)

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
