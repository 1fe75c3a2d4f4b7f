"""The plates given to `init`: folders of rounds, and a layout each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nucprof.errors import UserError
from nucprof.plate.keys import CP_ROUND
from nucprof.project.names import safe_names


@dataclass
class PlateInput:
    """A plate: the folder of every round, Cell Painting first, and its layout."""

    name: str
    folders: dict[str, Path]
    layout: Path | None = field(default=None)

    @property
    def text(self) -> str:
        """One line with the rounds and the layout of the plate."""
        rounds = ", ".join(f"{name} in {folder}" for name, folder in self.folders.items())
        return f"plate {self.name}: {rounds}, layout {self.layout or 'none'}"


WholePlate = tuple[str, str, str, str]
"""Name, Cell Painting folder, ground truth and layout from the command line."""


def whole_plates(names: Sequence[str], places: Sequence[str]) -> list[WholePlate]:
    """Assign the words after every ``--plate NAME``; raises :class:`UserError` for too few."""
    if len(places) != 3 * len(names):
        raise UserError(
            f"{len(names)} times --plate and {len(places)} words: expected --plate NAME CP GT "
            "LAYOUT, with - for a plate without ground truth or layout."
        )
    dealt = (places[3 * i : 3 * i + 3] for i in range(len(names)))
    return [(name, *three) for name, three in zip(names, dealt, strict=True)]  # type: ignore[misc]


def collect_plates(
    painted: Sequence[str],
    rounds: Sequence[str],
    layouts: Sequence[str],
    plates: Sequence[WholePlate] = (),
) -> list[PlateInput]:
    """Combine folders and layouts into plates.

    Parameters
    ----------
    painted : sequence of str
        Cell Painting folders, ``DIR`` or ``PLATE=DIR``.
    rounds : sequence of str
        ``ROUND=DIR`` or ``PLATE/ROUND=DIR``. Without a plate a folder belongs to the plate whose
        images lie in the same parent folder, else to the next one that lacks the round.
    layouts : sequence of str
        ``FILE`` or ``PLATE=FILE``; likewise, and a single one belongs to all plates.
    plates : sequence of WholePlate
        Whole plates: name, Cell Painting folder, ground truth (``DIR`` or ``ROUND=DIR``), layout;
        ``-`` for no ground truth or layout.

    Raises
    ------
    UserError
        A plate or round is named twice or not at all, or no plate is given.
    """
    found = [_whole(*given) for given in plates]
    named = [_split(text) for text in painted]
    folders = [Path(folder) for _, folder in named]
    for (name, _), folder, own in zip(named, folders, _names(folders), strict=True):
        found.append(PlateInput(name or own, {CP_ROUND: folder}))
    if not found:
        raise UserError("Name the folder of the Cell Painting images: --cp DIR (one per plate).")
    for plate in found:
        if sum(plate.name == other.name for other in found) > 1:
            raise UserError(f"Two plates are called {plate.name}; name them: --cp NAME=DIR.")
    for text in rounds:
        _add_round(found, text)
    _add_layouts(found, layouts)
    return found


def _whole(name: str, painted: str, truth: str, layout: str) -> PlateInput:
    folders = {CP_ROUND: Path(painted)}
    if truth != "-":
        round_name, folder = _split(truth)
        folders[round_name or safe_names([Path(folder).resolve().name])[0]] = Path(folder)
    return PlateInput(name, folders, None if layout == "-" else Path(layout))


def _split(text: str) -> tuple[str, str]:
    """Split ``NAME=PATH``; a text that is an existing path has no name."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)


def _names(folders: Sequence[Path]) -> list[str]:
    """A plate's name: the folder above its images, with a number if several are equal."""
    parents = [safe_names([folder.resolve().parent.name or "plate"])[0] for folder in folders]
    return [
        name if parents.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(parents, start=1)
    ]


def _add_round(plates: Sequence[PlateInput], text: str) -> None:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise UserError(f"--gt {text}: expected NAME=DIR, e.g. --gt EdU_BrdU=rep1/GT.")
    plate_name, _, round_name = name.rpartition("/")
    if round_name == CP_ROUND:
        raise UserError(f"--gt {round_name}: this is the name of the Cell Painting round.")
    free = [plate for plate in plates if round_name not in plate.folders]
    plate = _owner(free, plate_name, Path(folder))
    if plate is None and plate_name:
        known = ", ".join(plate.name for plate in plates)
        raise UserError(f"--gt {text}: no plate {plate_name} lacks this round; plates: {known}.")
    if plate is None:
        raise UserError(f"--gt {text}: there are more folders of this round than plates.")
    plate.folders[round_name] = Path(folder)


def _owner(plates: Sequence[PlateInput], name: str, path: Path) -> PlateInput | None:
    """The named plate, the one with the same parent folder as the path, or the first."""
    if name:
        return next((plate for plate in plates if plate.name == name), None)
    parent = path.resolve().parent
    siblings = [p for p in plates if p.folders[CP_ROUND].resolve().parent == parent]
    return (siblings or list(plates) or [None])[0]  # type: ignore[list-item]


def _add_layouts(plates: Sequence[PlateInput], layouts: Sequence[str]) -> None:
    without = [plate for plate in plates if plate.layout is None]
    if len(layouts) == 1 and not _split(layouts[0])[0]:
        for plate in without:
            plate.layout = Path(layouts[0])
        return
    if len(layouts) > len(without) or 0 < len(layouts) < len(without):
        raise UserError(f"{len(layouts)} layouts for {len(plates)} plates; give one, or one each.")
    for text in layouts:
        name, path = _split(text)
        owner = _owner([p for p in plates if p.layout is None], name, Path(path))
        if owner is None:
            raise UserError(f"--layout {text}: there is no plate {name} without a layout.")
        owner.layout = Path(path)
