"""Existing masks, found by the field's key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucprof.config.setting import Section, setting
from nucprof.errors import FieldError, FieldExcluded
from nucprof.segmentation.backends.base import Planes, Request, Segmentation, Segmenter


class LabelsSettings(Section):
    """Settings of the labels backend."""

    path: Path | None = setting(
        None,
        "labels: folder of existing label images",
        decides=False,  # the content of its masks does
    )


@dataclass(frozen=True)
class Masks:
    """Reads the masks of a field."""

    mode: str

    def segment(self, planes: Planes) -> Segmentation:
        """Read the masks of a field; in cell mode its nuclei may be missing.

        Raises
        ------
        FieldExcluded
            There is no mask for the mode.
        FieldError
            A mask has another shape than the image, ``(H, W)``.
        """
        from nucprof.io.images import read_labels

        read = {}
        for kind, path in planes.files.items():
            if not path.is_file():
                if kind == self.mode:
                    raise FieldExcluded("no_mask", f"{planes.name} has no mask {path}.")
                continue
            read[kind] = read_labels(path)
            if read[kind].shape != planes.nuclei.shape:
                raise FieldError(
                    f"{path} is {read[kind].shape}, but its image is {planes.nuclei.shape}."
                )
        return Segmentation(read.get("nuclei"), read.get("cells"))


def load(request: Request) -> Masks:
    """Nothing to load."""
    return Masks(request.mode)


def find_masks(settings: LabelsSettings, plate: str, field: str, mode: str) -> dict[str, Path]:
    """Return the paths where the masks of a field are expected: ``[<plate>/][<kind>/]B-02-01.tif``.

    Parameters
    ----------
    settings : LabelsSettings
        Names the folder of masks.
    plate, field : str
    mode : str
        ``nuclei``, or ``cells`` (then nuclei are looked for as well).

    Returns
    -------
    dict
        Path by kind. A mask that is not in a folder of its kind belongs to `mode`.
    """
    folder = settings.path
    assert folder is not None  # checked with the project file
    found = {}
    for kind in ("nuclei", "cells") if mode == "cells" else ("nuclei",):
        candidates = [folder / plate / kind, folder / kind]
        if kind == mode:
            candidates += [folder / plate, folder]
        paths = [parent / f"{field}{end}" for parent in candidates for end in (".tif", ".tiff")]
        found[kind] = next((path for path in paths if path.is_file()), paths[-2])
    return found


def check(settings: LabelsSettings) -> str | None:
    """Return an error message if the folder of masks is not given, else None."""
    return None if settings.path else "segment.path: the labels backend needs the folder of masks"


def folders(settings: LabelsSettings) -> list[Path]:
    """The folder of masks."""
    return [settings.path] if settings.path else []


SEGMENTER = Segmenter(
    "labels",
    LabelsSettings,
    ("nuclei", "cells"),
    load,
    files=find_masks,
    judged=False,
    check=check,
    folders=folders,
)
