"""Raw microscope files of a round: which field each belongs to, and which channels it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nucprof.config import Project
from nucprof.config.models import RenameSettings
from nucprof.errors import FieldError, ProjectError
from nucprof.io.images import IMAGE_SUFFIXES, ImageInfo, describe
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.plate.patterns import (
    BUILT_IN,
    NamePattern,
    ParsedName,
    channel_aliases,
    choose_pattern,
)
from nucprof.plate.sources import Source

_LISTED = 5  # names shown in a message


@dataclass(frozen=True)
class Round:
    """The images of one round of one plate."""

    plate: str
    name: str
    folder: Path
    channels: tuple[str, ...]

    @property
    def text(self) -> str:
        """How messages name it."""
        return f"plate {self.plate}, round {self.name} ({self.folder})"


@dataclass(frozen=True)
class RoundFile:
    """A file that belongs to a field, and its channel token."""

    path: Path
    parsed: ParsedName


def list_rounds(project: Project) -> list[Round]:
    """Every round of every plate, Cell Painting first."""
    return [
        Round(plate.name, name, folder, tuple(project.round_channels(name)))
        for plate in project.plates
        for name, folder in ((CP_ROUND, plate.cell_painting), *plate.ground_truth.items())
    ]


def image_files(r: Round, settings: RenameSettings) -> list[Path]:
    """Image files of a round's folder, by name; raises :class:`ProjectError` when there is none."""
    wanted = settings.extension.lower()
    suffixes = IMAGE_SUFFIXES if wanted == "auto" else (f".{wanted.lstrip('.')}",)
    paths = sorted(
        path
        for path in r.folder.iterdir()
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise ProjectError(f"{r.text}: there is no image file ({', '.join(suffixes)}).")
    return paths


Fields = dict[FieldKey, list[RoundFile]]


@dataclass(frozen=True)
class RoundFiles:
    """What was found of a round: files by field, their headers, and what to warn of."""

    round: Round
    pattern: NamePattern
    fields: Fields
    infos: dict[Path, ImageInfo]
    warnings: list[str]


def read_round(r: Round, settings: RenameSettings, exclude: Sequence[str] = ()) -> RoundFiles:
    """Read the names and headers of a round; what does not match is a warning.

    Raises
    ------
    ProjectError
        No name matches, or two files claim the same field and channel; nothing has been changed.
    """
    paths = image_files(r, settings)
    # Files moved earlier must not outvote the names of those that came since.
    raw = [path.stem for path in paths if _parse_renamed(path.stem) is None]
    pattern = choose_pattern(raw or [path.stem for path in paths], settings.pattern)
    selector = FieldSelector(tuple(exclude))
    fields: Fields = defaultdict(list)
    strange = []
    for path in paths:
        parsed = pattern.parse(path.stem) or _parse_renamed(path.stem)
        if parsed is None:
            strange.append(path.name)
        elif not selector.matches(r.plate, parsed.key):
            fields[parsed.key].append(RoundFile(path, parsed))
    if not fields:
        raise ProjectError(
            f"{r.text}: rename.pattern '{settings.pattern}' reads none of {len(paths)} file names, "
            f"e.g. '{paths[0].name}' (or all are excluded)."
        )
    warnings = []
    if strange:
        warnings.append(
            f"{r.text}: {len(strange)} files left out, their names do not match "
            f"pattern '{pattern.name}': {some(strange)}"
        )
    _refuse_collisions(r, fields, pattern)
    infos, broken = _headers([file.path for files in fields.values() for file in files])
    return RoundFiles(r, pattern, dict(fields), infos, [*warnings, *_gaps(r, fields), *broken])


def _parse_renamed(stem: str) -> ParsedName | None:
    """Names that nucprof gave by ``--mode move`` are read whatever the pattern."""
    for pattern in BUILT_IN[:2]:
        parsed = pattern.parse(stem)
        if parsed is not None:
            return parsed
    return None


def _refuse_collisions(r: Round, fields: Fields, pattern: NamePattern) -> None:
    for key, files in fields.items():
        tokens = [file.parsed.channel for file in files]
        if len(files) > 1 and len(set(tokens)) < len(tokens):
            names = some([file.path.name for file in files])
            raise ProjectError(
                f"{r.text}: {len(files)} files would all be field {key} (pattern "
                f"'{pattern.name}'): {names}. Separate them, or give rename.pattern the groups "
                "'site' and 'channel' that tell them apart."
            )


def _gaps(r: Round, fields: Fields) -> list[str]:
    """Wells with fewer fields than the others."""
    sites = defaultdict(list)
    for key in fields:
        sites[key.well].append(key.site)
    most = max(len(s) for s in sites.values())
    short = [f"{well} ({len(s)} of {most})" for well, s in sorted(sites.items()) if len(s) < most]
    return [f"{r.text}: wells with fewer fields than others: {some(short)}"] if short else []


def _headers(paths: list[Path]) -> tuple[dict[Path, ImageInfo], list[str]]:
    """Headers of all files; one that cannot be read is a warning here and fails its field later."""

    def header(path: Path) -> ImageInfo | str:
        try:
            return describe(path)
        except FieldError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = dict(zip(paths, threads.map(header, paths), strict=True))
    infos = {path: info for path, info in found.items() if isinstance(info, ImageInfo)}
    return infos, [text for text in found.values() if isinstance(text, str)]


def assign_channels(
    r: Round,
    key: FieldKey,
    files: list[RoundFile],
    infos: dict[Path, ImageInfo],
    settings: RenameSettings,
) -> dict[str, Source]:
    """Tell which file and plane holds each channel of a field.

    Raises
    ------
    ProjectError
        The planes in the files are not as many as the channels listed, or a token is unknown.
    """
    if len(files) == 1 and (
        files[0].parsed.channel is None
        or len(r.channels) == 1
        or _planes(files[0].path, infos, len(r.channels)) > 1
    ):
        path = files[0].path
        planes = _planes(path, infos, len(r.channels))
        names = infos[path].names if path in infos else ()
        if set(r.channels) <= set(names):
            return {channel: Source(path, names.index(channel)) for channel in r.channels}
        if planes != len(r.channels):
            raise ProjectError(
                f"{r.text}: {path.name} holds {planes} planes, but the project lists "
                f"{len(r.channels)} channels for {r.name}: {', '.join(r.channels)}."
            )
        return {channel: Source(path, plane) for plane, channel in enumerate(r.channels)}
    assigned: dict[str, Source] = {}
    for file in files:
        channel = channel_of_token(r, file.parsed.channel or "", settings)
        if channel in assigned:
            raise ProjectError(
                f"{r.text}: field {key}: {assigned[channel].path.name} and {file.path.name} are "
                f"both channel {channel}; correct rename.channel_map."
            )
        if channel not in r.channels:
            continue
        planes = _planes(file.path, infos, 1)
        if planes != 1:
            raise ProjectError(
                f"{r.text}: {file.path.name} holds {planes} planes, but its name says that it is "
                f"channel {channel} alone. Save it as a single plane."
            )
        assigned[channel] = Source(file.path)
    return assigned


def _planes(path: Path, infos: dict[Path, ImageInfo], default: int) -> int:
    return infos[path].planes if path in infos else default


def channel_of_token(r: Round, token: str, settings: RenameSettings) -> str:
    """Name the channel of a file-name token; raises :class:`ProjectError` for an unknown one."""
    aliases = channel_aliases(token)
    for alias in aliases:
        if alias in settings.channel_map:
            return settings.channel_map[alias]
    for alias in aliases:
        if alias in r.channels:
            return alias
    if token.isdigit() and not settings.channel_map and 1 <= int(token) <= len(r.channels):
        return r.channels[int(token) - 1]
    raise ProjectError(
        f"{r.text}: rename.channel_map does not say which channel '{token}' in the file names is; "
        f'add e.g. "{token}" = "{r.channels[0]}" under [rename.channel_map].'
    )


def unpaired(read: Sequence[RoundFiles]) -> list[str]:
    """Fields that one round of a plate has and another lacks."""
    warnings = []
    painted = {found.round.plate: found.fields for found in read if found.round.name == CP_ROUND}
    for found in read:
        r, fields = found.round, found.fields
        if r.name == CP_ROUND:
            continue
        for missing, of, text in (
            (set(painted[r.plate]) - set(fields), r.name, "left out of what follows"),
            (set(fields) - set(painted[r.plate]), CP_ROUND, "ignored"),
        ):
            if missing:
                names = some([str(key) for key in sorted(missing)])
                warnings.append(
                    f"plate {r.plate}: {len(missing)} fields have no image in {of}, {text}: {names}"
                )
    return warnings


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
