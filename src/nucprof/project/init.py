"""Looking into folders of images and writing the project file that describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nucprof.config.models import RenameSettings
from nucprof.config.setting import SafeName
from nucprof.errors import ProjectError, UserError
from nucprof.io.files import write_text
from nucprof.io.tables import read_layout
from nucprof.plate.keys import CP_ROUND
from nucprof.raw.rounds import Round, RoundFiles, read_round

_NUCLEAR = re.compile(r"dapi|hoechst|dna|nuc|405|h2b", re.IGNORECASE)


@dataclass(frozen=True)
class Channels:
    """The channels of a round, where their names come from, and the tokens that tell them apart."""

    names: tuple[str, ...]
    source: str
    tokens: Mapping[str, str]


def write_project(
    target: Path,
    painted: Sequence[Path],
    rounds: Sequence[tuple[str, Path]],
    layouts: Sequence[Path],
    *,
    name: str,
) -> list[str]:
    """Look into the folders and write a commented project file.

    Parameters
    ----------
    target : Path
        The file to write; must not exist.
    painted : sequence of Path
        Cell Painting folders, one per plate.
    rounds : sequence of (str, Path)
        Ground-truth rounds by name; the n-th of a name belongs to the n-th plate.
    layouts : sequence of Path
        Layouts, in the order of the plates.
    name : str
        Name of the project.

    Returns
    -------
    list of str
        What was found, a line each.

    Raises
    ------
    UserError
        The file exists, a folder is missing, or no file name is understood.
    """
    if target.exists():
        raise UserError(f"{target} exists already; choose another name with --output.")
    for folder in (*painted, *(folder for _, folder in rounds)):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.")
    _check_names(name, rounds)
    for path in layouts:
        read_layout(path)
    if len(layouts) not in (0, 1, len(painted)):
        raise UserError(f"{len(layouts)} layouts for {len(painted)} plates; give one, or one each.")
    by_plate = _rounds_by_plate(rounds, len(painted))
    found: dict[str, Channels] = {}
    lines, plates = [], []
    for number, folder in enumerate(painted):
        plate = _plate_name(folder, number, painted)
        held = {CP_ROUND: folder, **by_plate[number]}
        for round_name, place in held.items():
            files = read_round(Round(plate, round_name, place, ()), RenameSettings())
            lines.append(
                f"{plate}, {round_name}: {len(files.fields)} fields, names like "
                f"'{files.pattern.example}'"
            )
            lines += files.warnings
            found.setdefault(round_name, _distinct(look_at_channels(files), round_name, found))
        layout = layouts[min(number, len(layouts) - 1)] if layouts else None
        plates.append(_plate_toml(plate, held, layout, target.resolve().parent))
    lines += [f"{r}: channels {', '.join(c.names)} ({c.source})" for r, c in found.items()]
    output = _output(target.resolve().parent, [*painted, *(folder for _, folder in rounds)])
    write_text(target, _project_toml(name, output, plates, found))
    return lines


def _check_names(name: str, rounds: Sequence[tuple[str, Path]]) -> None:
    safe = TypeAdapter(SafeName)
    for flag, text in (("--name", name), *(("--gt", name) for name, _ in rounds)):
        try:
            safe.validate_python(text)
        except ValidationError:
            raise UserError(
                f"{flag} {text}: a name is made of letters, digits, and . _ - after the first."
            ) from None
        if flag == "--gt" and text == CP_ROUND:
            raise UserError(f"--gt {text}: this is the name of the Cell Painting round.")


def _output(root: Path, folders: Sequence[Path]) -> str:
    """Folder for the results, relative to the project file: beside the images, not among them."""
    inside = any((root / "results").is_relative_to(folder.resolve()) for folder in folders)
    return f"../{root.name}-results" if inside else "results"


def look_at_channels(files: RoundFiles) -> Channels:
    """Name a round's channels: by the planes in its files, by words only where they agree."""
    first = next(iter(files.fields.values()))
    tokens = [file.parsed.channel for file in first if file.parsed.channel]
    info = files.infos.get(first[0].path) or next(iter(files.infos.values()), None)
    if info is None:
        raise ProjectError(f"{files.round.text}: not one file can be read.")
    if len(first) > 1:
        if not any(token.isdigit() for token in tokens):
            return Channels(tuple(tokens), "from the file names", {})
        named = {token: f"C{int(token)}" if token.isdigit() else token for token in sorted(tokens)}
        return Channels(tuple(named.values()), "numbers in the file names: name them", named)
    if info.names:
        return Channels(_safe(info.names), "from the files", {})
    words = tuple(tokens[0].split(",")) if tokens else ()
    if len(words) == info.planes:
        return Channels(_safe(words), "from the file names", {})
    return Channels(
        tuple(f"C{i + 1}" for i in range(info.planes)), "not in the files: name them", {}
    )


def _distinct(channels: Channels, round_name: str, found: Mapping[str, Channels]) -> Channels:
    """Put the round's name before numbers that another ground-truth round has given already."""
    taken = {name for other, c in found.items() if other != CP_ROUND for name in c.names}
    if channels.tokens or round_name == CP_ROUND or not taken & set(channels.names):
        return channels
    names = tuple(f"{round_name}_{n}" if n in taken else n for n in channels.names)
    return Channels(names, channels.source, {})


def _safe(names: Sequence[str]) -> tuple[str, ...]:
    safe = [re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("_.-") or "C" for name in names]
    return tuple(n if safe.count(n) == 1 else f"{n}_{i + 1}" for i, n in enumerate(safe))


def _rounds_by_plate(rounds: Sequence[tuple[str, Path]], plates: int) -> list[dict[str, Path]]:
    by_plate: list[dict[str, Path]] = [{} for _ in range(plates)]
    for name, folder in rounds:
        free = next((held for held in by_plate if name not in held), None)
        if free is None:
            raise UserError(
                f"--gt {name}={folder}: there are more folders of this round than plates."
            )
        free[name] = folder
    return by_plate


def _plate_name(folder: Path, number: int, painted: Sequence[Path]) -> str:
    parents = [path.resolve().parent.name for path in painted]
    name = _safe([parents[number]])[0]
    return name if parents.count(parents[number]) == 1 else f"{name}-{number + 1}"


def _plate_toml(plate: str, held: Mapping[str, Path], layout: Path | None, root: Path) -> str:
    def text(path: Path) -> str:
        full = path.resolve()
        short = full.relative_to(root) if full.is_relative_to(root) else full
        return json.dumps(short.as_posix(), ensure_ascii=False)

    lines = ["[[plates]]", f'name = "{plate}"', f"cell_painting = {text(held[CP_ROUND])}"]
    lines.append(
        f"layout = {text(layout)}"
        if layout
        else '# layout = "layout.xlsx"   # which culture grows in which well; needed to train'
    )
    rounds = {name: folder for name, folder in held.items() if name != CP_ROUND}
    if rounds:
        lines.append("[plates.ground_truth]")
        lines += [f"{_key(name)} = {text(folder)}" for name, folder in rounds.items()]
    return "\n".join(lines) + "\n"


def _project_toml(
    name: str, output: str, plates: Sequence[str], found: Mapping[str, Channels]
) -> str:
    painted = found[CP_ROUND]
    nuclear = next((n for n in painted.names if _NUCLEAR.search(n)), None)
    lines = [
        "# Made by 'nucprof init'. All else has its default; nucprof.toml.example lists every key.",
        "",
        "[project]",
        f'name = "{name}"',
        f'output = "{output}"',
        "",
        *plates,
        "[channels]   # in the order in which the files hold them",
        f"cell_painting = {_list(painted.names)}   # {painted.source}",
        f'nuclei = "{nuclear or painted.names[0]}"' + ("" if nuclear else "   # a guess: check it"),
    ]
    rounds = {r: c for r, c in found.items() if r != CP_ROUND}
    if rounds:
        lines.append("[channels.ground_truth]")
        lines += [f"{_key(r)} = {_list(c.names)}   # {c.source}" for r, c in rounds.items()]
    tokens = {token: n for channels in found.values() for token, n in channels.tokens.items()}
    if tokens:
        lines += ["", "[rename.channel_map]   # what the channel numbers in the file names mean"]
        lines += [f'"{token}" = "{n}"' for token, n in tokens.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name  # a bare a.b would be two keys


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
