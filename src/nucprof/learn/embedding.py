"""Maps of cells in two dimensions: PCA or UMAP, seeded, saved without pickle."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nucprof.errors import DataError, ModelError
from nucprof.io.damage import reading
from nucprof.io.files import atomic

Method = Literal["umap", "pca"]

SCHEMA = 1
NEIGHBOURS = 15
MIN_DIST = 0.1
PRINCIPAL = 50
"""UMAP sees at most so many principal components."""
FIT_CELLS = 20_000
"""The map is made of at most so many cells; the others are projected into it."""
_TOLERANCE = 1e-2


@dataclass
class Map:
    """A fitted map.

    Attributes
    ----------
    method
        "umap" or "pca".
    centre, scale
        `(D,)` mean and standard deviation of the features it was made of; a constant feature has
        scale 1 and so becomes 0.
    components
        `(D, P)` principal axes of the standardised features.
    explained
        `(P,)` shares of the variance.
    trained
        `(M, P)` principal components of the cells that the map was made of; empty for PCA, which
        needs none.
    coordinates
        `(M, 2)` their places on the map; empty for PCA.
    seed
        Of UMAP.
    metadata
        What the features are, versions.
    """

    method: Method
    centre: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    explained: np.ndarray
    trained: np.ndarray
    coordinates: np.ndarray
    seed: int
    metadata: dict[str, Any] = field(default_factory=dict)
    _reducer: Any = None

    @property
    def axis_names(self) -> tuple[str, str]:
        """How the axes are labelled."""
        if self.method == "umap":
            return "UMAP 1", "UMAP 2"
        first, second = (f"PC {i + 1} ({self.explained[i]:.0%} of variance)" for i in (0, 1))
        return first, second

    def check_made_of(self, about: dict[str, Any]) -> None:
        """Raise a :class:`ModelError` where the map was made of other features, naming them.

        A network's features are those of one network: `weights` tells which.
        """
        for key, value in about.items():
            if self.metadata.get(key) != value:
                wanted, found = str(self.metadata.get(key))[:60], str(value)[:60]
                raise ModelError(
                    f"embed.map: the map was made with {key} {wanted}, this run has {found}; "
                    "use the settings and the model that the map was made with"
                )

    def project(self, features: np.ndarray) -> np.ndarray:
        """Places `(n, 2)` of cells with these features `(n, D)`.

        For UMAP the map is first made again from what was saved and compared with it: another
        version of umap-learn may give another map, in which new cells would be lost.

        Raises
        ------
        ModelError
            If the features are not those of the map, or the map does not come out the same.
        """
        if features.ndim != 2 or features.shape[1] != len(self.centre):
            raise ModelError(
                f"the map was made of {len(self.centre)} features per cell, these have "
                f"{features.shape[-1]}; use the model that the map was made with"
            )
        reduced = self._reduce(features)
        if self.method == "pca":
            return reduced[:, :2]
        if self._reducer is None:
            self._reducer = self._rebuilt()
        return np.asarray(self._reducer.transform(reduced), dtype=np.float32)

    def _reduce(self, features: np.ndarray) -> np.ndarray:
        filled = np.where(np.isnan(features), self.centre, features)
        standard = (filled - self.centre) / self.scale
        return np.asarray(standard @ self.components, dtype=np.float32)

    def _rebuilt(self) -> Any:
        reducer = _fit_umap(self.trained, self.seed)
        spread = np.ptp(self.coordinates, axis=0).max()
        if np.abs(reducer.embedding_ - self.coordinates).max() > _TOLERANCE * spread:
            raise ModelError(
                "this machine's UMAP does not make the saved map again (made with versions "
                f"{self.metadata.get('versions', 'unknown')}); make a new map with `nucprof embed`"
            )
        return reducer

    def save(self, path: Path) -> None:
        """Write an .npz of plain arrays."""
        about = {"schema": SCHEMA, "method": self.method, "seed": self.seed, **self.metadata}
        with atomic(path) as temporary:
            np.savez_compressed(
                temporary,
                centre=self.centre,
                scale=self.scale,
                components=self.components,
                explained=self.explained,
                trained=self.trained,
                coordinates=self.coordinates,
                about=np.array(json.dumps(about)),
            )


def load_map(path: Path) -> Map:
    """Read a map; arrays only, nothing in the file can run code.

    Raises
    ------
    ModelError
        If the file is missing, broken or no map.
    """
    if not path.is_file():
        raise ModelError(f"there is no map {path}; make one with `nucprof embed`")
    with reading(path, ModelError, "Is it a map of nucprof's? Make it again: nucprof embed"):
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        if about.pop("schema") != SCHEMA:
            raise KeyError("schema")
        return Map(method=about.pop("method"), seed=about.pop("seed"), metadata=about, **arrays)


def fit_map(
    features: np.ndarray, *, method: Method, seed: int, metadata: dict[str, Any] | None = None
) -> tuple[Map, np.ndarray]:
    """Make a map of cells and say where they are on it.

    Features are standardised over all given cells (missing ones take the mean), reduced to 50
    principal components, and, for UMAP, laid out by one thread from a seed, so that the same rows
    in the same order give the same map.

    Parameters
    ----------
    features
        `(n, D)`, in key order.
    method
        "umap" or "pca".
    seed
        Of the layout, and of the choice of cells where there are more than 20,000.
    metadata
        Kept with the map.

    Returns
    -------
    tuple
        The map and the places `(n, 2)` float32.

    Raises
    ------
    DataError
        If there are fewer than 20 cells, or nothing varies.
    """
    if len(features) < NEIGHBOURS + 5:
        raise DataError(f"a map needs at least {NEIGHBOURS + 5} cells, there are {len(features)}")
    values = np.asarray(features, dtype=np.float64)
    seen = ~np.isnan(values)
    count = np.maximum(seen.sum(axis=0), 1)
    centre = np.where(seen, values, 0).sum(axis=0) / count
    scale = np.sqrt((np.where(seen, values - centre, 0) ** 2).sum(axis=0) / count)
    constant = scale <= 1e-9 * np.maximum(np.abs(centre), 1e-9)
    if constant.all():
        raise DataError("no feature varies between the cells: there is nothing to map")
    scale = np.where(constant, 1.0, scale)
    standard = np.where(seen & ~constant, (values - centre) / scale, 0)
    components, explained = _principal(standard)
    fitted = Map(
        method, centre, scale, components, explained, np.empty((0, 0)), np.empty((0, 2)), seed,
        {"versions": _versions(), **(metadata or {})},
    )  # fmt: skip
    if method == "pca":
        return fitted, fitted.project(values)
    reduced = fitted._reduce(values)
    rows = np.arange(len(reduced))
    if len(rows) > FIT_CELLS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, FIT_CELLS, replace=False))
    fitted.trained = reduced[rows]
    fitted._reducer = _fit_umap(fitted.trained, seed)
    fitted.coordinates = np.asarray(fitted._reducer.embedding_, dtype=np.float32)
    places = np.empty((len(reduced), 2), dtype=np.float32)
    places[rows] = fitted.coordinates
    others = np.setdiff1d(np.arange(len(reduced)), rows)
    if len(others):
        places[others] = fitted._reducer.transform(reduced[others])
    return fitted, places


def scale_by_plate(features: np.ndarray, plates: np.ndarray) -> np.ndarray:
    """z-scores within each plate, missing values left out; constant features become 0."""
    out = np.array(features, dtype=np.float64)
    for plate in np.unique(plates):
        own = plates == plate
        values = out[own]
        seen = ~np.isnan(values)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, values, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(seen, values - mean, 0) ** 2).sum(axis=0) / count)
        varies = spread > 1e-9 * np.maximum(np.abs(mean), 1e-9)
        out[own] = np.where(varies, (values - mean) / np.where(varies, spread, 1), 0 * values)
    return out


def _principal(standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes `(D, P)` and their shares of the variance; the largest weight is positive."""
    from sklearn.decomposition import PCA

    count = min(PRINCIPAL, *standard.shape)
    fitted = PCA(count, svd_solver="covariance_eigh").fit(standard)
    components, explained = fitted.components_.T, fitted.explained_variance_ratio_
    if components.shape[1] < 2:  # a single feature has a map all the same
        components = np.pad(components, ((0, 0), (0, 2 - components.shape[1])))
        explained = np.pad(explained, (0, 2 - len(explained)))
    return components, explained


def _fit_umap(values: np.ndarray, seed: int) -> Any:
    umap = _import_umap()
    reducer = umap.UMAP(
        n_neighbors=NEIGHBOURS, min_dist=MIN_DIST, random_state=seed, n_jobs=1, transform_seed=seed
    )
    return reducer.fit(values)


def _import_umap() -> Any:
    """Import umap without TensorFlow, which it would load for a part that is not used here.

    torch and TensorFlow in one process bring two OpenMP runtimes, and crash on some machines.
    """
    if "umap" in sys.modules:
        return sys.modules["umap"]
    missing = object()
    before = sys.modules.get("tensorflow", missing)
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)
            import umap
    finally:
        if before is missing:
            del sys.modules["tensorflow"]
        else:
            sys.modules["tensorflow"] = before  # type: ignore[assignment]
    return umap


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("umap-learn", "numpy", "numba", "pynndescent")}
