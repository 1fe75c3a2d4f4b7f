"""Nuclei by StarDist: a network predicts star-convex outlines, the best of which are kept.

The network runs as one compiled graph on tiles of one fixed size: same masks as
``StarDist2D.predict_instances``, less time and a bounded memory. Where the image is resized to the
sizes that the network knows, the outlines are scaled back, not the mask, so that they are smooth at
full resolution.

Schmidt, Weigert, Broaddus and Myers, "Cell detection with star-convex polygons" (2018).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from nucprof.core.normalize import percentile_normalize
from nucprof.errors import DataError, ModelError
from nucprof.segmentation.outlines import fill_outlines
from nucprof.segmentation.tiles import Tiles

log = logging.getLogger(__name__)

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

#: Side of a tile in network pixels, without its margin, on first try.
TILE_PX = 2048
#: Tiles are never made smaller than this when memory runs out.
MIN_TILE_PX = 128
#: Rows of the output at the image's border where no nucleus is centred, as in StarDist.
BORDER = 2


@dataclass
class _Network:
    """A loaded model: its compiled function, the grid of its output and its own thresholds."""

    function: Any
    grid: int
    divisor: int
    margin: int
    prob_thresh: float
    nms_thresh: float


_LOADED: dict[Path, _Network] = {}
_THREADS: list[int] = []


class StarDistBackend:
    """Segment nuclei with one StarDist model.

    Parameters
    ----------
    folder
        The model: ``config.json``, ``thresholds.json``, ``weights_best.h5``.
    prob_thresh, nms_thresh
        Object probability and allowed overlap; the model's own where None.
    pmin, pmax
        Percentiles of the image that become 0 and 1.
    scale
        Factor by which the image is resized before the network sees it.
    threads
        CPU threads of the network; the masks do not depend on it.

    Raises
    ------
    ModelError
        If the folder holds no model that can be loaded, or one for several channels.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prob_thresh: float | None = None,
        nms_thresh: float | None = None,
        pmin: float = 1.0,
        pmax: float = 99.0,
        scale: float = 1.0,
        threads: int = 1,
    ) -> None:
        if not scale > 0:
            raise DataError(f"scale must be positive, got {scale}")
        self.network = _load(Path(folder).resolve(), threads)
        self.prob_thresh = self.network.prob_thresh if prob_thresh is None else prob_thresh
        self.nms_thresh = self.network.nms_thresh if nms_thresh is None else nms_thresh
        self.pmin, self.pmax, self.scale = pmin, pmax, scale
        self.threads = threads
        self.tile = TILE_PX

    def segment(self, image: npt.NDArray[np.generic]) -> Labels:
        """Segment one plane.

        Parameters
        ----------
        image
            ``(H, W)`` of any real dtype.

        Returns
        -------
        ``(H, W)`` int32, 0 = background, nuclei 1..n; all 0 for a constant image.
        """
        return self.segment_unit(percentile_normalize(image, self.pmin, self.pmax))

    def segment_unit(self, unit: FloatImage) -> Labels:
        """Segment a plane ``(H, W)`` that is normalised already, or a part of one."""
        from threadpoolctl import threadpool_limits

        if unit.size == 0 or not unit.any():
            return np.zeros(unit.shape, np.int32)
        with threadpool_limits(limits=self.threads, user_api="openmp"):
            return self.draw(*self.candidates(unit), unit.shape)

    def candidates(
        self, unit: FloatImage
    ) -> tuple[FloatImage, FloatImage, npt.NDArray[np.float64], tuple[float, float]]:
        """Everything in a normalised image that may be a nucleus.

        Returns
        -------
        Probability ``(n,)``; ray lengths ``(n, rays)`` in pixels of the resized image; centre
        ``(n, 2)`` in pixels of the given one; and how many of its pixels one of the resized image
        measures, in y and x.
        """
        small = _resize(unit, self.scale)
        prob, dist, points = self._predict(small)
        back = unit.shape[0] / small.shape[0], unit.shape[1] / small.shape[1]
        # Pixel centres: p of the resized image lies at (p + 0.5) * back - 0.5 of the given one.
        return prob, dist, (points + 0.5) * np.array(back) - 0.5, back

    def _predict(self, image: FloatImage) -> tuple[FloatImage, FloatImage, npt.NDArray[np.int64]]:
        """Candidates of all tiles; smaller tiles when the device runs out of memory."""
        import tensorflow as tf

        while True:
            try:
                return self._predict_tiles(image)
            except tf.errors.ResourceExhaustedError as error:
                if self.tile <= MIN_TILE_PX:
                    raise ModelError(
                        f"out of memory with tiles of {self.tile} px already: free the device, or "
                        'run on the CPU (execution.device = "cpu")'
                    ) from error
                self.tile //= 2
                log.warning("out of memory: continuing with tiles of %d px", self.tile)

    def _predict_tiles(
        self, image: FloatImage
    ) -> tuple[FloatImage, FloatImage, npt.NDArray[np.int64]]:
        """Probability (n,), ray lengths (n, rays) and place (n, 2) of all candidates."""
        net = self.network
        tiles = Tiles(image.shape, self.tile, net.margin, net.divisor)
        fill = [(0, to - n) for n, to in zip(image.shape, tiles.shape, strict=True)]
        padded = np.pad(image, fill, mode="reflect" if min(image.shape) > 1 else "edge")
        # As StarDist does, nothing is centred on the outermost two rows of the output.
        edge = BORDER * net.grid
        last = np.minimum(image.shape, np.array(tiles.shape) - edge)
        probs, dists, points = [], [], []
        for row, col in tiles:
            window = padded[row.start : row.stop, col.start : col.stop]
            prob, dist = (np.asarray(out)[0] for out in net.function(window[None, ..., None]))
            part = row.inner(net.grid), col.inner(net.grid)
            peaks = _candidates(prob[..., 0], self.prob_thresh)
            prob, dist = prob[..., 0][part], dist[part]
            places = np.argwhere(peaks[part])
            place = places * net.grid + (row.first, col.first)
            valid = np.all((place >= edge) & (place < last), axis=1)
            rows, cols = places[valid].T
            probs.append(prob[rows, cols])
            dists.append(np.maximum(dist[rows, cols], 1e-3))
            points.append(place[valid])
        return np.concatenate(probs), np.concatenate(dists), np.concatenate(points)

    def draw(
        self,
        prob: FloatImage,
        dist: FloatImage,
        centres: npt.NDArray[np.float64],
        back: tuple[float, float],
        shape: tuple[int, ...],
    ) -> Labels:
        """Keep the best of overlapping candidates and draw them into an image of ``shape``.

        The other arguments are what :meth:`candidates` returns.
        """
        from stardist.nms import non_maximum_suppression_sparse

        if len(prob) == 0:
            return np.zeros(shape, np.int32)
        places = np.rint((centres + 0.5) / back - 0.5).astype(np.int64)
        _, _, _, kept = non_maximum_suppression_sparse(
            dist, prob, places, nms_thresh=self.nms_thresh
        )
        return fill_outlines(dist[kept], centres[kept], prob[kept], shape, back)


def _candidates(prob: FloatImage, threshold: float) -> npt.NDArray[np.bool_]:
    """Places of a map (h, w) that may become nuclei: local maxima, and a quarter of the others.

    Neighbours have nearly the same outline, so a quarter stands for all where a local maximum is
    suppressed and something beside it is not; suppression takes a fraction of the time.
    """
    peaks = prob == ndi.maximum_filter(prob, 3)
    peaks[::2, ::2] = True
    return np.asarray(peaks & (prob > threshold))


def _resize(image: FloatImage, scale: float) -> FloatImage:
    """Resize by linear interpolation; smoothed first when it gets smaller."""
    shape = tuple(max(1, round(n * scale)) for n in image.shape)
    if shape == image.shape:
        return image
    factors = np.array(shape) / np.array(image.shape)
    if scale < 1:
        image = ndi.gaussian_filter(image, 0.5 * (1 / scale - 1) + 0.2, truncate=3.0)
    zoomed = ndi.zoom(image, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(zoomed, dtype=np.float32)


def _load(folder: Path, threads: int) -> _Network:
    """Load a model, or return the one this process has already loaded."""
    _configure_tensorflow(threads)
    if folder not in _LOADED:
        _LOADED[folder] = _read(folder)
    return _LOADED[folder]


def _configure_tensorflow(threads: int) -> None:
    """Import TensorFlow quietly, with fixed threads and no more GPU memory than it uses."""
    if _THREADS:
        if _THREADS[0] != threads:
            raise ModelError(
                f"this process already runs StarDist with {_THREADS[0]} threads, not {threads}: "
                "TensorFlow cannot change that; use another worker process"
            )
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_closed():
        import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    _THREADS.append(threads)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Keep what TensorFlow writes before its log level holds off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _reach(config: Any) -> int:
    """How far, in pixels, an output of the U-net depends on its input (3 x 3 convolutions)."""
    grid, depth, convs = int(config.grid[0]), config.unet_n_depth, config.unet_n_conv_per_depth
    half = config.unet_kernel_size[0] // 2
    before = sum(convs * 2**k for k in range(grid.bit_length() - 1))
    levels = sum(2 * convs * 2**k for k in range(depth))
    features = 1 if config.net_conv_after_unet > 0 else 0
    return int(half * (before + grid * (levels + convs * 2**depth + features)))


def _read(folder: Path) -> _Network:
    """Read a StarDist model from its folder, silently, and compile its graph."""
    import tensorflow as tf
    from stardist.models import StarDist2D

    # StarDist takes a folder without weights for an untrained network, and says nothing.
    if not (folder / "weights_best.h5").is_file():
        raise ModelError(f"{folder} is not a StarDist model: it lacks weights_best.h5")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder} is not a StarDist 2D model: {error}") from error
    config = model.config
    if config.n_channel_in != 1 or len(set(config.grid)) != 1:
        raise ModelError(
            f"{folder} is a network for {config.n_channel_in} channels with grid {config.grid}; "
            "nucprof runs networks for one channel with a square grid"
        )
    net = model.keras_model
    function = tf.function(
        lambda x: net(x, training=False)[:2],
        input_signature=[tf.TensorSpec((None, None, None, 1), tf.float32)],
    )
    return _Network(
        function=function,
        grid=int(config.grid[0]),
        divisor=int(model._axes_div_by("YX")[0]),
        margin=_reach(config),
        prob_thresh=float(model.thresholds.prob),
        nms_thresh=float(model.thresholds.nms),
    )
