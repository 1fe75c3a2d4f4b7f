"""Checks of a project's images and layouts before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from nucprof.config import Project
from nucprof.core.nuclear import nuclear_look
from nucprof.errors import NucprofError
from nucprof.io.images import read_channels
from nucprof.io.layouts import read_layout
from nucprof.plate.keys import CP_ROUND
from nucprof.plate.layout import draw_plate
from nucprof.plate.sources import Source
from nucprof.plate.words import several
from nucprof.raw.channels import incomplete, round_sources
from nucprof.raw.round_files import Round, RoundFiles
from nucprof.raw.rounds import list_rounds, read_round, unpaired

_SATURATED = 0.001  # share of pixels at the highest value that is reported
_SAME_PIXEL = 0.01  # pixel sizes that differ by less are equal


@dataclass(frozen=True)
class Check:
    """One finding; ``mark`` is ok, note, warn or FAIL."""

    mark: str
    text: str


@dataclass
class Images:
    """Results for all rounds: checks, bytes on disk, and pixels of Cell Painting fields."""

    checks: list[Check] = field(default_factory=list)
    raw_bytes: int = 0
    painted_pixels: int = 0


def examine_images(project: Project) -> Images:
    """Read names and headers of all images, one field of every round, and the layouts."""
    images = Images()
    read: list[RoundFiles] = []
    for r in list_rounds(project):
        try:
            found = read_round(r, project.rename, project.project.exclude)
            sources, left_out = round_sources(found, project.rename)
        except NucprofError as error:
            images.checks.append(Check("FAIL", str(error)))
            continue
        read.append(found)
        paths = {file.path for file in found.files}
        stored = sum(path.stat().st_size for path in paths)
        images.raw_bytes += stored
        info = found.usual
        if r.name == CP_ROUND:
            images.painted_pixels += len(sources) * info.height * info.width
        size = found.pixel_size_um
        um = f"{size:.4g} µm per pixel" if size else "pixel size unknown"
        images.checks.append(
            Check(
                "ok",
                f"{r.text}: {several(len(sources), 'field')}, {several(len(paths), 'file')}, "
                f"{stored / 1e9:.2f} GB, "
                f"{info.planes} x {info.height} x {info.width} {info.dtype}, {um}",
            )
        )
        warnings = [*found.warnings, *left_out, *incomplete(r, sources)]
        images.checks += [Check("warn", text) for text in warnings]
        images.checks += _pixels(r, project, list(sources.values()))
    images.checks += [Check("warn", text) for text in unpaired(read)]
    images.checks += _compare(read)
    images.checks += _layouts(project, read)
    return images


def _pixels(r: Round, project: Project, fields: list[dict[str, Source]]) -> Iterator[Check]:
    """Check the middle field: saturation, and nuclei in the nuclear channel."""
    whole = [held for held in fields if len(held) == len(r.channels)]
    if not whole:
        return
    try:
        image = read_channels([whole[len(whole) // 2][name] for name in r.channels])
    except NucprofError as error:
        yield Check("warn", str(error))
        return
    for name, plane in zip(r.channels, image, strict=True):
        share = saturated(plane)
        if share > _SATURATED:
            text = f"{r.text}: channel {name} is saturated in {share:.1%} of the pixels of a field"
            yield Check("warn", f"{text}; its intensities are too low there")
    if project.channels.nuclei in r.channels:
        look = nuclear_look(image[r.channels.index(project.channels.nuclei)])
        if look.empty:
            yield Check(
                "warn",
                f"{r.text}: the nuclear channel {project.channels.nuclei} shows no nuclei in the "
                "field examined; check channels.nuclei, and the order of the channels",
            )


def saturated(plane: np.ndarray) -> float:
    """Share of pixels ``(H, W)`` at the highest value of an 8-, 10-, 12-, 14- or 16-bit camera."""
    from nucprof.core.quality import saturated_share

    return saturated_share(plane) if plane.dtype.kind == "u" else 0.0


def _compare(read: list[RoundFiles]) -> Iterator[Check]:
    """Compare the rounds of every plate with its Cell Painting, and the plates with each other."""
    first: Mapping[str, RoundFiles] = {f.round.name: f for f in reversed(read)}
    painted = {f.round.plate: f for f in read if f.round.name == CP_ROUND}
    for found in read:
        own = found.round
        for other in (painted.get(own.plate), first[own.name]):
            if other is not None and other is not found:
                yield from _compare_two(found, other)


def _compare_two(found: RoundFiles, other: RoundFiles) -> Iterator[Check]:
    a, b = found.pixel_size_um, other.pixel_size_um
    if a and b and abs(a / b - 1) > _SAME_PIXEL:
        yield Check(
            "warn",
            f"{found.round.text}: pixels of {a:.4g} µm, but {b:.4g} µm in plate "
            f"{other.round.plate}, round {other.round.name}",
        )
    if found.round.name != other.round.name:
        return
    one, two = found.usual, other.usual
    if one.dtype != two.dtype:
        yield Check(
            "warn",
            f"{found.round.text}: {one.dtype}, but {two.dtype} in plate {other.round.plate}: "
            "intensities of the two do not compare",
        )


def _layouts(project: Project, read: list[RoundFiles]) -> Iterator[Check]:
    """Read the layouts and draw them, with the imaged wells."""
    wells = {
        found.round.plate: {key.well for key in found.fields}
        for found in read
        if found.round.name == CP_ROUND
    }
    mixed, names = project.gate.mixed_culture, [plate.name for plate in project.plates]
    for plate in project.plates:
        if plate.layout is None:
            yield Check(
                "note", f"plate {plate.name}: no layout; it is needed to train, not to predict"
            )
            continue
        try:
            layout = read_layout(plate.layout, plate.name, names).with_mixed_called(mixed)
        except NucprofError as error:
            yield Check("FAIL", str(error))
            continue
        imaged = wells.get(plate.name, set())
        drawn = draw_plate(layout, imaged)
        yield Check("ok", "\n      ".join([f"plate {plate.name}: {plate.layout}", *drawn]))
        yield from (Check("FAIL", f"{plate.layout}: {text}") for text in layout.strangers(imaged))
        yield from (Check("warn", f"{plate.layout}: {text}") for text in layout.doubts())
        if project.has_ground_truth and mixed not in layout.cultures.values():
            yield Check(
                "note",
                f"{plate.layout}: no culture is called '{mixed}'; if one is mixed, name it in "
                "gate.mixed_culture",
            )
