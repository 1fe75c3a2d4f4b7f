"""Which file, plane, position and time holds each channel of a field."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.io.images import ImageInfo
from nucprof.plate.keys import FieldKey
from nucprof.plate.layout import plain
from nucprof.plate.patterns import channel_aliases
from nucprof.plate.sources import Source
from nucprof.plate.words import some
from nucprof.raw.choice import Choice, choose
from nucprof.raw.round_files import Round, RoundFile, RoundFiles

FieldSources = dict[FieldKey, dict[str, Source]]


_SAME_PIXEL = 0.01  # pixel sizes that differ by less are equal


def round_sources(
    found: RoundFiles, settings: RenameSettings, painted_um: float | None = None
) -> tuple[FieldSources, list[str]]:
    """Sources of every channel of every field of a round, and warnings of fields left out.

    ``painted_um``: side of a pixel of Cell Painting, to which the round is brought.

    Raises
    ------
    ProjectError
        A choice of focal plane or time is needed, or more than half of the fields do not fit the
        channels that the project lists.
    """
    settings = settings.for_round(found.round.name)
    choice = choose(found, settings)
    zoom = zoom_to(found, painted_um)
    size = found.pixel_size_um
    pixels: dict[str, Any] = {"zoom": zoom, "pixel_size_um": size if zoom == 1 else painted_um}
    usual = _usual_size(found)
    sources: FieldSources = {}
    wrong: dict[FieldKey, ProjectError] = {}
    for key, files in sorted(found.fields.items()):
        try:
            _refuse_sizes(found, key, files, usual)
            own = field_sources(found, key, choice.of_time(files), choice, settings)
            sources[key] = {name: replace(source, **pixels) for name, source in own.items()}
        except ProjectError as error:
            wrong[key] = error
    if len(wrong) > len(found.fields) / 2:
        raise next(iter(wrong.values()))
    _refuse_absent(found, sources)
    return sources, _left_out(wrong)


def _left_out(wrong: Mapping[FieldKey, ProjectError]) -> list[str]:
    """One line for all fields that have the same fault."""
    by_fault: dict[str, list[str]] = defaultdict(list)
    for key, error in wrong.items():
        by_fault[str(error)].append(str(key))
    return [
        f"field{'s' if len(keys) > 1 else ''} {some(keys)} left out: {fault}"
        for fault, keys in by_fault.items()
    ]


def _refuse_absent(found: RoundFiles, sources: FieldSources) -> None:
    """Raise an error if a listed channel is in no field: its name is not that of any file."""
    r = found.round
    held = {channel for own in sources.values() for channel in own}
    absent = [channel for channel in r.channels if channel not in held]
    if absent:
        tokens = sorted({file.parsed.channel for file in found.files if file.parsed.channel})
        raise ProjectError(
            f"{r.text}: no file is channel {', '.join(absent)}. The channels in the file names are "
            f"{', '.join(tokens)}; say under [rename.channel_map] which channel each is, by the "
            "names under [channels]."
        )


def zoom_to(found: RoundFiles, painted_um: float | None) -> float:
    """Zoom factor that brings a round to Cell Painting's pixel size; 1 if a size is not known."""
    own = found.pixel_size_um
    if not own or not painted_um or abs(own / painted_um - 1) <= _SAME_PIXEL:
        return 1.0
    return own / painted_um


def other_pixels(found: RoundFiles, painted_um: float | None) -> list[str]:
    """Warn that a round is resampled, or that its pixel size is not known."""
    own, zoom = found.pixel_size_um, zoom_to(found, painted_um)
    if zoom != 1:
        return [
            f"{found.round.text}: its pixels of {own:.4g} µm are resampled to the {painted_um:.4g} "
            "µm of Cell Painting"
        ]
    if bool(own) != bool(painted_um):
        return [
            f"{found.round.text}: only one of this round and Cell Painting has a known pixel size; "
            "the other is assumed to have the same"
        ]
    return []


def field_sources(
    found: RoundFiles,
    key: FieldKey,
    files: Sequence[RoundFile],
    choice: Choice,
    settings: RenameSettings,
) -> dict[str, Source]:
    """Find the file and plane of each channel of a field.

    Raises
    ------
    ProjectError
        The number of planes differs from the number of channels, or a token is unknown.
    """
    r, infos = found.round, found.infos
    by_token: dict[str | None, list[RoundFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: f.parsed.z):
        by_token[file.parsed.channel].append(file)
    first = files[0]
    whole = infos[first.path].planes > 1 or first.parsed.channel is None or len(r.channels) == 1
    if len(by_token) == 1 and whole:
        planes = _planes_by_name(r, first.path, infos[first.path])
        return {c: _source(files, plane, infos, choice) for c, plane in planes.items()}
    assigned: dict[str, Source] = {}
    for token, images in by_token.items():
        channel = channel_of_token(found, token or "", settings)
        if channel in assigned:
            raise ProjectError(
                f"{r.text}: field {key}: {assigned[channel].path.name} and "
                f"{images[0].path.name} are both channel {channel}; correct rename.channel_map."
            )
        if channel not in r.channels:
            continue
        planes_held = infos[images[0].path].planes
        if planes_held != 1:
            raise ProjectError(
                f"{r.text}: {images[0].path.name} holds {planes_held} planes, but its name "
                f"says that it is channel {channel} alone. Export every channel as a grey image, "
                "not in colours."
            )
        assigned[channel] = _source(images, 0, infos, choice)
    return assigned


def _source(
    files: Sequence[RoundFile], plane: int, infos: Mapping[Path, ImageInfo], choice: Choice
) -> Source:
    """The source of one channel in one file, or in one file per focal plane."""
    first = files[0]
    info = infos[first.path]
    parts = tuple(first.path.with_name(name) for name in info.positions[first.position].parts)
    time = choice.time if info.times > 1 else 0
    source = Source(first.path, plane, first.position, time, parts=parts)
    if len(files) == 1:
        return replace(source, projection=choice.projection if info.z > 1 else None)
    if isinstance(choice.projection, int):
        return replace(source, path=files[choice.projection - 1].path)
    stack = tuple(file.path for file in files)
    return replace(source, projection=choice.projection, stack=stack)


def _usual_size(found: RoundFiles) -> tuple[int, int] | None:
    """Height and width of most fields; None where less than two thirds share them."""
    sizes = Counter(_size(found, files[0]) for files in found.fields.values())
    size, count = sizes.most_common(1)[0]
    return size if 3 * count >= 2 * len(found.fields) else None


def _refuse_sizes(
    found: RoundFiles, key: FieldKey, files: Sequence[RoundFile], usual: tuple[int, int] | None
) -> None:
    sizes = {_size(found, file): file.path.name for file in files}
    shapes = ", ".join(f"{name} is {h} x {w}" for (h, w), name in sizes.items())
    if len(sizes) > 1:
        raise ProjectError(
            f"{found.round.text}: the files of field {key} differ in size: {shapes}."
        )
    if usual is not None and usual not in sizes:
        raise ProjectError(
            f"{found.round.text}: {shapes}, while most fields are {usual[0]} x {usual[1]}."
        )


def _size(found: RoundFiles, file: RoundFile) -> tuple[int, int]:
    info = found.infos[file.path]
    return info.height, info.width


def _planes_by_name(r: Round, path: Path, info: ImageInfo) -> dict[str, int]:
    """Plane of every channel: by the names in the file if it has them, else by order."""
    names = [plain(name) for name in info.names]
    if len(set(names)) == len(names) and {plain(c) for c in r.channels} <= set(names):
        return {channel: names.index(plain(channel)) for channel in r.channels}
    if info.planes != len(r.channels):
        inside = f" ({', '.join(info.names)})" if info.names else ""
        raise ProjectError(
            f"{r.text}: {path.name} holds {info.planes} planes{inside}, but the project lists "
            f"{len(r.channels)} channels for {r.name}: {', '.join(r.channels)}."
        )
    return {channel: plane for plane, channel in enumerate(r.channels)}


def channel_of_token(found: RoundFiles, token: str, settings: RenameSettings) -> str:
    """Name the channel of a file-name token; raises :class:`ProjectError` for an unknown one."""
    r = found.round
    aliases = channel_aliases(token)
    tokens = settings.for_round(r.name).channel_map
    for alias in aliases:
        if alias in tokens:
            return str(tokens[alias])
    listed = {plain(channel): channel for channel in r.channels}
    by_number = found.harmony.channels if found.harmony is not None and token.isdigit() else {}
    for alias in (by_number.get(token.lstrip("0"), ""), *aliases):
        if plain(alias) in listed:
            return listed[plain(alias)]
    if token.isdecimal() and not tokens:
        place = int(token) - (0 if 0 in found.numbers else 1)
        if 0 <= place < len(r.channels):
            return r.channels[place]
    named = {plain(file.parsed.channel or "") for file in found.files}
    free = [channel for channel in r.channels if plain(channel) not in named]
    raise ProjectError(
        f"{r.text}: rename.channel_map does not say which channel '{token}' in the file names is; "
        f'add e.g. "{token}" = "{(free or r.channels)[0]}" under [rename.channel_map].'
    )


def incomplete(r: Round, sources: FieldSources) -> list[str]:
    """Fields that lack the file of a channel."""
    short = [
        f"{key} ({', '.join(name for name in r.channels if name not in held)})"
        for key, held in sorted(sources.items())
        if len(held) < len(r.channels)
    ]
    return [f"{r.text}: fields that lack the file of a channel: {some(short)}"] if short else []
