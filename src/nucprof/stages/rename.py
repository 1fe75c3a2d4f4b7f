"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucprof.config import CP_ROUND, Project
from nucprof.config.models import RenameSettings
from nucprof.errors import FieldError, ProjectError
from nucprof.io.files import read_json, write_json
from nucprof.io.images import IMAGE_SUFFIXES, ImageInfo, describe
from nucprof.io.index import index_table
from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.plate.patterns import BUILT_IN, NamePattern, ParsedName, channel_aliases, choose_pattern
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary

_LISTED = 5  # names shown in a message


@dataclass(frozen=True)
class Round:
    """The images of one round of one plate."""

    plate: str
    name: str
    folder: str
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


def plan(context: Context) -> Plan:
    """List the folders; their names, sizes and times decide the result."""
    project = context.project
    rounds = list_rounds(project)
    listing = {
        f"{r.plate}/{r.name}": [
            [path.name, path.stat().st_size, path.stat().st_mtime_ns]
            for path in image_files(r, project.rename)
        ]
        for r in rounds
    }
    params = {"settings": project.rename, "rounds": rounds, "exclude": project.project.exclude,
              "listing": listing}
    job = Job(*WHOLE, inputs=(), outputs=(context.results.images,), params=params,
              runtime={"results": context.results})
    return Plan([job])


def work(job: Job) -> Outcome:
    """Read names and headers, rename where asked, and write ``images.csv``."""
    settings: RenameSettings = job.params["settings"]
    results: Results = job.runtime["results"]
    outcome = Outcome()
    read = [read_round(r, settings, job.params["exclude"], outcome) for r in job.params["rounds"]]
    if settings.mode != "index":
        targets = [
            (file.path, target_name(r, file, settings, results))
            for r, fields, _ in read for files in fields.values() for file in files
        ]
        moved = rename_files(targets, settings.mode, results)
    else:
        moved = {}
    rows: list[dict[str, Any]] = []
    for r, fields, infos in read:
        for key, files in sorted(fields.items()):
            for channel, (path, plane) in assign_channels(r, key, files, infos, settings).items():
                rows.append({
                    "plate": r.plate, "well": str(key.well), "row": key.row, "column": key.column,
                    "site": key.site, "round": r.name, "channel": channel,
                    "path": str(moved.get(path, path)), "plane": plane,
                })
    write_table(results.images, index_table(rows))
    outcome.record = {"rounds": {f"{r.plate}/{r.name}": len(f) for r, f, _ in read}}
    outcome.warnings += unpaired(read)
    return outcome


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count fields by round."""
    counts = entries[0].record["rounds"]
    lines = [f"{name}: {n} fields" for name, n in counts.items()]
    return Summary([context.results.images], {"fields": counts}, lines)


def list_rounds(project: Project) -> list[Round]:
    """Every round of every plate, Cell Painting first."""
    return [
        Round(plate.name, name, str(folder), tuple(project.round_channels(name)))
        for plate in project.plates
        for name, folder in ((CP_ROUND, plate.cell_painting), *plate.ground_truth.items())
    ]


def image_files(r: Round, settings: RenameSettings) -> list[Path]:
    """Image files of a round's folder, by name; raises :class:`ProjectError` when there is none."""
    wanted = settings.extension.lower()
    suffixes = IMAGE_SUFFIXES if wanted == "auto" else (f".{wanted.lstrip('.')}",)
    paths = sorted(
        path for path in Path(r.folder).iterdir()
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise ProjectError(f"{r.text}: there is no image file ({', '.join(suffixes)}).")
    return paths


Fields = dict[FieldKey, list[RoundFile]]


def read_round(
    r: Round, settings: RenameSettings, exclude: Sequence[str], outcome: Outcome
) -> tuple[Round, Fields, dict[Path, ImageInfo]]:
    """Read the names and headers of a round; what does not match is a warning.

    Raises
    ------
    ProjectError
        No name matches, or two files claim the same field and channel; nothing has been changed.
    """
    paths = image_files(r, settings)
    pattern = choose_pattern([path.stem for path in paths], settings.pattern)
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
    if strange:
        outcome.warnings.append(f"{r.text}: {len(strange)} files left out, their names do not match "
                                f"pattern '{pattern.name}': {_some(strange)}")
    _refuse_collisions(r, fields, pattern)
    outcome.warnings += _gaps(r, fields)
    infos, broken = _headers([file.path for files in fields.values() for file in files])
    outcome.warnings += broken
    return r, dict(fields), infos


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
            names = _some([file.path.name for file in files])
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
    return [f"{r.text}: wells with fewer fields than others: {_some(short)}"] if short else []


def _headers(paths: list[Path]) -> tuple[dict[Path, ImageInfo], list[str]]:
    """Headers of all files; a file that cannot be read is a warning here and fails its field later."""
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
    r: Round, key: FieldKey, files: list[RoundFile], infos: dict[Path, ImageInfo],
    settings: RenameSettings,
) -> dict[str, tuple[Path, int]]:
    """Tell which file and plane holds each channel of a field.

    Raises
    ------
    ProjectError
        The planes in the files are not as many as the channels listed, or a token is unknown.
    """
    if len(files) == 1 and (files[0].parsed.channel is None or len(r.channels) == 1
                            or _planes(files[0].path, infos, len(r.channels)) > 1):
        path = files[0].path
        planes = _planes(path, infos, len(r.channels))
        names = infos[path].names if path in infos else ()
        if set(r.channels) <= set(names):
            return {channel: (path, names.index(channel)) for channel in r.channels}
        if planes != len(r.channels):
            raise ProjectError(
                f"{r.text}: {path.name} holds {planes} planes, but the project lists "
                f"{len(r.channels)} channels for {r.name}: {', '.join(r.channels)}."
            )
        return {channel: (path, plane) for plane, channel in enumerate(r.channels)}
    assigned: dict[str, tuple[Path, int]] = {}
    for file in files:
        channel = channel_of_token(r, file.parsed.channel or "", settings)
        if channel in assigned:
            raise ProjectError(
                f"{r.text}: field {key}: {assigned[channel][0].name} and {file.path.name} are both "
                f"channel {channel}; correct rename.channel_map."
            )
        if channel in r.channels:
            assigned[channel] = (file.path, 0)
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


def target_name(r: Round, file: RoundFile, settings: RenameSettings, results: Results) -> Path:
    """Where a file goes in mode link (below the results) or move (in its own folder)."""
    key, token = file.parsed.key, file.parsed.channel
    one_per_channel = token is not None and "," not in token and len(r.channels) > 1
    suffix = f"_{channel_of_token(r, token or '', settings)}" if one_per_channel else ""
    folder = file.path.parent if settings.mode == "move" else results.folder("raw", r.plate, r.name)
    return folder / f"{key}{suffix}{file.path.suffix.lower()}"


def undo_path(results: Results) -> Path:
    """The record of the files moved, by which ``--undo`` moves them back."""
    return results.folder("raw", "moved.json")


def rename_files(
    targets: list[tuple[Path, Path]], mode: str, results: Results
) -> dict[Path, Path]:
    """Link or move files; all names are checked before the first is touched."""
    todo = [(source, target) for source, target in targets if source != target]
    names = [target for _, target in targets]
    taken = sorted({str(t) for t in names if names.count(t) > 1} |
                   {str(t) for s, t in todo if t.exists() and not os.path.samefile(s, t)})
    if taken:
        raise ProjectError(f"rename: these names are taken, nothing was renamed: {_some(taken)}")
    if mode == "move":
        log = undo_path(results)
        before = read_json(log) if log.exists() else {}
        write_json(log, before | {str(target): str(source) for source, target in todo})
    for source, target in todo:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if mode == "move":
                source.rename(target)
            elif not target.exists():
                os.link(source, target)
        except OSError as error:
            raise ProjectError(
                f"rename: {source} cannot become {target}: {error}. Hard links need both on one "
                "disk; mode index needs none."
            ) from None
    return dict(todo)


def undo(results: Results) -> int:
    """Give moved files their old names back; returns how many. Raises :class:`ProjectError`."""
    log = undo_path(results)
    if not log.exists():
        raise ProjectError(f"{log} does not exist: no file was moved, there is nothing to undo.")
    moved = {Path(new): Path(old) for new, old in read_json(log).items()}
    taken = [str(old) for new, old in moved.items() if new.exists() and old.exists()]
    if taken:
        raise ProjectError(f"rename --undo: these names are taken, nothing was moved: {_some(taken)}")
    count = 0
    for new, old in moved.items():
        if new.exists():
            new.rename(old)
            count += 1
    log.unlink()
    return count


def unpaired(read: Sequence[tuple[Round, Fields, Any]]) -> list[str]:
    """Fields that one round of a plate has and another lacks."""
    warnings = []
    painted = {r.plate: fields for r, fields, _ in read if r.name == CP_ROUND}
    for r, fields, _ in read:
        if r.name == CP_ROUND:
            continue
        for missing, of, text in (
            (set(painted[r.plate]) - set(fields), r.name, "left out of what follows"),
            (set(fields) - set(painted[r.plate]), CP_ROUND, "ignored"),
        ):
            if missing:
                names = _some([str(key) for key in sorted(missing)])
                warnings.append(
                    f"plate {r.plate}: {len(missing)} fields have no image in {of}, {text}: {names}"
                )
    return warnings


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
