"""The sections of the project file, one model each.

These models are the only place where a setting is declared: the commands' flags, the help texts,
the example file, validation and the manifest come from them. Every field has a description and,
where it has one, a unit; unknown keys are errors.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from nucprof.config.setting import Auto, SafeName, Section, setting
from nucprof.errors import DataError

Sample = int | Literal["max", "unequal", "oversampling"]


class ProjectSection(Section):
    """The project as a whole."""

    name: SafeName = Field(description="name of the project, used in titles")
    output: Path = setting(Path("results"), "folder for the results")
    seed: int = setting(0, "seed of every random choice", ge=0)
    exclude: list[str] = setting([], "wells or fields left out, e.g. B02, C-03-01 or rep1/B02")


class PlateSection(Section):
    """One plate, or one replicate of it."""

    name: SafeName = Field(description="name of the plate; unique within the project")
    cell_painting: Path = Field(description="folder of the Cell Painting images")
    layout: Path | None = setting(
        None, 'plate layout (.xlsx with a sheet "Culture", or .csv): rows A.., columns 1..'
    )
    ground_truth: dict[SafeName, Path] = setting(
        {}, "folder of the images of each ground-truth round"
    )


class ChannelsSection(Section):
    """The channels, in the order in which the files hold them."""

    cell_painting: list[SafeName] = Field(
        description="Cell Painting channels, in file order", min_length=1
    )
    nuclei: str = Field(description="the nuclear channel")
    ground_truth: dict[SafeName, list[SafeName]] = setting(
        {}, "channels of each ground-truth round, in file order"
    )


Projection = Literal["max", "mean", "best_focus"] | Annotated[int, Field(ge=1)]


class RenameSettings(Section):
    """How raw file names become field keys."""

    pattern: str | dict[str, str] = setting(
        "auto",
        "pattern of the file names: auto, the name of a built-in one, or a regular expression "
        "with the groups row and column (or well), site, channel, z, t; or a table, round -> one",
    )
    extension: str = setting("auto", "file extension, e.g. .nd2; auto takes every image format")
    mode: Literal["index", "link", "move"] = setting(
        "index", "index touches no file; link makes hard links; move renames the raw files"
    )
    projection: Projection | dict[str, Projection] | None = setting(
        None,
        "how focal planes (Z) become one image: max, mean, best_focus or the number of a plane, "
        "from 1; or a table, round -> one of these",
    )
    time: int | None = setting(None, "time point used where there are several, from 1", ge=1)
    recursive: bool = setting(False, "also look for images in the folders in the folder")
    channel_map: dict[str, str] = setting(
        {},
        "channel token in the file name -> channel name, for one file per channel",
        flag="channel",
    )

    def for_round(self, name: str) -> RenameSettings:
        """The settings of one round: what is a table by rounds becomes its own value."""
        own: dict[str, Any] = {}
        if isinstance(self.pattern, dict):
            own["pattern"] = self.pattern.get(name, "auto")
        if isinstance(self.projection, dict):
            own["projection"] = self.projection.get(name)
        return self.model_copy(update=own)


class SegmentBase(Section):
    """How nuclei or whole cells are found."""

    mode: Literal["nuclei", "cells"] = setting("nuclei", "what is segmented and classified")
    backend: str | None = setting(
        None,
        "segmentation method; default stardist for nuclei, and for cells cellpose with a GPU, "
        "propagate without",
    )
    channels: list[str] = setting(
        [], "channels segmented; default the nuclear one for nuclei, all for cells"
    )
    clear_border: bool = setting(True, "drop objects that touch the image border")
    min_contrast: float = setting(
        0.15,
        "drop nuclei that stand out from their own surroundings by less than this share of their "
        "brightness, or no more than noise does; 0 keeps everything",
        ge=0,
        lt=1,
    )


class AlignSettings(Section):
    """How a ground-truth round is brought onto the Cell Painting frame."""

    cp_channels: list[str] = setting(
        [], "Cell Painting channels to register on; default the nuclear one"
    )
    gt_channels: list[str] = setting(
        [],
        "ground-truth channels to register on; default the nuclear one, where a round lacks it "
        "the maximum over its channels",
    )
    max_shift_px: float = setting(200.0, "largest shift searched", unit="px", gt=0)
    min_overlap: float = setting(
        0.5, "smallest share of the Cell Painting image that must overlap", gt=0, le=1
    )
    lost_ratio: float = setting(
        0.2,
        "a cell is lost when its nucleus stands out from its ring in the round by under this share "
        "of what its contrast in Cell Painting leads to expect",
        ge=0,
        le=1,
    )
    model: Literal["auto", "translation", "similarity"] = setting(
        "auto",
        "how a round may differ from Cell Painting: translation, a shift; similarity, also a "
        "rotation and a magnification; auto takes a similarity where the field's parts ask for it",
    )


PatchSize = Annotated[int, Field(ge=4)]
Region = Literal["nucleocentric", "nucleus", "cell"]


class CropSettings(Section):
    """One patch per cell."""

    region: Region | None = setting(
        None, "what a crop shows; default nucleocentric, in cell mode cell"
    )
    patch_size: Auto | PatchSize | None = setting(
        None,
        "side of a crop; default 60, for region cell 192; auto: from the nuclear size that segment "
        "measured",
        unit="px",
    )
    masked: bool | None = setting(
        None, "set pixels outside the object to 0; default by region: false, nucleus and cell true"
    )
    export_tiff: bool = setting(False, "also write one TIFF per cell, as the published scripts did")


Compartment = Literal["Nuclei", "Cells", "Cytoplasm", "Patch"]


class FeatureSettings(Section):
    """Handcrafted features."""

    regions: list[Compartment] = setting(
        [],
        "compartments measured; default Nuclei, Patch, in cell mode Nuclei, Cytoplasm, Cells",
    )
    textures: bool = setting(True, "measure grey-level co-occurrence")
    texture_set: Literal["both", "published", "robust"] = setting(
        "both",
        "which textures: the published ones, or those that exposure and size do not move (names "
        "with Robust; classifiers use these where they are measured)",
        when={"textures": [True]},
    )
    patch_size: int = setting(60, "side of the patch around a nucleus", unit="px", ge=4)
    texture_background: Literal["exclude", "include"] = setting(
        "exclude",
        "whether pixel pairs outside the object count in the published textures (the published "
        "scripts include)",
        when={"textures": [True], "texture_set": ["both", "published"]},
    )
    csv: bool = setting(False, "also write the tables as .csv", decides=False)


class GateSettings(Section):
    """True classes from ground-truth intensities."""

    classes: dict[str, str] = setting(
        {},
        'class -> its marker, or !MARKER for the line without one (astro = "!EdU"; on the '
        "command line in single quotes: 'astro=!EdU'); default from the monocultures",
        flag="class",
    )
    cutoffs: dict[str, float | Auto] = setting(
        {}, "marker -> cutoff on its mean intensity, or auto", unit="grey levels", flag="cutoff"
    )
    filters: dict[str, tuple[float | None, float | None]] = setting(
        {}, "feature -> [low, high]; cells outside leave", flag="filter"
    )
    mixed_culture: str = setting("co-culture", "the layout's word for mixed wells")
    per: Literal["auto", "plate", "project"] = setting(
        "auto",
        "what has cutoffs of its own; auto: every plate, where all hold the monocultures needed",
    )
    background: Literal["none", "field", "patch"] = setting(
        "none",
        "what is subtracted first: nothing, the field's background (the median of the darkest "
        "pixels around its cells), or the darkest pixel around each cell",
    )
    unmix: bool = setting(
        False, "remove the light of one marker seen in another's channel, by the monocultures"
    )

    @field_validator("classes")
    @classmethod
    def _tell_apart(cls, value: dict[str, str]) -> dict[str, str]:
        if value:
            from nucprof.core.markers import read_rules  # numpy would slow `nucprof --help`

            try:
                read_rules(value)
            except DataError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("cutoffs")
    @classmethod
    def _finite(cls, value: dict[str, float | Auto]) -> dict[str, float | Auto]:
        for marker, cutoff in value.items():
            if cutoff != "auto" and not math.isfinite(cutoff):
                raise ValueError(f"the cutoff of {marker} is {cutoff}; give a number or auto")
        return value

    @field_validator("filters", mode="before")
    @classmethod
    def _read_flag(cls, value: Any) -> Any:
        """Accept ``low:high`` (either may be empty) beside ``[low, high]``, for the flag."""
        if not isinstance(value, dict):
            return value
        read = {}
        for feature, limits in value.items():
            if isinstance(limits, str):
                low, _, high = limits.partition(":")
                limits = (low or None, high or None)
            read[feature] = limits
        return read


class ReferenceSettings(Section):
    """Wells of known culture, with which the others of their plate are compared."""

    wells: list[str] = setting(
        [], "reference wells, e.g. B02 (of every plate) or rep1/B02", flag="reference_wells"
    )
    culture: list[str] = setting(
        [],
        "cultures whose wells are reference wells; default the layout's monocultures",
        flag="reference_culture",
    )

    @field_validator("culture", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        """Accept one name beside a list of names."""
        return [value] if isinstance(value, str) else value


class ForestSettings(Section):
    """The random forest."""

    enabled: bool = setting(True, "train a forest", decides=False)
    evaluation: Literal["cv", "split"] = setting(
        "cv", "cv: every cell predicted once, its well unseen; split: 60/10/30 of the wells"
    )
    regions: list[str] = setting([], "compartments used; default all")
    channels: list[str] = setting([], "channels used; default all")
    scaling: Literal["none", "plate", "well"] = setting(
        "none",
        "z-score of the features: plate by the plate's reference wells; well by a well's own cells "
        "(published), which erases what wells hold: no composition",
    )
    drop_redundant: bool = setting(False, "drop one of each pair of features with r > 0.95")


class CnnSettings(Section):
    """The convolutional network."""

    enabled: bool = setting(True, "train a network", decides=False)
    architecture: str = setting(
        "auto", "torchvision classification network; auto: resnet50 with a GPU, else resnet18"
    )
    channels: list[str] = setting([], "channels used; default all")
    epochs: int = setting(50, "passes over the training cells, at most", ge=1)
    batch_size: int = setting(100, "crops per step", ge=1)
    learning_rate: float = setting(1e-4, "learning rate at the start", gt=0)
    image_size: int = setting(128, "side to which crops are resized", unit="px", ge=8)
    weight_decay: float = setting(1e-4, "weight decay", ge=0)
    schedule: Literal["plateau", "one-cycle"] = setting("plateau", "learning-rate schedule")
    patience: int = setting(15, "epochs without a better validation loss before stopping", ge=1)
    normalise: Literal["crop", "plate"] = setting(
        "crop",
        "percentiles of each crop and channel (published), or of the plate's reference wells",
    )
    pretrained: Path | None = setting(
        None, "file of ImageNet weights (.pth), where you have one", decides=False
    )
    compile: bool = setting(False, "use torch.compile", decides=False)
    repeats: int = setting(1, "trainings per seed, each from other random weights", ge=1)
    sizes: list[int] = setting(
        [], "learning curve: training cells per class of each point; three runs a point"
    )
    ablate: Literal["none", "channels"] = setting(
        "none", "channels: train again without each channel in turn"
    )


class TrainSettings(Section):
    """What is learned, from which cells; shared by forest and network."""

    targets: list[str] = setting([], "classes learned; default all")
    culture: Literal["auto", "mixed", "mono"] = setting(
        "auto", "cells trained on; auto: mixed where there is a gate, else mono"
    )
    test_culture: Literal["same", "mixed", "mono"] = setting(
        "same", "cells tested on, where not of the same culture"
    )
    sample: Sample = setting(2000, "training cells per class; or max, unequal, oversampling")
    seeds: list[int] = setting([0], "seeds; one run each", min_length=1)
    split_unit: Literal["well", "plate"] = setting("well", "what a split never divides")
    density_strata: int = setting(
        0, "also report the metrics in this many groups of fields by density; 0: do not", ge=0
    )
    rf: ForestSettings = Field(default_factory=ForestSettings, description="the random forest")
    cnn: CnnSettings = Field(default_factory=CnnSettings, description="the network")

    @field_validator("targets")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"the class '{name}' is listed twice")
        return value


class EmbedSettings(Section):
    """Embeddings and their map."""

    enabled: bool = setting(True, "make embeddings", decides=False)
    source: Literal["cnn", "features"] = setting("cnn", "the network's features, or handcrafted")
    method: Literal["umap", "pca"] = setting("umap", "projection to two dimensions")
    scaling: Literal["none", "plate"] = setting("none", "z-score of the features per plate")
    model: str = setting("default", "name of the trained network", decides=False)
    map: Path | None = setting(
        None,
        "map.npz of another run, to place these cells on its map; default a map of their own",
        decides=False,
    )
    csv: bool = setting(False, "also write embeddings.csv", decides=False)


class GradcamSettings(Section):
    """Where the network looks."""

    enabled: bool = setting(True, "make maps of where the network looks (LayerCAM)", decides=False)
    per_class: int = setting(10, "crops shown per class", ge=1)
    choose: Literal["certain", "uncertain", "wrong", "random"] = setting(
        "random", "which crops are shown"
    )
    model: str = setting("default", "name of the trained network", decides=False)


class PredictSettings(Section):
    """A saved model applied to this project's cells."""

    model: Path | None = setting(
        None, "folder of a trained model (forest or network)", decides=False
    )
    confidence: float = setting(
        0.0, "cells whose calibrated confidence is below this are called uncertain", ge=0, lt=1
    )
    bootstrap: int = setting(1000, "resamples for the 95% intervals", ge=100)


class ExecutionSettings(Section):
    """Where the work runs; none of these changes a result."""

    workers: int | Auto = setting("auto", "processes; auto from cores and memory", decides=False)
    device: str = setting(
        "auto",
        "auto, cpu, cuda, cuda:N or mps",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        decides=False,
    )
    scheduler: str | None = setting(
        None, "address of a Dask cluster, e.g. tcp://host:8786", decides=False
    )
    models_dir: Path | None = setting(
        None,
        "folder of segmentation models, e.g. on a shared disk; default NUCPROF_MODELS_DIR",
        decides=False,
    )
