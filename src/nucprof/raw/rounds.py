"""Raw microscope files of a round: which field each belongs to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from nucprof.config import Project
from nucprof.config.models import RenameSettings
from nucprof.errors import FieldError, ProjectError
from nucprof.io.formats.harmony import HarmonyIndex, read_harmony
from nucprof.io.images import ImageInfo, describe, stem_of
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.plate.patterns import BUILT_IN, NamePattern, ParsedName, choose_pattern
from nucprof.plate.words import several, some
from nucprof.raw.folder import Listing, list_folder
from nucprof.raw.positions import IN_FILE, name_positions
from nucprof.raw.round_files import Fields, Round, RoundFile, RoundFiles, name_below


def list_rounds(project: Project) -> list[Round]:
    """Every round of every plate, Cell Painting first."""
    return [
        Round(plate.name, name, folder, tuple(project.round_channels(name)))
        for plate in project.plates
        for name, folder in ((CP_ROUND, plate.cell_painting), *plate.ground_truth.items())
    ]


def image_files(r: Round, settings: RenameSettings) -> list[Path]:
    """Image files of a round's folder, by name; raises :class:`ProjectError` when there is none."""
    return list_folder(r.folder, r.text, settings).images


def read_round(r: Round, settings: RenameSettings, exclude: Sequence[str] = ()) -> RoundFiles:
    """Read the names and headers of a round; files that do not match give a warning.

    Raises
    ------
    ProjectError
        No name matches, no file can be read, or two files are the same image; nothing has
        been changed.
    """
    settings = settings.for_round(r.name)
    listing = list_folder(r.folder, r.text, settings)
    infos, broken = _headers(listing.images)
    if not infos:
        raise ProjectError(f"{r.text}: no file can be read. {next(iter(broken.values()))}")
    paths = [path for path in listing.images if path in broken or not infos[path].part_of]
    pattern = _choose(paths, r.folder, infos, str(settings.pattern))
    names = {
        path: name_below(path, r.folder) if pattern.with_folders else stem_of(path)
        for path in paths
    }
    found = _sort(names, pattern, infos, broken)
    excluded = found.leave_out(r, FieldSelector(tuple(exclude)))
    kept = {key: files for key, files in found.fields.items() if key not in found.lost}
    if not kept:
        if excluded:
            raise ProjectError(f"{r.text}: project.exclude leaves out all {len(excluded)} fields.")
        raise ProjectError(
            f"{r.text}: rename.pattern '{settings.pattern}' reads none of {len(names)} file names, "
            f"e.g. '{next(iter(names)).name}'."
        )
    _refuse_collisions(r, kept, pattern)
    used = {file.path for files in kept.values() for file in files}
    read = RoundFiles(
        r,
        pattern,
        kept,
        {path: info for path, info in infos.items() if path in used},
        [*found.warnings(r, pattern), *_ignored(r, listing), *_gaps(r, kept)],
        tuple(excluded),
        _harmony(r, listing.images[0].parent),
        settings.pixel_size_um,  # type: ignore[arg-type]
    )
    return replace(read, warnings=[*read.warnings, *read.differences()])


@dataclass
class _Sorted:
    """Images by field; lost fields with reasons; files whose names contain no field."""

    fields: dict[FieldKey, list[RoundFile]]
    lost: dict[FieldKey, str]
    strange: list[str]

    def leave_out(self, r: Round, selector: FieldSelector) -> list[FieldKey]:
        """Drop the fields that the user excludes; returns their keys."""
        chosen = sorted(k for k in {*self.fields, *self.lost} if selector.matches(r.plate, k))
        for key in chosen:
            self.fields.pop(key, None)
            self.lost.pop(key, None)
        return chosen

    def warnings(self, r: Round, pattern: NamePattern) -> list[str]:
        """What was left out."""
        lines = [f"{r.text}: field {key} left out: {why}" for key, why in sorted(self.lost.items())]
        if self.strange:
            lines.append(
                f"{r.text}: {several(len(self.strange), 'file')} left out: their names do not "
                f"match pattern '{pattern.name}': {some(self.strange)}"
            )
        return lines


def _sort(
    names: Mapping[Path, str],
    pattern: NamePattern,
    infos: Mapping[Path, ImageInfo],
    broken: Mapping[Path, str],
) -> _Sorted:
    """Sort files into fields by their names and the positions in them."""
    found = _Sorted(defaultdict(list), {}, [])
    for path, name in names.items():
        parsed = pattern.parse(name) or _parse_renamed(stem_of(path))
        if path in broken and parsed is not None:
            found.lost[parsed.key] = broken[path]
            continue
        named = None if path in broken else name_positions(infos[path], parsed, pattern)
        if named is None:
            found.strange.append(path.name)
            continue
        for image in named:
            key = image.parsed.key
            found.fields[key].append(RoundFile(path, image.parsed, image.position))
            if not infos[path].positions[image.position].complete:
                found.lost[key] = f"{path.name} ends before it: the acquisition stopped early"
    return found


def _ignored(r: Round, listing: Listing) -> list[str]:
    """Name the files that are left out for their names."""
    kinds = (
        ("hidden file", "", listing.hidden),
        ("image", " not named in UTF-8", listing.broken),
        ("image", " that cannot be opened (a link to nothing, a folder or a pipe)", listing.others),
    )
    return [
        f"{r.text}: {several(len(paths), kind)}{why} ignored: {some([p.name for p in paths])}"
        for kind, why, paths in kinds
        if paths
    ]


def _choose(
    paths: Sequence[Path], folder: Path, infos: Mapping[Path, ImageInfo], pattern: str
) -> NamePattern:
    """The pattern for a folder; that of the positions if all files name their wells inside."""
    # Files moved earlier must not outnumber files that were added later.
    raw = [path for path in paths if _parse_renamed(stem_of(path)) is None]
    named = raw or paths
    try:
        return choose_pattern(
            [stem_of(path) for path in named], pattern, [name_below(path, folder) for path in named]
        )
    except ProjectError:
        if pattern != "auto":
            raise
        if len(raw) < len(paths):
            return BUILT_IN[0]  # the other files are not images of the plate
        if any(path in infos and name_positions(infos[path], None, IN_FILE) for path in paths):
            return IN_FILE
        raise


def _parse_renamed(stem: str) -> ParsedName | None:
    """Names from ``--mode move`` are read with any pattern."""
    for pattern in BUILT_IN[:2]:
        parsed = pattern.parse(stem)
        if parsed is not None:
            return parsed
    return None


def _refuse_collisions(r: Round, fields: Fields, pattern: NamePattern) -> None:
    for key, files in fields.items():
        claims: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for f in files:
            place = (f.parsed.channel, f.parsed.z, f.parsed.t)
            claims[place].append(f.path.relative_to(r.folder).as_posix())
        same = next((names for names in claims.values() if len(names) > 1), None)
        if same is not None:
            raise ProjectError(
                f"{r.text}: {some(same)} would all be the same image of field {key} (pattern "
                f"'{pattern.name}'). If they are of several plates, put each plate into a folder "
                "of its own; if they are copies, move them away; else give a pattern whose groups "
                "'site', 'channel', 'z' or 't' tell them apart (rename.pattern; init --pattern)."
            )


def _gaps(r: Round, fields: Fields) -> list[str]:
    """Wells with fewer fields than the others."""
    sites = Counter(key.well for key in fields)
    most = max(sites.values())
    short = [f"{well} ({n} of {most})" for well, n in sorted(sites.items()) if n < most]
    return [f"{r.text}: wells with fewer fields than others: {some(short)}"] if short else []


def _headers(paths: list[Path]) -> tuple[dict[Path, ImageInfo], dict[Path, str]]:
    """Headers of the readable files, and the errors of the others."""

    def header(path: Path) -> ImageInfo | str:
        try:
            return describe(path)
        except FieldError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = dict(zip(paths, threads.map(header, paths), strict=True))
    infos = {path: info for path, info in found.items() if isinstance(info, ImageInfo)}
    return infos, {path: text for path, text in found.items() if isinstance(text, str)}


def _harmony(r: Round, beside: Path) -> HarmonyIndex | None:
    """The index in the round's folder, or beside its images in a subfolder."""
    try:
        return read_harmony(r.folder) or read_harmony(beside)
    except ValueError as error:
        raise ProjectError(f"{r.text}: {error}. Move it away to continue without it.") from None


def excluded_in_vain(read: Sequence[RoundFiles], exclude: Sequence[str]) -> list[str]:
    """Warn of names in project.exclude that fit no field of any round."""
    fields = [(found.round.plate, key) for found in read for key in found.excluded]
    left = FieldSelector(tuple(exclude)).unmatched(fields)
    return (
        [f"project.exclude: no field fits {some(left)}; nothing is left out by it"] if left else []
    )


def unpaired(read: Sequence[RoundFiles]) -> list[str]:
    """Fields that one round of a plate has and another lacks."""
    warnings = []
    painted = {found.round.plate: found.fields for found in read if found.round.name == CP_ROUND}
    for found in read:
        r, fields = found.round, found.fields
        if r.name == CP_ROUND or r.plate not in painted:
            continue
        for missing, of, text in (
            (set(painted[r.plate]) - set(fields), r.name, "left out of all later stages"),
            (set(fields) - set(painted[r.plate]), CP_ROUND, "ignored"),
        ):
            if missing:
                names = some([str(key) for key in sorted(missing)])
                warnings.append(
                    f"plate {r.plate}: {len(missing)} fields have no image in {of}, {text}: {names}"
                )
    return warnings
