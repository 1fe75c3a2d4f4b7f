"""What the tests of the StarDist backend run in a process of its own."""

import logging
from pathlib import Path

import numpy as np

from nucprof.core.evidence import measure_evidence
from nucprof.segmentation import plate_scale, stardist
from nucprof.segmentation.stardist_model import OutOfMemoryError
from nucprof.segmentation.weights import resolve_model

FOLDER = resolve_model("nucprof-fluo", backend="stardist")


def segment(image, kwargs, tile=None):
    backend = stardist.StarDistBackend(FOLDER, **kwargs)
    if tile is not None:
        backend.tile = tile
    return backend.segment(image)


def stock(image, tiles):
    """The masks of StarDist's own function."""
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    stardist.StarDistBackend(FOLDER)
    model = StarDist2D(None, name=FOLDER.name, basedir=str(FOLDER.parent))
    unit = normalize(image, 1, 99)
    labels, _ = model.predict_instances(unit, n_tiles=tiles, show_tile_progress=False)
    return labels


def out_of_memory_above(limit, image):
    """Segment with a network that refuses windows of more than ``limit`` pixels a side."""
    backend = stardist.StarDistBackend(FOLDER)
    real = backend.network.predict
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append((record.levelname, record.getMessage()))

    def refusing(window):
        if max(window.shape) > limit:
            raise OutOfMemoryError
        return real(window)

    handler = Keep()
    stardist.log.addHandler(handler)
    backend.network.predict = refusing
    try:
        backend.tile = 512
        return backend.segment(image), backend.tile, records
    finally:
        backend.network.predict = real
        stardist.log.removeHandler(handler)


def outputs(window, precision="float32"):
    """What TensorFlow's network says of a window."""
    network = stardist.load_network(FOLDER, precision=precision, device="cpu", threads=1)
    return network.predict(window)


def find(images, min_contrast):
    """Masks of a plate's fields at its measured scale, what does not stand out dropped."""
    backend = stardist.StarDistBackend(FOLDER, scale=measure(images).scale)
    masks = []
    for image in images:
        labels = backend.segment(image)
        evidence = measure_evidence(image, labels)
        gone = evidence.ids[~evidence.stands_out(min_contrast)]
        masks.append(np.where(np.isin(labels, gone), 0, labels))
    return masks


def measure(images):
    return plate_scale.measure_scale(FOLDER, images)


def broken(folder):
    stardist.StarDistBackend(Path(folder))
