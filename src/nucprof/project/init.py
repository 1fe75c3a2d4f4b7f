"""Inspect folders of images and write the project file that describes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nucprof.config.models import GateSettings, RenameSettings
from nucprof.errors import UserError
from nucprof.io.files import write_text
from nucprof.io.layouts import read_layout
from nucprof.plate.guess import merged
from nucprof.plate.keys import CP_ROUND
from nucprof.plate.layout import Layout, draw_plate
from nucprof.plate.names import check_name, require_text
from nucprof.plate.patterns import user_pattern
from nucprof.project.look import Ask, Channels, RoundLook, explain, guess_nuclear, look_at_round
from nucprof.project.plates import PlateInput
from nucprof.project.project_text import project_text, same_needs
from nucprof.raw.choice import needed
from nucprof.raw.round_files import Round

MIXED = GateSettings().mixed_culture
_EXPECTED = {
    "projection": "max, mean, best_focus or the number of a focal plane, counted from 1",
    "time": "the number of a time point, counted from 1",
}


@dataclass(frozen=True)
class Started:
    """The result of `init`: lines to show, and the next commands."""

    lines: list[str]
    commands: list[str]


def write_project(
    target: Path,
    plates: Sequence[PlateInput],
    *,
    name: str,
    settings: RenameSettings,
    ask: Ask | None = None,
) -> Started:
    """Inspect the folders and write a commented project file.

    Parameters
    ----------
    target : Path
        The file to write; must not exist.
    plates : sequence of PlateInput
        Folders and layouts.
    name : str
        Name of the project.
    settings : RenameSettings
        Settings given by the user: pattern, projection, time, recursive.
    ask : callable, optional
        Shows how unknown names would be read and returns another pattern, or an empty text.

    Raises
    ------
    UserError
        The file exists, a folder is missing, or nothing in the file names looks like a well.
    """
    if target.exists():
        raise UserError(f"{target} exists already; choose another name with --output.")
    require_text(target.resolve(), "The path of the project file,")
    used: dict[Path, str] = {}
    for plate in plates:
        for round_name, folder in plate.folders.items():
            if not folder.is_dir():
                hint = " It is a file; name the folder that it is in." if folder.is_file() else ""
                raise UserError(f"There is no folder {folder}.{hint}")
            own = f"plate {plate.name}, round {round_name}"
            before = used.setdefault(folder.resolve(), own)
            if before != own:
                raise UserError(f"{folder} is named for {before} and for {own}.")
    _check_names(name, plates)
    names = [plate.name for plate in plates]
    layouts = {p.name: read_layout(p.layout, p.name, names) for p in plates if p.layout}
    looks = {
        plate.name: {
            round_name: look_at_round(Round(plate.name, round_name, folder, ()), settings, ask)
            for round_name, folder in plate.folders.items()
        }
        for plate in plates
    }
    rounds = _rounds(looks)
    nuclei = guess_nuclear(next(iter(looks.values()))[CP_ROUND], settings)
    settings = settings.model_copy(update={"pattern": _patterns(looks, settings)})
    keys = _needed(looks, settings)
    root = target.resolve().parent
    write_text(target, project_text(root, name, plates, rounds, nuclei, settings, keys))
    lines = [line for plate in plates for line in _told(plate, looks[plate.name], layouts)]
    lines += [f"{r}: channels {', '.join(c.names)} ({c.source})" for r, c in rounds.items()]
    lines += _other_channels(looks)
    lines.append(f"nuclear channel: {nuclei[0]} ({nuclei[1]})")
    for named, needs in same_needs(keys):
        lines.append(f"{named}: first choose under [rename]: {', '.join(needs)}")
    return Started(lines, _commands(target, keys))


def _told(
    plate: PlateInput, looks: Mapping[str, RoundLook], layouts: Mapping[str, Layout]
) -> list[str]:
    """Lines about a plate: its folders, rounds, and layout with the imaged wells."""
    lines = [plate.text]
    for look in looks.values():
        lines += [look.line, *look.files.warnings, *_proposed(look)]
    if plate.name in layouts:
        wells = {key.well for key in looks[CP_ROUND].files.fields}
        layout = layouts[plate.name].with_mixed_called(MIXED)
        lines += [*draw_plate(layout, wells), *layout.strangers(wells), *layout.doubts()]
    return lines


def rename_settings(**given: Any) -> RenameSettings:
    """Settings from the command line; raises :class:`UserError` for a wrong one."""
    try:
        return RenameSettings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = {e["loc"][0]: given[str(e["loc"][0])] for e in error.errors()}
        errors = "; ".join(f"--{k} {v}: expected {_EXPECTED[str(k)]}" for k, v in wrong.items())
        raise UserError(f"{errors}.") from None


def _check_names(name: str, plates: Sequence[PlateInput]) -> None:
    rounds = [("--gt", r) for plate in plates for r in plate.folders if r != CP_ROUND]
    for flag, text in (("--name", name), *(("--plate", p.name) for p in plates), *rounds):
        check_name(text, flag)


def _rounds(looks: Mapping[str, Mapping[str, RoundLook]]) -> dict[str, Channels]:
    """Channels of every round, from the first plate that has the round."""
    found: dict[str, Channels] = {}
    for held in looks.values():
        for name, look in held.items():
            found.setdefault(name, _distinct(look.channels, name, found))
    return found


def _other_channels(looks: Mapping[str, Mapping[str, RoundLook]]) -> list[str]:
    """Plates whose channels are not those of the first plate, which the project file lists."""
    first: dict[str, RoundLook] = {}
    lines = []
    for held in looks.values():
        for name, look in held.items():
            listed = first.setdefault(name, look)
            if set(look.channels.names) != set(listed.channels.names):
                lines.append(
                    f"{look.files.round.plate}, {name}: its channels are "
                    f"{', '.join(look.channels.names)}, but those of plate "
                    f"{listed.files.round.plate} are listed, for all plates; see "
                    "[rename.channel_map]"
                )
    return lines


def _distinct(channels: Channels, round_name: str, found: Mapping[str, Channels]) -> Channels:
    """Prefix channels with the round's name if another ground-truth round uses them already.

    Numbers in place of names are not those of Cell Painting either: C2 may be another stain there.
    """
    others = [c for other, c in found.items() if other != CP_ROUND or not channels.named]
    taken = {name for c in others for name in c.names}
    if round_name == CP_ROUND or not taken & set(channels.names):
        return channels
    new = {n: f"{round_name}_{n}" if n in taken else n for n in channels.names}
    tokens = {token: new[n] for token, n in channels.tokens.items()}
    return replace(channels, names=tuple(new.values()), tokens=tokens)


def _proposed(look: RoundLook) -> list[str]:
    """How names were read that match no built-in pattern, for the user to check."""
    if look.proposal is None:
        return []
    paths = sorted({file.path for file in look.files.files})
    return [
        "  these names are new to nucprof; this is how they are read, check it:",
        *(f"  {line}" for line in explain(look.proposal, look.files.round.folder, paths)),
    ]


def _patterns(
    looks: Mapping[str, Mapping[str, RoundLook]], settings: RenameSettings
) -> str | dict[str, str]:
    """The pattern for the project file: one for all rounds, or one for each round that needs it."""
    rounds: dict[str, list[RoundLook]] = {}
    for held in looks.values():
        for name, look in held.items():
            rounds.setdefault(name, []).append(look)
    proposed = {
        name: _common_pattern(found)
        for name, found in rounds.items()
        if any(look.proposal is not None for look in found)
    }
    if proposed and set(proposed) == set(rounds) and len(set(proposed.values())) == 1:
        return next(iter(proposed.values()))
    return proposed or settings.pattern


def _common_pattern(looks: Sequence[RoundLook]) -> str:
    """One pattern for the round of all plates; raises :class:`UserError` if there is none."""
    pattern = merged([look.proposal for look in looks if look.proposal is not None]).pattern
    if len(looks) == 1:
        return pattern
    common = user_pattern(pattern)
    for look in looks:
        own = look.files.files
        texts = {look.files.text_of(file.path) for file in own}
        if any(common.parse(text) != look.files.pattern.parse(text) for text in texts):
            other = next(one for one in looks if one is not look)
            raise UserError(
                f"{look.files.round.text}: its files are named in another way "
                f"('{own[0].path.name}') than those of plate {other.files.round.plate} "
                f"('{other.files.files[0].path.name}'), and no one pattern was found that reads "
                "both. Give one that does with --pattern, or make a project for each plate."
            )
    return pattern


def _needed(
    looks: Mapping[str, Mapping[str, RoundLook]], settings: RenameSettings
) -> dict[str, list[str]]:
    """Keys that must be set before images can be read, by round."""
    found: dict[str, list[str]] = {}
    for held in looks.values():
        for name, look in held.items():
            own = settings.for_round(name)
            keys = needed(look.stacked, own.projection, own.time)  # type: ignore[arg-type]
            if keys:
                found.setdefault(name, keys)
    return found


def _commands(target: Path, keys: Mapping[str, Sequence[str]]) -> list[str]:
    flags = []
    if any(key.startswith("projection") for held in keys.values() for key in held):
        flags.append("--projection max")
    if any(key.startswith("time") for held in keys.values() for key in held):
        flags.append("--time 1")
    path = shlex.quote(str(target))
    first = [f"nucprof rename {path} {' '.join(flags)} --save"] if flags else []
    return [*first, f"nucprof doctor {path}", f"nucprof run-all {path}"]
