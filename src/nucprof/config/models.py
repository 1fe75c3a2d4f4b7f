"""The sections of the project file, one model each.

A setting is declared only here: the commands' flags, the help texts, the example file, the
validation and the manifest are derived from these models. Every field has a description and, if it
needs one, a unit. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from nucprof.config.setting import Auto, ClassName, SafeName, Section, class_name, setting
from nucprof.errors import DataError

Sample = Annotated[int, Field(ge=1)] | Literal["max", "unequal", "oversampling"]


class ProjectSection(Section):
    """The project as a whole."""

    name: SafeName = Field(description="name of the project, used in titles")
    output: Path = setting(Path("results"), "folder for the results")
    seed: int = setting(0, "seed of every random choice", ge=0)
    exclude: list[str] = setting([], "wells or fields to leave out, e.g. B02, C-03-01 or rep1/B02")


class PlateSection(Section):
    """One plate, or one replicate of it."""

    name: SafeName = Field(description="name of the plate; unique within the project")
    cell_painting: Path = Field(description="folder of the Cell Painting images")
    layout: Path | None = setting(
        None, 'plate layout: .xlsx with a sheet "Culture", or .csv; rows A.., columns 1..'
    )
    ground_truth: dict[SafeName, Path] = setting(
        {}, "folder of the images of each ground-truth round"
    )


class ChannelsSection(Section):
    """The channels, in the order in which they are stored in the files."""

    cell_painting: list[SafeName] = Field(
        description="Cell Painting channels, in file order", min_length=1
    )
    nuclei: str = Field(description="the nuclear channel")
    ground_truth: dict[SafeName, list[SafeName]] = setting(
        {}, "channels of each ground-truth round, in file order"
    )


Precision = Literal["auto", "full"]
Projection = Literal["max", "mean", "best_focus"] | Annotated[int, Field(ge=1)]
PixelSize = Annotated[float, Field(ge=0.01, le=20, allow_inf_nan=False)]


class RenameSettings(Section):
    """How raw file names become field keys."""

    pattern: str | dict[str, str] = setting(
        "auto",
        "pattern of the file names: auto, the name of a built-in pattern, or a regular expression "
        "with the groups row and column (or well), site, channel, z, t; or a table that gives each "
        "round its pattern",
    )
    extension: str = setting("auto", "file extension, e.g. .nd2; auto: every image format")
    mode: Literal["index", "link", "move"] = setting(
        "index", "index touches no file; link makes hard links; move renames the raw files"
    )
    projection: Projection | dict[str, Projection] | None = setting(
        None,
        "how focal planes (Z) become one image: max, mean, best_focus or the number of a plane, "
        "counted from 1; or a table that gives each round one of these",
    )
    time: int | None = setting(
        None, "which time point to use where there are several, counted from 1", ge=1
    )
    pixel_size_um: PixelSize | dict[str, PixelSize] | None = setting(
        None,
        "side of a pixel, if the files do not give it or give a wrong one; or a table that gives "
        "each round its own",
        unit="µm",
    )
    recursive: bool = setting(False, "also look for images in subfolders")
    channel_map: dict[str, str | dict[str, str]] = setting(
        {},
        "channel token in the file name -> channel name, where each channel is a file of its own; "
        "or a table for each round that has such tokens of its own",
        flag="channel",
    )

    def for_round(self, name: str) -> RenameSettings:
        """The settings of one round; a table by round is replaced by the value of this round.

        ``channel_map`` has the tokens of all rounds and those of this round.
        """
        own: dict[str, Any] = {}
        if isinstance(self.pattern, dict):
            own["pattern"] = self.pattern.get(name, "auto")
        if isinstance(self.projection, dict):
            own["projection"] = self.projection.get(name)
        if isinstance(self.pixel_size_um, dict):
            own["pixel_size_um"] = self.pixel_size_um.get(name)
        tokens = {token: to for token, to in self.channel_map.items() if isinstance(to, str)}
        of_round = self.channel_map.get(name)
        own["channel_map"] = tokens | (of_round if isinstance(of_round, dict) else {})
        return self.model_copy(update=own)


class IlluminationSettings(Section):
    """How uneven illumination is corrected; per plate, round and channel."""

    method: Literal["none", "median", "basicpy"] = setting(
        "none",
        "how the illumination is estimated from the fields of a plate: none: images are used as "
        "they are; median: from the bright pixels of all fields, robust; basicpy: BaSiC, with the "
        "package basicpy",
        flag="illumination_method",
    )
    dark: float | None = setting(
        None,
        "grey level of an image without light; default: the darkest part of every place",
        unit="grey levels",
        flag="illumination_dark",
        when={"method": ["median", "basicpy"]},
        ge=0,
    )


class SegmentBase(Section):
    """How nuclei or whole cells are found."""

    mode: Literal["nuclei", "cells"] = setting("nuclei", "what is segmented and classified")
    backend: str | None = setting(
        None,
        "segmentation method; default: stardist for nuclei; for cells, cellpose with a GPU and "
        "propagate without one",
    )
    channels: list[str] = setting(
        [], "channels to segment; default: the nuclear channel for nuclei, all channels for cells"
    )
    clear_border: bool = setting(True, "drop objects that touch the image border")
    min_contrast: float = setting(
        0.7,
        "drop nuclei that are dimmer than the others and differ from their surroundings by less "
        "than this share of their brightness, debris, and objects within the noise; 0: keep all",
        ge=0,
        lt=1,
    )


class AlignSettings(Section):
    """How a ground-truth round is registered to the Cell Painting round."""

    cp_channels: list[str] = setting(
        [], "Cell Painting channels used for registration; default: the nuclear channel"
    )
    gt_channels: list[str] = setting(
        [],
        "ground-truth channels used for registration; default: the nuclear channel, or the "
        "maximum over all channels if the round has no nuclear channel",
    )
    max_shift_px: float = setting(
        200.0, "largest shift that is searched", unit="px", gt=0, le=100_000
    )
    min_overlap: float = setting(
        0.5, "smallest allowed overlap, as a share of the Cell Painting image", gt=0, le=1
    )
    lost_ratio: float = setting(
        0.2,
        "a cell is lost if the contrast between its nucleus and the ring around it is below this "
        "share of the contrast expected from Cell Painting",
        ge=0,
        le=1,
    )
    model: Literal["auto", "translation", "similarity"] = setting(
        "auto",
        "how a round may differ from Cell Painting: translation: by a shift; similarity: also by "
        "a rotation and a magnification; auto: similarity only where the parts of a field need it",
    )


PatchSize = Annotated[int, Field(ge=4, le=2000)]
Region = Literal["nucleocentric", "nucleus", "cell"]


class CropSettings(Section):
    """One patch per cell."""

    region: Region | None = setting(
        None, "what a crop shows; default: nucleocentric; in cell mode: cell"
    )
    patch_size: Auto | PatchSize | None = setting(
        None,
        "side of a crop; default: 60, or 192 for region cell; auto: from the nuclear size measured "
        "by segment",
        unit="px",
    )
    masked: bool | None = setting(
        None,
        "set pixels outside the object to 0; default: true for region nucleus and cell, else false",
    )
    export_tiff: bool = setting(False, "also write one TIFF per cell, as the published scripts did")


Compartment = Literal["Nuclei", "Cells", "Cytoplasm", "Patch"]


class FeatureSettings(Section):
    """Handcrafted features."""

    regions: list[Compartment] = setting(
        [],
        "compartments to measure; default: Nuclei, Patch; in cell mode: Nuclei, Cytoplasm, Cells",
    )
    textures: bool = setting(True, "measure textures (grey-level co-occurrence)")
    texture_set: Literal["both", "published", "robust"] = setting(
        "both",
        "which textures: the published ones, or robust ones, which depend less on exposure and "
        "object size (names with Robust; classifiers use these where they are measured)",
        when={"textures": [True]},
    )
    patch_size: int = setting(60, "side of the patch around a nucleus", unit="px", ge=4, le=2000)
    texture_background: Literal["exclude", "include"] = setting(
        "exclude",
        "whether pixel pairs outside the object count in the published textures (in the published "
        "scripts they do)",
        when={"textures": [True], "texture_set": ["both", "published"]},
    )
    csv: bool = setting(False, "also write the tables as .csv", decides=False)


class GateSettings(Section):
    """True classes from ground-truth intensities."""

    classes: dict[str, str] = setting(
        {},
        'class -> its marker, or !MARKER for the cell line that lacks it (astro = "!EdU"; on the '
        "command line in single quotes: 'astro=!EdU'); default: found from the monocultures",
        flag="class",
    )
    cutoffs: dict[str, float | Auto] = setting(
        {},
        "marker -> cutoff on its mean intensity, or auto; PLATE/MARKER for one plate",
        unit="grey levels",
        flag="cutoff",
    )
    filters: dict[str, tuple[float | None, float | None]] = setting(
        {}, "feature -> [low, high]; cells outside these limits are dropped", flag="filter"
    )
    mixed_culture: ClassName = setting("co-culture", "name of the mixed culture in the layout")
    per: Literal["auto", "plate", "project"] = setting(
        "auto",
        "one set of cutoffs per plate or per project; auto: per plate if every plate has the "
        "monocultures needed",
    )
    background: Literal["none", "field", "patch"] = setting(
        "none",
        "background to subtract first: none; field: the median over the field of the darkest pixel "
        "around each cell; patch: the darkest pixel around each cell itself",
    )
    unmix: bool = setting(
        False, "remove bleed-through between the markers' channels, measured on the monocultures"
    )
    corrections: list[Path] = setting(
        [],
        "files of corrections saved from the pages of nucprof review, e.g. one per person; the "
        "gate and the trainings use them",
    )

    @field_validator("corrections", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        """Accept one file as well as a list of files."""
        return [value] if isinstance(value, str | Path) else value

    @field_validator("classes")
    @classmethod
    def _tell_apart(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            class_name(name)
        if value:
            from nucprof.core.markers import read_rules  # numpy would slow `nucprof --help`

            try:
                read_rules(value)
            except DataError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("cutoffs")
    @classmethod
    def _plates_have_numbers(cls, value: dict[str, float | Auto]) -> dict[str, float | Auto]:
        for marker, cutoff in value.items():
            if cutoff == "auto" and "/" in marker:
                raise ValueError(f"the cutoff of one plate ({marker}) is a number, not auto")
        return value

    @field_validator("filters", mode="before")
    @classmethod
    def _read_flag(cls, value: Any) -> Any:
        """Accept ``low:high`` (either may be empty) as well as ``[low, high]``, for the flag."""
        if not isinstance(value, dict):
            return value
        read = {}
        for feature, limits in value.items():
            if isinstance(limits, str):
                low, _, high = limits.partition(":")
                limits = (low or None, high or None)
            read[feature] = limits
        return read

    @field_validator("filters")
    @classmethod
    def _in_order(
        cls, value: dict[str, tuple[float | None, float | None]]
    ) -> dict[str, tuple[float | None, float | None]]:
        for feature, (low, high) in value.items():
            if low is not None and high is not None and low > high:
                raise ValueError(f"{feature}: the lower limit {low} is above the upper one {high}")
        return value


class ReferenceSettings(Section):
    """Wells of known culture, to which the other wells of the plate are compared."""

    wells: list[str] = setting(
        [], "reference wells, e.g. B02 (of every plate) or rep1/B02", flag="reference_wells"
    )
    culture: list[str] = setting(
        [],
        "cultures whose wells are reference wells; default: the layout's monocultures",
        flag="reference_culture",
    )

    @field_validator("culture", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        """Accept one name as well as a list of names."""
        return [value] if isinstance(value, str) else value


class ForestSettings(Section):
    """The random forest."""

    enabled: bool = setting(True, "train a forest", decides=False)
    evaluation: Literal["cv", "split"] = setting(
        "cv", "cv: cross-validation over wells, every cell predicted once; split: wells 60/10/30"
    )
    regions: list[str] = setting([], "compartments to use; default: all")
    channels: list[str] = setting([], "channels used; default all")
    scaling: Literal["none", "plate", "well"] = setting(
        "none",
        "z-score of the features: plate: by the plate's reference wells; well: by the cells of the "
        "well itself (published), which removes the composition of wells, so predict refuses it",
    )
    drop_redundant: bool = setting(False, "drop one of each pair of features with r > 0.95")


class CnnSettings(Section):
    """The convolutional network."""

    enabled: bool = setting(True, "train a network", decides=False)
    architecture: str = setting(
        "auto", "torchvision classification network; auto: resnet50 with a GPU, resnet18 without"
    )
    channels: list[str] = setting([], "channels used; default all")
    epochs: int = setting(50, "largest number of passes over the training cells", ge=1, le=100_000)
    batch_size: int = setting(100, "crops per training step", ge=1, le=100_000)
    learning_rate: float = setting(1e-4, "initial learning rate", gt=0)
    image_size: int = setting(128, "side to which crops are resized", unit="px", ge=8, le=2000)
    weight_decay: float = setting(1e-4, "weight decay", ge=0)
    schedule: Literal["plateau", "one-cycle"] = setting("plateau", "learning-rate schedule")
    patience: int = setting(15, "stop after this many epochs without a lower validation loss", ge=1)
    normalise: Literal["crop", "plate"] = setting(
        "crop",
        "by percentiles of each crop and channel (published), or of the plate's reference wells",
    )
    pretrained: Path | None = setting(
        None, "file of ImageNet weights (.pth); default: random weights", decides=False
    )
    compile: bool = setting(False, "use torch.compile", decides=False)
    repeats: int = setting(
        1, "trainings per seed, each from different random weights", ge=1, le=100
    )
    sizes: list[int] = setting(
        [], "learning curve: training cells per class at each point; three runs per point"
    )
    ablate: Literal["none", "channels"] = setting(
        "none", "channels: train again, leaving out one channel at a time"
    )


class TrainSettings(Section):
    """Which classes are learned, and from which cells; shared by forest and network."""

    targets: list[str] = setting([], "classes to learn; default: all")
    culture: Literal["auto", "mixed", "mono"] = setting(
        "auto", "culture of the training cells; auto: mixed if there is a gate, else mono"
    )
    test_culture: Literal["same", "mixed", "mono"] = setting(
        "same", "culture of the test cells; same: that of the training cells"
    )
    sample: Sample = setting(2000, "training cells per class, or max, unequal, oversampling")
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = setting(
        [0], "random seeds; one run per seed", min_length=1
    )
    split_unit: Literal["well", "plate"] = setting("well", "unit that a split never divides")
    density_strata: int = setting(
        0,
        "also report the metrics in this many groups of fields by cell density; 0: do not",
        ge=0,
        le=100,
    )
    rf: ForestSettings = Field(default_factory=ForestSettings, description="the random forest")
    cnn: CnnSettings = Field(default_factory=CnnSettings, description="the network")

    @field_validator("targets")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"the class '{name}' is listed twice")
            class_name(name)
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a seed is listed twice, and its runs would be the same")
        return value


class EmbedSettings(Section):
    """Embeddings and their two-dimensional map."""

    enabled: bool = setting(True, "compute embeddings", decides=False)
    source: Literal["cnn", "features"] = setting("cnn", "features of the network, or handcrafted")
    method: Literal["umap", "pca"] = setting("umap", "projection to two dimensions")
    scaling: Literal["none", "plate"] = setting("none", "plate: z-score of the features per plate")
    model: SafeName = setting("default", "name of the trained network", decides=False)
    map: Path | None = setting(
        None,
        "map.npz of another run, to place the cells on its map; default: a new map",
        decides=False,
    )
    csv: bool = setting(False, "also write embeddings.csv", decides=False)


class GradcamSettings(Section):
    """Where the network looks."""

    enabled: bool = setting(True, "make attention maps (LayerCAM)", decides=False)
    per_class: int = setting(10, "crops to show per class", ge=1, le=10_000)
    choose: Literal["certain", "uncertain", "wrong", "random"] = setting(
        "random", "which crops to show"
    )
    model: SafeName = setting("default", "name of the trained network", decides=False)


class PredictSettings(Section):
    """How a saved model is applied to the cells of this project."""

    model: Path | None = setting(
        None, "folder of a trained model (forest or network)", decides=False
    )
    confidence: float = setting(
        0.0, "cells with a calibrated confidence below this are reported as uncertain", ge=0, lt=1
    )
    bootstrap: int = setting(
        1000, "number of resamples for the 95% intervals", ge=100, le=1_000_000
    )


class ExecutionSettings(Section):
    """Where the work runs; none of these changes a result."""

    workers: Annotated[int, Field(ge=1, le=1024)] | Auto = setting(
        "auto", "number of worker processes; auto: from cores and memory", decides=False
    )
    device: str = setting(
        "auto",
        "auto, cpu, cuda, cuda:N or mps",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        decides=False,
    )
    precision: Precision = setting(
        "auto",
        "of the classifying network: auto: bfloat16 where the device is faster with it; "
        "full: always float32",
        decides=False,
    )
    scheduler: str | None = setting(
        None, "address of a Dask cluster, e.g. tcp://host:8786", decides=False
    )
    timeout: float = setting(
        30.0,
        "time within which the scheduler must answer and have a worker",
        unit="s",
        gt=0,
        le=86_400,
        decides=False,
    )
    models_dir: Path | None = setting(
        None,
        "folder of segmentation models, e.g. on a shared disk; default: NUCPROF_MODELS_DIR",
        decides=False,
    )
