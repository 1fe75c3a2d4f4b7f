"""Handcrafted features of objects and patches: shape, intensity, texture, correlation.

A feature is named ``<Compartment>_<Category>_<Feature>[_<Channel>]`` as in CellProfiler. All
features are measured from runs of pixels (`nucprof.core.labels.Runs`): one scan of the label image
finds them, and every kernel then visits only the objects' pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nucprof.core.crops import box_start
from nucprof.core.features import correlation, intensity, robust_texture, shape, texture
from nucprof.core.labels import FloatArray, ObjectIndex, Runs
from nucprof.errors import FieldError, UserError

TextureBackground = Literal["exclude", "include"]
#: The published textures, the robust ones (less dependent on exposure and size), or both.
TextureSet = Literal["both", "published", "robust"]

#: Texture features by set; the names distinguish the sets.
TEXTURES = {
    "published": texture.FEATURES,
    "robust": robust_texture.FEATURES,
    "both": texture.FEATURES + robust_texture.FEATURES,
}
#: Keys of `measure_objects` that identify and place an object; none is a feature.
OBJECT_KEYS = ("ObjectNumber", "Center_Y", "Center_X")
#: Under another name, as functions here have a parameter `shape`.
_SHAPES = shape.FEATURES

__all__ = [
    "OBJECT_KEYS",
    "TEXTURES",
    "TextureBackground",
    "TextureSet",
    "feature_names",
    "measure_objects",
    "measure_patches",
]


def feature_names(
    channels: Sequence[str],
    compartment: str,
    *,
    shape: bool = True,
    textures: bool = True,
    texture_set: TextureSet = "both",
) -> list[str]:
    """Names of the features of a compartment, in the order of the tables.

    Parameters
    ----------
    channels : sequence of str
    compartment : str
        E.g. ``Nuclei``, ``Cells``, ``Cytoplasm``, ``Patch``.
    shape, textures : bool
        Whether AreaShape and Texture are part of it.
    texture_set : {"both", "published", "robust"}
        Which textures are.
    """
    names = [f"{compartment}_AreaShape_{f}" for f in _SHAPES] if shape else []
    names += [f"{compartment}_Intensity_{f}_{c}" for c in channels for f in intensity.FEATURES]
    if textures:
        names += [f"{compartment}_Texture_{f}_{c}" for c in channels for f in TEXTURES[texture_set]]
    pairs = correlation.channel_pairs(channels)
    names += [f"{compartment}_Correlation_{correlation.FEATURE}_{a}_{b}" for a, b in pairs]
    return names


def measure_objects(
    image: NDArray,
    labels: NDArray,
    channels: Sequence[str],
    compartment: str,
    *,
    shape: bool = True,
    textures: bool = True,
    texture_set: TextureSet = "both",
    texture_background: TextureBackground = "exclude",
    patch_size: int = 60,
) -> dict[str, NDArray]:
    """Measure every object of a label image in every channel.

    Parameters
    ----------
    image : (C, H, W) array
        Any real type; measured as it is (integers) or as float64.
    labels : (H, W) integer
        Gaps allowed; 0 is background. Labels are never renumbered.
    channels : sequence of str
        Names of the C channels.
    compartment : str
        First part of the features' names.
    shape, textures : bool
        Whether to measure AreaShape and Texture.
    texture_set : {"both", "published", "robust"}
        Which textures, see `texture` and `robust_texture` of `nucprof.core.features`.
    texture_background : {"exclude", "include"}
        Which pairs of pixels count for the published textures.
    patch_size : int
        Side of the masked crop of ``texture_background="include"``, pixels. ``"exclude"`` takes
        the whole object, of any size.

    Returns
    -------
    dict
        ``ObjectNumber`` (N,) int64 ascending; ``Center_Y``, ``Center_X`` and the features of
        `feature_names`, each (N,) float64. Without objects N is 0 and all keys are there.

    Raises
    ------
    FieldError
        Image and labels do not fit together, or the image has values that are not finite.
    UserError
        `texture_background` is unknown, or `patch_size` below 1.
    """
    if texture_background not in get_args(TextureBackground):
        raise UserError(
            f"texture_background is {texture_background!r}; use one of "
            + ", ".join(get_args(TextureBackground))
        )
    _check_patch_size(patch_size)
    objects = ObjectIndex.of(labels)
    if image.shape[1:] != labels.shape:
        raise FieldError(
            f"the image is {image.shape[1:]} pixels and its label image {labels.shape}; "
            "both must show the same field"
        )
    out: dict[str, NDArray] = {
        "ObjectNumber": objects.ids,
        "Center_Y": objects.centroids[:, 0],
        "Center_X": objects.centroids[:, 1],
    }
    pairs = (
        texture.pairs_of_masked_crops(objects, patch_size)
        if texture_background == "include"
        else texture.pairs_within(objects.runs)
    )
    columns = _measure_shape(objects) if shape else []
    columns += _measure_channels(image, channels, objects.runs, pairs, textures and texture_set)
    names = feature_names(
        channels, compartment, shape=shape, textures=textures, texture_set=texture_set
    )
    return out | dict(zip(names, columns, strict=True))


def measure_patches(
    image: NDArray,
    centroids: FloatArray,
    channels: Sequence[str],
    *,
    patch_size: int = 60,
    textures: bool = True,
    texture_set: TextureSet = "both",
    compartment: str = "Patch",
) -> dict[str, NDArray]:
    """Measure the box around every centroid separately; boxes may overlap.

    A box starts at ``floor(centroid + 0.5) - patch_size // 2`` and is
    clipped at the image's edge: missing pixels are not filled in. There is no AreaShape:
    the shape of a box depends only on its distance from the edge.

    Parameters
    ----------
    image : (C, H, W) array
        Any real type.
    centroids : (N, 2) float64
        (y, x), within the image; any order, duplicates allowed.
    channels : sequence of str
        Names of the C channels.
    patch_size : int
        Side of the box, pixels.
    textures : bool
        Whether to measure Texture.
    texture_set : {"both", "published", "robust"}
        Which textures.
    compartment : str
        First part of the features' names.

    Returns
    -------
    dict
        The features of `feature_names`, each (N,) float64 in the order of `centroids`.

    Raises
    ------
    FieldError
        A centroid is outside the image, or the image has values that are not finite.
    UserError
        `patch_size` is below 1.
    """
    _check_patch_size(patch_size)
    runs = _box_runs(np.asarray(centroids, dtype=np.float64), patch_size, image.shape[1:])
    pairs = texture.pairs_within(runs)
    columns = _measure_channels(image, channels, runs, pairs, textures and texture_set)
    names = feature_names(
        channels, compartment, shape=False, textures=textures, texture_set=texture_set
    )
    return dict(zip(names, columns, strict=True))


def _measure_shape(objects: ObjectIndex) -> list[FloatArray]:
    return list(np.ascontiguousarray(shape.measure_shape(objects).T))


def _measure_channels(
    image: NDArray,
    channels: Sequence[str],
    runs: Runs,
    pairs: texture.Pairs,
    textures: TextureSet | Literal[False],
) -> list[FloatArray]:
    """Columns of Intensity and Texture, channel by channel; then Correlation."""
    image = _measurable(image, channels)
    found = []
    if textures in ("both", "published"):
        found.append(texture.measure_texture(image, pairs))
    if textures in ("both", "robust"):
        found.append(robust_texture.measure_robust_texture(image, runs))
    tables = [intensity.measure_intensity(image, runs)]
    if found:
        tables.append(np.concatenate(found, axis=2))
    columns = [
        np.ascontiguousarray(table[:, c, f])
        for table in tables
        for c in range(table.shape[1])
        for f in range(table.shape[2])
    ]
    return [*columns, *np.ascontiguousarray(correlation.measure_correlation(image, runs).T)]


def _measurable(image: NDArray, channels: Sequence[str]) -> NDArray:
    """Check the image, and convert it to one of the types that kernels are compiled for."""
    if image.ndim != 3 or len(image) != len(channels):
        raise FieldError(
            f"the image has shape {image.shape}, and {len(channels)} channels are named "
            f"({', '.join(channels)}); expected (channels, height, width)"
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float64, copy=False)
    if image.dtype.kind == "f":
        for name, plane in zip(channels, image, strict=True):
            if not np.isfinite(plane).all():
                raise FieldError(
                    f"channel {name} holds values that are not numbers or infinite; "
                    "replace them in the image before measuring"
                )
    return np.ascontiguousarray(image)


def _check_patch_size(patch_size: int) -> None:
    if patch_size < 1:
        raise UserError(f"patch_size is {patch_size}; a patch needs at least 1 pixel")


def _box_runs(centroids: FloatArray, size: int, shape: tuple[int, ...]) -> Runs:
    """Rows of the boxes around the centroids, clipped to the image."""
    limits = np.array(shape)
    centroids = centroids.reshape(-1, 2)
    if not ((centroids > -0.5) & (centroids < limits - 0.5)).all():
        raise FieldError(
            f"a centroid lies outside the image of {shape[0]} x {shape[1]} pixels; "
            "centroids and image must belong to the same field"
        )
    origin = box_start(centroids, size)
    begin, end = np.maximum(origin, 0), np.minimum(origin + size, limits)
    rows = end[:, 0] - begin[:, 0]
    first = np.concatenate([[0], np.cumsum(rows)])
    owner = np.repeat(np.arange(len(centroids)), rows)
    row = np.arange(first[-1]) - first[owner] + begin[owner, 0]
    return Runs(first, row, begin[owner, 1], end[owner, 1])
