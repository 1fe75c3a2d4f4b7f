"""Checks across models: names that must agree, folders that must exist."""

from __future__ import annotations

import difflib
from pathlib import Path

from nucprof.config.project import Project
from nucprof.config.segmenters import Declaration, own_settings, segmenters
from nucprof.errors import ProjectError, UserError
from nucprof.plate.keys import CP_ROUND, FieldSelector
from nucprof.plate.names import same_but_for_case


def check_names(project: Project, path: Path) -> None:
    """Check that names agree with each other: plates, rounds, channels, fields.

    Raises :class:`ProjectError` naming file and key.
    """
    _check_plates(project, path)
    _check_channels(project, path)
    _check_mentions(project, path)
    try:
        FieldSelector(tuple(project.project.exclude))
    except UserError as error:
        raise ProjectError(f"{path}: project.exclude: {error}") from None
    for segmenter in _segmenters_in_question(project):
        own = own_settings(project.segment, segmenter.settings)
        wrong = segmenter.check(own) if segmenter.check else None
        if wrong:
            raise ProjectError(f"{path}: {wrong}.")


def _segmenters_in_question(project: Project) -> list[Declaration]:
    """The selected backend, or those that may be chosen by default."""
    settings = project.segment
    return [
        segmenter
        for segmenter in segmenters().values()
        if settings.backend == segmenter.name
        or (settings.backend is None and segmenter.model and settings.mode in segmenter.finds)
    ]


def _check_plates(project: Project, path: Path) -> None:
    names = [plate.name for plate in project.plates]
    for name in names:
        if names.count(name) > 1:
            raise ProjectError(f"{path}: plates.name: two plates are called '{name}'.")
    rounds = [CP_ROUND, *project.channels.ground_truth]
    for key, listed in {"plates.name": names, "channels.ground_truth": rounds}.items():
        same = same_but_for_case(listed)
        if same:
            raise ProjectError(
                f"{path}: {key}: '{same[0]}' and '{same[1]}' differ in case only, and would be one "
                "folder on Windows and macOS; choose another name."
            )
    for plate in project.plates:
        for name in plate.ground_truth:
            _member(
                name,
                list(project.channels.ground_truth),
                "round",
                path,
                f"plates.ground_truth (plate {plate.name})",
                "add its channels under [channels.ground_truth]",
            )


def _check_channels(project: Project, path: Path) -> None:
    channels = project.channels
    if CP_ROUND in channels.ground_truth:
        raise ProjectError(
            f"{path}: channels.ground_truth: a round cannot be called '{CP_ROUND}', "
            "the name of the Cell Painting round."
        )
    keys = {f"channels.ground_truth.{name}": c for name, c in channels.ground_truth.items()}
    for key, listed in {"channels.cell_painting": channels.cell_painting, **keys}.items():
        for name in listed:
            if listed.count(name) > 1:
                raise ProjectError(f"{path}: {key}: channel '{name}' is listed twice.")
    rounds: dict[str, str] = {}
    for key, listed in keys.items():
        for name in set(listed) - {channels.nuclei}:  # every round may repeat the nuclear stain
            if name in rounds:
                raise ProjectError(
                    f"{path}: {rounds[name]} and {key} both have a channel '{name}'; "
                    "give each marker a name of its own."
                )
            rounds[name] = key


def _check_mentions(project: Project, path: Path) -> None:
    painted = project.channels.cell_painting
    truth = [name for listed in project.channels.ground_truth.values() for name in listed]
    for key, wanted, known in (
        ("channels.nuclei", [project.channels.nuclei], painted),
        ("segment.channels", project.segment.channels, painted),
        ("align.cp_channels", project.align.cp_channels, painted),
        ("align.gt_channels", project.align.gt_channels, truth),
        ("train.rf.channels", project.train.rf.channels, painted),
        ("train.cnn.channels", project.train.cnn.channels, painted),
        ("gate.classes", [m.removeprefix("!") for m in project.gate.classes.values()], truth),
        ("gate.cutoffs", [name.rpartition("/")[2] for name in project.gate.cutoffs], truth),
    ):
        for name in wanted:
            _member(name, known, "channel", path, key)
    rounds = [CP_ROUND, *project.channels.ground_truth]
    for key in ("pattern", "projection", "pixel_size_um"):
        by_round = getattr(project.rename, key)
        for name in by_round if isinstance(by_round, dict) else ():
            _member(name, rounds, "round", path, f"rename.{key}")
    for name, tokens in project.rename.channel_map.items():
        if isinstance(tokens, dict):
            _member(name, rounds, "round", path, "rename.channel_map")
    plates = [plate.name for plate in project.plates]
    for name in project.gate.cutoffs:
        plate, slash, _ = name.rpartition("/")
        if slash:
            _member(plate, plates, "plate", path, "gate.cutoffs")


def _member(name: str, known: list[str], what: str, path: Path, key: str, fix: str = "") -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}."
    raise ProjectError(f"{path}: {key}: unknown {what} '{name}'; {hint}{' ' + fix if fix else ''}")


def check_folders(project: Project, path: Path) -> None:
    """Check that the project's inputs exist, and that its output is outside of them.

    Raises :class:`ProjectError` naming file and key.
    """
    output = project.project.output
    place = next(place for place in (output, *output.parents) if place.exists())
    if not place.is_dir():
        raise ProjectError(f"{path}: project.output: {place} is a file; name a folder.")
    for segmenter in _segmenters_in_question(project):
        own = own_settings(project.segment, segmenter.settings)
        for folder in segmenter.folders(own) if segmenter.folders else ():
            if not folder.is_dir():
                raise ProjectError(f"{path}: segment.path: there is no folder {folder}.")
    # Results can be read without images; code that needs pixels checks for them.
    listed = (output / "images.csv").is_file()
    for plate in project.plates:
        folders = {"cell_painting": plate.cell_painting}
        folders |= {f"ground_truth.{name}": p for name, p in plate.ground_truth.items()}
        for key, folder in folders.items():
            where = f"{path}: plates.{key} (plate {plate.name})"
            if not folder.is_dir() and not listed:
                raise ProjectError(f"{where}: there is no folder {folder}.")
            if output == folder or folder in output.parents or output in folder.parents:
                raise ProjectError(
                    f"{where}: the images in {folder} and project.output {output} overlap; "
                    "choose an output folder outside the images."
                )
        if plate.layout is not None and not plate.layout.is_file():
            there = plate.layout.is_dir()
            what = f"{plate.layout} is a folder" if there else f"there is no file {plate.layout}"
            raise ProjectError(f"{path}: plates.layout (plate {plate.name}): {what}.")
    for file in project.gate.corrections:
        if not file.is_file():
            raise ProjectError(
                f"{path}: gate.corrections: there is no file {file}; save it from the page that "
                "nucprof review writes, or delete the key."
            )
    _check_used_once(project, path)


def _check_used_once(project: Project, path: Path) -> None:
    seen: dict[Path, str] = {}
    for plate in project.plates:
        for folder in (plate.cell_painting, *plate.ground_truth.values()):
            if folder in seen:
                raise ProjectError(
                    f"{path}: plates: {folder} is used twice (plate {seen[folder]} and "
                    f"plate {plate.name})."
                )
            seen[folder] = plate.name
