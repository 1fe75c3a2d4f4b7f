"""A StarDist network run by TensorFlow, as one compiled graph."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nucprof.errors import ModelError
from nucprof.segmentation.stardist_model import FloatImage, OutOfMemoryError, Precision, Predict

_THREADS: list[int] = []


def load_predict(folder: Path, precision: Precision, threads: int) -> Predict:
    """Read a StarDist model from its folder, silently, and compile its graph."""
    _configure(threads)
    import tensorflow as tf
    from stardist.models import StarDist2D

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder} is not a StarDist 2D model: {error}") from error
    net = model.keras_model
    function = tf.function(
        lambda x: net(x, training=False)[:2],
        input_signature=[tf.TensorSpec((None, None, None, 1), tf.float32)],
    )
    options = {"auto_mixed_precision_onednn_bfloat16": precision == "bfloat16"}

    def predict(window: FloatImage) -> tuple[FloatImage, FloatImage]:
        # The option belongs to the process, which may hold networks of both precisions.
        tf.config.optimizer.set_experimental_options(options)
        try:
            prob, dist = function(window[None, ..., None])
        except tf.errors.ResourceExhaustedError as error:
            raise OutOfMemoryError from error
        return np.asarray(prob)[0, ..., 0], np.asarray(dist)[0]

    return predict


def check_threads(threads: int) -> None:
    """Raise :class:`ModelError` where TensorFlow already runs with other threads than these."""
    if _THREADS and _THREADS[0] != threads:
        raise ModelError(
            f"this process already runs StarDist with {_THREADS[0]} threads, not {threads}: "
            "TensorFlow cannot change that; use another worker process"
        )


def _configure(threads: int) -> None:
    """Import TensorFlow quietly, with fixed threads and no more GPU memory than it uses."""
    check_threads(threads)
    if _THREADS:
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
