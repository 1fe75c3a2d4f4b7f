"""Segment one field: read it, find its objects, keep those that are cells, write the masks."""

from __future__ import annotations

from nucprof.machine import thread_share
from nucprof.plate.keys import FieldKey
from nucprof.plate.sources import pixel_size
from nucprof.segmentation import choose
from nucprof.segmentation.backends.base import Planes, Request, Segmentation
from nucprof.segmentation.cell_channels import read_stains
from nucprof.segmentation.scale_file import read_scale
from nucprof.stages.base import Drop, Outcome, read_sources
from nucprof.stages.segment.job import SegmentJob, SegmentRecord


def work(job: SegmentJob) -> Outcome[SegmentRecord]:
    """Segment one field."""
    import numpy as np

    from nucprof.core.evidence import measure_evidence
    from nucprof.core.quality import measure_quality
    from nucprof.io.images import write_labels
    from nucprof.io.tables import write_table
    from nucprof.segmentation.object_table import object_rows
    from nucprof.segmentation.objects import clean_cells, clean_nuclei

    planes = _planes(job)
    found = _segment(job, planes)
    labels = found.labels(job.mode)
    evidence = None
    phantoms = np.empty(0, dtype=np.int64)
    if found.nuclei is not None:
        evidence = measure_evidence(planes.nuclei, found.nuclei)
        phantoms = evidence.ids[~evidence.stands_out(job.min_contrast)]
    if job.mode == "cells":
        objects = clean_cells(
            labels, found.nuclei, planes.nuclei, drop_border=job.clear_border, phantoms=phantoms
        )
        quality = measure_quality(planes.nuclei, labels)
    else:
        objects = clean_nuclei(labels, drop_border=job.clear_border, phantoms=phantoms)
        quality = measure_quality(planes.nuclei, labels, evidence)
    for path, mask in zip(job.mask_files, objects.masks.values(), strict=True):
        write_labels(path, mask, pixel_size(job.sources))
    kept = measure_evidence(planes.nuclei, objects.masks["nuclei"])
    if evidence is None or (job.mode == "cells" and found.probability is None):
        evidence = kept  # these nuclei had other labels before they got those of their cells
    field = FieldKey.parse(job.field)
    rows = object_rows(job.plate, field, evidence, found.probability, objects.dropped)
    write_table(job.outputs[-1], rows)
    gone = objects.dropped.items()
    area = float(np.median(kept.areas)) if len(kept.ids) else 0.0
    return Outcome(
        SegmentRecord(objects.kept, quality, area),
        objects.ids.tolist(),
        [Drop(job.plate, job.field, reason, ids.tolist()) for reason, ids in gone],
        [*found.warnings, *([] if objects.kept else ["no cells found"])],
    )


def _planes(job: SegmentJob) -> Planes:
    """Read a field; its cytoplasm is that of the plate's cell channels if these were chosen."""
    from nucprof.core.cell_stain import combine_stains
    from nucprof.segmentation.planes import split_planes

    image = read_sources(job, job.sources, job.channels)
    stains = read_stains(job.cell_channels) if job.cell_channels else {}
    if not stains:
        nuclei, cyto = split_planes(image, job.mode)
        return Planes(nuclei, cyto, name=job.name, files=job.masks)
    used = [image[job.channels.index(name)] for name in stains]
    cyto = combine_stains(used, list(stains.values()))
    return Planes(image[0], cyto, background=0.0, name=job.name, files=job.masks)


def _segment(job: SegmentJob, planes: Planes) -> Segmentation:
    given = getattr(job.settings, "scale", 1.0)
    scale = read_scale(job.scale) if job.scale else 1.0 if given == "auto" else float(given)
    request = Request(job.settings, job.mode, job.model, scale, job.device, thread_share())
    return choose.load(job.backend, request).segment(planes)
