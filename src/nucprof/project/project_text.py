"""The text of a new project file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.plate.keys import CP_ROUND
from nucprof.project.look import Channels
from nucprof.project.plates import PlateInput

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def project_text(
    root: Path,
    name: str,
    plates: Sequence[PlateInput],
    rounds: Mapping[str, Channels],
    nuclei: tuple[str, str],
    settings: RenameSettings,
    needed: Mapping[str, Sequence[str]],
) -> str:
    """Write the project file of a new project, with comments on what to check.

    Parameters
    ----------
    root : Path
        Folder of the project file: paths below it are written relative to it.
    name : str
        Name of the project.
    plates : sequence of PlateInput
        The plates.
    rounds : mapping of str to Channels
        Channels of every round.
    nuclei : (str, str)
        The nuclear channel, and why it was chosen.
    settings : RenameSettings
        How file names are read.
    needed : mapping of str to sequence of str
        Keys of ``[rename]`` that the user must set, by round.
    """
    painted = rounds[CP_ROUND]
    truth = {r: c for r, c in rounds.items() if r != CP_ROUND}
    lines = [
        "# Made by 'nucprof init'. All else has its default; nucprof.toml.example lists every key.",
        "",
        "[project]",
        f"name = {quoted(name)}",
        f"output = {quoted(_output(root, plates))}",
        "",
        *(line for plate in plates for line in (*_plate(plate, root), "")),
        "[channels]",
        f"cell_painting = {_list(painted.names)}   # {_source(painted)}",
        f"nuclei = {quoted(nuclei[0])}   # {nuclei[1]}",
    ]
    if truth:
        lines.append("[channels.ground_truth]")
        for r, c in truth.items():
            stain = "" if c.named else f"; call the nuclear stain, if it is here, {nuclei[0]}"
            lines.append(f"{_key(r)} = {_list(c.names)}   # {_source(c)}{stain}")
    lines += _rename(settings, needed)
    for name_of_round, channels in rounds.items():
        if channels.tokens:
            lines += ["", f"[rename.channel_map.{_key(name_of_round)}]   # in the file names"]
            lines += [f"{quoted(token)} = {quoted(n)}" for token, n in channels.tokens.items()]
    return "\n".join(lines) + "\n"


def _output(root: Path, plates: Sequence[PlateInput]) -> str:
    """Folder for the results, relative to the project file: next to the images, not among them."""
    folders = [folder for plate in plates for folder in plate.folders.values()]
    inside = any((root / "results").is_relative_to(folder.resolve()) for folder in folders)
    return f"../{root.name}-results" if inside else "results"


def _plate(plate: PlateInput, root: Path) -> list[str]:
    def text(path: Path) -> str:
        full = path.resolve()
        short = full.relative_to(root) if full.is_relative_to(root) else full
        return quoted(short.as_posix())

    truth = {name: folder for name, folder in plate.folders.items() if name != CP_ROUND}
    return [
        "[[plates]]",
        f"name = {quoted(plate.name)}",
        f"cell_painting = {text(plate.folders[CP_ROUND])}",
        f"layout = {text(plate.layout)}"
        if plate.layout
        else '# layout = "layout.xlsx"   # which culture grows in which well; needed to train',
        *(["[plates.ground_truth]"] if truth else []),
        *(f"{_key(name)} = {text(folder)}" for name, folder in truth.items()),
    ]


def _rename(settings: RenameSettings, needed: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    if settings.recursive:
        lines.append("recursive = true")
    if isinstance(settings.pattern, dict):
        held = ", ".join(f"{_key(r)} = {literal(p)}" for r, p in settings.pattern.items())
        lines.append(f"pattern = {{ {held} }}   # check it; ' keeps every backslash")
    elif settings.pattern != "auto":
        lines.append(f"pattern = {literal(settings.pattern)}   # check it; ' keeps every backslash")
    if settings.projection is not None:
        chosen = settings.projection
        text = str(chosen) if isinstance(chosen, int) else quoted(str(chosen))
        lines.append(f"projection = {text}")
    if settings.time is not None:
        lines.append(f"time = {settings.time}")
    for rounds, keys in same_needs(needed):
        lines.append(f"# {rounds}: choose before the first run")
        lines += [f"# {key.replace(' (', '   # ', 1).removesuffix(')')}" for key in keys]
    return ["", "[rename]", *lines] if lines else []


def _source(channels: Channels) -> str:
    return "; ".join(text for text in (channels.source, channels.order) if text)


def same_needs(needed: Mapping[str, Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """The rounds that need the same keys, and these keys."""
    rounds: dict[tuple[str, ...], list[str]] = {}
    for name, keys in needed.items():
        rounds.setdefault(tuple(keys), []).append(name)
    return [(", ".join(names), keys) for keys, names in rounds.items()]


def quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False)


def literal(text: str) -> str:
    """A TOML string in which backslashes are literal, for regular expressions."""
    return f"'{text}'" if "'" not in text and text.isprintable() else quoted(text)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else quoted(name)


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(quoted(name) for name in names) + "]"
