"""Which columns of a feature table a classifier sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nucprof.core.features.micrometres import repeats_pixels
from nucprof.errors import DataError, ModelError

COMPARTMENTS = {
    "nucleus": "Nuclei",
    "cell": "Cells",
    "cytoplasm": "Cytoplasm",
    "patch": "Patch",
}
REDUNDANT_R = 0.95


def choose_features(
    columns: Sequence[str],
    *,
    regions: Sequence[str] = (),
    channels: Sequence[str] = (),
) -> list[str]:
    """The feature columns of the chosen regions and channels, in the table's order.

    A feature is `<Compartment>_<Category>_<Feature>[_<Channel>]`; `Metadata_` columns never are.
    Features without a channel (shape) belong to every choice of channels, those of a pair of
    channels (correlation) to choices that hold both. Of two sets of textures only the robust one is
    chosen: the published one tells exposure and size again.

    Parameters
    ----------
    columns
        All columns of the table.
    regions
        Compartments (`Nuclei`, `Cells`, `Cytoplasm`, `Patch`) or the published scripts' words for
        them (`nucleus`, `cell`, `cytoplasm`); empty means all.
    channels
        Channel names; empty means all.

    Raises
    ------
    DataError
        If a region or channel has no feature, naming those there are; or if none is left.
    """
    if any(map(_is_robust_texture, columns)):
        columns = [c for c in columns if not _is_texture(c) or _is_robust_texture(c)]
    parsed = {name: _parse(name) for name in columns}
    features = {name: key for name, key in parsed.items() if key is not None}
    known_regions = {region for region, _ in features.values()}
    known_channels = {
        channel
        for name, (_, channel) in features.items()
        if channel is not None and not _is_pair(name)
    }
    compartments = [COMPARTMENTS.get(name.lower(), name) for name in regions]
    wanted_regions = _named(compartments, known_regions, "region")
    wanted_channels = _named(channels, known_channels, "channel")
    chosen = [
        name
        for name, (region, channel) in features.items()
        if region in wanted_regions
        and (channel is None or set(_channels_of(channel, known_channels)) <= wanted_channels)
    ]
    if not chosen:
        raise DataError("the feature table has no column named like Nuclei_AreaShape_Area")
    return chosen


def _parse(column: str) -> tuple[str, str | None] | None:
    """`(compartment, channel or None)`, or None where the column is no feature."""
    parts = column.split("_", 3)
    if len(parts) < 3 or parts[0] not in COMPARTMENTS.values() or repeats_pixels(column):
        return None
    return parts[0], parts[3] if len(parts) == 4 else None


def _is_pair(column: str) -> bool:
    return column.split("_", 2)[1] == "Correlation"


def _is_texture(column: str) -> bool:
    return column.split("_", 2)[1:2] == ["Texture"]


def _is_robust_texture(column: str) -> bool:
    return _is_texture(column) and column.split("_", 3)[2].endswith("Robust")


def _channels_of(text: str, known: set[str]) -> tuple[str, ...]:
    """The channels that a feature's last part names: one, or a pair joined by an underscore."""
    if text in known:
        return (text,)
    parts = text.split("_")
    splits = (("_".join(parts[:i]), "_".join(parts[i:])) for i in range(1, len(parts)))
    return next((pair for pair in splits if set(pair) <= known), (text,))


def find_features(wanted: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns of a table that hold the features of a model, in the model's order.

    A feature of a pair of channels is the same in either order: the project whose `[channels]` are
    listed the other way round has `Correlation_GFP_DNA` where another has `Correlation_DNA_GFP`.

    Raises
    ------
    ModelError
        If the table lacks a feature, naming it.
    """
    held = set(columns)
    found = [next((name for name in _same(feature) if name in held), None) for feature in wanted]
    missing = [feature for feature, name in zip(wanted, found, strict=True) if name is None]
    if missing:
        raise ModelError(
            f"the model needs {len(missing)} feature(s) that the table lacks, e.g. {missing[0]}; "
            "channels and regions must be named as they were in training"
        )
    return [name for name in found if name is not None]


def _same(feature: str) -> list[str]:
    """A feature's name, then those that a pair of channels may have in the other order."""
    if not _is_pair(feature):
        return [feature]
    *kind, pair = feature.split("_", 3)
    parts = pair.split("_")
    # A channel's name may hold underscores, so each may be where the pair is joined.
    swapped = (["_".join(parts[i:]), "_".join(parts[:i])] for i in range(1, len(parts)))
    return [feature, *("_".join([*kind, *names]) for names in swapped)]


def _named(wanted: Sequence[str], known: set[str], what: str) -> set[str]:
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise DataError(
            f"no feature of {what} {', '.join(unknown)}; the table has: {', '.join(sorted(known))}"
        )
    return set(wanted) or known


def informative(train: pd.DataFrame, features: Sequence[str], *, drop_redundant: bool) -> list[str]:
    """The features that vary in the training part; with `drop_redundant` no two of them alike.

    A feature that is missing or constant in all training cells can teach nothing and is left out.
    Of two features with |Pearson r| > 0.95 over the training cells the later column is left out.

    Raises
    ------
    DataError
        If a value is infinite, or no feature varies.
    """
    values = train[list(features)].to_numpy(dtype=float)
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        named = ", ".join(np.asarray(features, dtype=object)[infinite])
        raise DataError(f"infinite values in the feature(s) {named}")
    seen = ~np.isnan(values)
    low = np.where(seen, values, np.inf).min(axis=0)
    high = np.where(seen, values, -np.inf).max(axis=0)
    varying = [name for name, a, b in zip(features, low, high, strict=True) if b > a]
    if not varying:
        raise DataError("no feature varies between the training cells")
    return _not_redundant(train[varying]) if drop_redundant else varying


def _not_redundant(values: pd.DataFrame) -> list[str]:
    # pandas leaves missing values out pair by pair, which numpy's corrcoef does not.
    r = values.corr().abs().to_numpy()
    kept: list[int] = []
    for column in range(r.shape[1]):
        if not (r[column, kept] > REDUNDANT_R).any():
            kept.append(column)
    return [str(values.columns[i]) for i in kept]
