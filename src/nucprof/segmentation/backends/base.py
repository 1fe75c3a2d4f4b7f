"""What a segmentation backend is: its declaration, what it gets, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field

from nucprof.config.setting import Section, setting

if TYPE_CHECKING:  # numpy would slow `nucprof --help`
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Planes:
    """What a backend sees of a field.

    Attributes
    ----------
    nuclei : (H, W)
        The nuclear plane, any real dtype.
    cyto : (H, W) or None
        In cell mode the cytoplasm plane.
    name : str
        Plate and field, for messages.
    files : mapping
        Further files of the field that the backend declared (:attr:`Segmenter.files`), by kind.
    background : float or None
        Grey level of the cytoplasm plane without cells, if it was measured on the plate.
    """

    nuclei: npt.NDArray[np.generic]
    cyto: npt.NDArray[np.generic] | None = None
    name: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    background: float | None = None


@dataclass(frozen=True)
class Segmentation:
    """What was found in a field.

    Attributes
    ----------
    nuclei, cells : (H, W) or None
        Label images; None where not segmented.
    probability : (N,) or None
        The network's probability of nucleus ``i`` at ``i - 1``.
    warnings : list of str
        Warnings for the user about this field.
    """

    nuclei: Labels | None = None
    cells: Labels | None = None
    probability: npt.NDArray[np.float32] | None = None
    warnings: list[str] = field(default_factory=list)

    def labels(self, kind: str) -> Labels:
        """The label image of a kind; the backend must have made it."""
        found: Labels | None = getattr(self, kind)
        assert found is not None
        return found


class Backend(Protocol):
    """A backend that is loaded and ready."""

    def segment(self, planes: Planes) -> Segmentation:
        """Segment one field."""
        ...


@dataclass(frozen=True)
class Request:
    """The arguments with which a backend is loaded.

    Attributes
    ----------
    settings : Section
        The backend's own settings (:attr:`Segmenter.settings`).
    mode : str
        ``nuclei`` or ``cells``.
    model : Path or None
        Its weights, if it has any.
    scale : float
        Factor by which the image is resized before the network sees it.
    device : str
        ``execution.device``.
    threads : int
        CPU threads it may use; its masks must not depend on them.
    """

    settings: Section
    mode: str
    model: Path | None
    scale: float
    device: str
    threads: int

    @property
    def key(self) -> str:
        """Equal for requests that can share one loaded backend."""
        where = f"{self.mode}|{self.model}|{self.scale}|{self.device}|{self.threads}"
        return f"{self.settings.model_dump_json()}|{where}"


@dataclass(frozen=True)
class Segmenter:
    """The declaration of a backend, registered in the entry-point group ``nucprof.segmenters``.

    Parameters
    ----------
    name : str
        What ``segment.backend`` calls it.
    settings : type of Section
        Its keys in ``[segment]``. A key that two backends share is the same in both.
    finds : sequence of str
        The modes that it serves: ``nuclei``, ``cells``.
    load : callable
        Makes the backend ready; called once per process and request.
    model : str or None
        Name of its default weights; None where it has none.
    family : str
        Whose weights these are: ``stardist`` (a folder) or ``cellpose`` (a file).
    isolated : bool
        Whether it needs processes of its own (TensorFlow).
    measures_scale : bool
        Whether ``segment.scale = "auto"`` is measured for it, once per plate.
    chooses_channels : bool
        Whether the cytoplasm plane consists of the channels that bound cells, chosen once per
        plate, instead of all of them.
    precision : callable or None
        ``(settings, device) -> name``: number format of the network's multiplications on this
        machine, which affects single pixels of the masks.
    files : callable or None
        ``(settings, plate, field, mode) -> {kind: path}``: files of a field that it reads in
        addition to the image.
    judged : bool
        Whether objects that do not stand out from their surroundings are dropped; not where the
        masks were made elsewhere.
    check : callable or None
        ``(settings) -> text or None``: the error in settings that are valid one by one.
    folders : callable or None
        ``(settings) -> paths``: folders that it reads files from; they must exist.
    note : str
        Added to the command's output if nucprof chose this backend.
    version : int
        Increased when the same settings give other masks.
    """

    name: str
    settings: type[Section]
    finds: Sequence[str]
    load: Callable[[Request], Backend]
    model: str | None = None
    family: str = ""
    isolated: bool = False
    measures_scale: bool = False
    chooses_channels: bool = False
    precision: Callable[[Any, str], str] | None = None
    files: Callable[[Any, str, str, str], Mapping[str, Path]] | None = None
    judged: bool = True
    check: Callable[[Any], str | None] | None = None
    folders: Callable[[Any], Sequence[Path]] | None = None
    note: str = ""
    version: int = 1


class Percentiles(Section):
    """The normalisation that networks share."""

    pmin: float = setting(1.0, "lower percentile of the normalisation", unit="%", ge=0, lt=100)
    pmax: float = setting(99.0, "upper percentile of the normalisation", unit="%", gt=0, le=100)


def check_percentiles(settings: Percentiles) -> str | None:
    """Return what is wrong with the percentiles, or None."""
    return "segment.pmin must be below segment.pmax" if settings.pmin >= settings.pmax else None


class Weights(Section):
    """The weights of a network, by name or folder."""

    model: str | None = setting(
        None,
        "name or folder of the weights; default: nucprof-fluo (stardist), cpsam (cellpose)",
        decides=False,  # their hash does
    )
    download: bool = setting(False, "download a named model if it is missing", decides=False)


class Diameter(Section):
    """The size of the objects."""

    diameter: float | None = setting(
        None,
        "typical object diameter (cellpose, watershed); default: measured",
        unit="px",
        gt=0,
        le=2000,
    )


class Scale(Section):
    """The factor by which images are resized for a network."""

    scale: Literal["auto"] | Annotated[float, Field(gt=0, le=32)] = setting(
        "auto", "factor by which images are resized for the network; auto: measured once per plate"
    )
