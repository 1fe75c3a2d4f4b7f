"""Inspect a round for `init`: names, channels, axes, pixel size, and the nuclear stain."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nucprof.config.models import RenameSettings
from nucprof.core.nuclear import NuclearLook, nuclear_look
from nucprof.core.sample import evenly_spaced
from nucprof.errors import FieldError, ProjectError
from nucprof.io.images import read_channels, stem_of
from nucprof.plate.guess import Proposal, propose_pattern
from nucprof.plate.patterns import choose_pattern, user_pattern
from nucprof.plate.words import several
from nucprof.project.names import preview, safe_names
from nucprof.raw.channels import round_sources
from nucprof.raw.choice import Stacked, stacked
from nucprof.raw.folder import list_folder
from nucprof.raw.round_files import Round, RoundFiles, name_below
from nucprof.raw.rounds import read_round

NUCLEAR_NAME = re.compile(r"dapi|hoechst|dna|nuc|405|h2b|draq", re.IGNORECASE)
_FIELDS_LOOKED_AT = 4


@dataclass(frozen=True)
class Channels:
    """The channels of a round, the source of their names, and their tokens in file names.

    ``order``: what the order of the names stands for; empty where it has no meaning, because each
    file name says its channel. ``named``: whether any file says what the channels are.
    """

    names: tuple[str, ...]
    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)
    order: str = "in the order in which the files store them"
    named: bool = True


@dataclass(frozen=True)
class RoundLook:
    """Content of a folder, for the project file."""

    files: RoundFiles
    channels: Channels
    stacked: Stacked
    proposal: Proposal | None

    @property
    def line(self) -> str:
        """One line for the user."""
        r, info = self.files.round, self.files.usual
        size = self.files.pixel_size_um
        more = (f"{size:.3g} µm per pixel" if size else "pixel size unknown", self.stacked.text)
        fields = several(len(self.files.fields), "field")
        return (
            f"{r.plate}, {r.name}: {fields} of {info.height} x {info.width} "
            f"{info.dtype}, names like '{self.files.files[0].path.name}', "
            + ", ".join(text for text in more if text)
        )


Ask = Callable[[list[str]], str]
"""Shows lines to the user and returns another pattern, or an empty text to go on."""


def look_at_round(r: Round, settings: RenameSettings, ask: Ask | None = None) -> RoundLook:
    """Inspect the folder of a round.

    If no built-in pattern reads the names, a new one is proposed (:func:`propose_pattern`), which
    the user may change if ``ask`` is given.

    Raises
    ------
    ProjectError
        Nothing in the names looks like a well, or no file can be read.
    """
    proposal = None
    try:
        files = read_round(r, settings)
    except ProjectError:
        paths = list_folder(r.folder, r.text, settings).images
        proposal = _propose(r, paths, settings)
        if proposal is None:
            raise
        if ask is not None:
            proposal = _settle(proposal, r.folder, paths, ask)
        try:
            files = read_round(r, settings.model_copy(update={"pattern": proposal.pattern}))
        except ProjectError as error:
            shown = "\n".join(f"  {line}" for line in explain(proposal, r.folder, paths))
            raise ProjectError(f"{error}\nThe names were read like this:\n{shown}") from None
    return RoundLook(files, look_at_channels(files), stacked(files), proposal)


def _propose(r: Round, paths: Sequence[Path], settings: RenameSettings) -> Proposal | None:
    """A pattern for names that no built-in one reads or tells apart; with folders if needed.

    None if the user gave a pattern, or the names are read and something else is wrong. Raises
    :class:`ProjectError` if nothing in the names looks like a well.
    """
    if settings.pattern != "auto":
        return None
    stems = [stem_of(path) for path in paths]
    below = [name_below(path, r.folder) for path in paths]
    if len(set(stems)) < len(stems) and below != stems:
        return propose_pattern(below)
    if _is_read(stems):
        return None
    try:
        return propose_pattern(stems)
    except ProjectError:
        if below == stems:
            raise
    return propose_pattern(below)


def explain(proposal: Proposal, folder: Path, paths: Sequence[Path]) -> list[str]:
    """The varying parts of the names, the pattern, and the values that it reads."""
    return [
        *proposal.varying(),
        f"pattern = '{proposal.pattern}'",
        *preview(folder, paths, user_pattern(proposal.pattern)),
    ]


def _settle(proposal: Proposal, folder: Path, paths: Sequence[Path], ask: Ask) -> Proposal:
    lines = explain(proposal, folder, paths)
    while own := ask(lines):
        try:
            user_pattern(own)
        except ProjectError as error:
            lines = [str(error)]
        else:
            proposal = Proposal(own, ())
            lines = explain(proposal, folder, paths)
    return proposal


def _is_read(stems: Sequence[str]) -> bool:
    try:
        choose_pattern(stems)
    except ProjectError:
        return False
    return True


def look_at_channels(files: RoundFiles) -> Channels:
    """Name a round's channels: by the planes in its files, by words only where they agree."""
    first = max(files.fields.values(), key=lambda held: len({f.parsed.channel for f in held}))
    tokens = sorted({file.parsed.channel for file in first if file.parsed.channel})
    info = files.usual
    if len(tokens) > 1:
        return _of_tokens(tokens, files)
    if info.names:
        return Channels(safe_names(info.names), "from the files")
    words = tuple(tokens[0].split(",")) if tokens else ()
    if len(words) == info.planes and not words[0].isdigit():
        return Channels(safe_names(words), "from the file names")
    names = tuple(f"C{i + 1}" for i in range(info.planes))
    return Channels(names, "not in the files: name them", named=False)


def _of_tokens(tokens: Sequence[str], files: RoundFiles) -> Channels:
    """Channels that are a file each; those numbered 1, 2, 3 are told apart by their order."""
    source, named = "from the file names", True
    words = list(tokens)
    by_number = files.harmony.channels if files.harmony is not None else {}
    numbers = [str(int(token)) for token in tokens if token.isdigit()]
    if numbers and all(number in by_number for number in numbers):
        source = "from Harmony's index"
        words = [by_number[str(int(t))] if t.isdigit() else t for t in tokens]
    elif numbers:
        source, named = "numbers in the file names: name them", False
        words = [f"C{int(t)}" if t.isdigit() else t for t in tokens]
    names = safe_names(words)
    first = 0 if 0 in files.numbers else 1
    if [int(n) for n in numbers] == list(range(first, first + len(tokens))):
        return Channels(names, source, {}, "in the order of the numbers in the file names", named)
    changed = {t: n for t, n in zip(tokens, names, strict=True) if t != n}
    return Channels(names, source, changed, "", named)


def guess_nuclear(look: RoundLook, settings: RenameSettings) -> tuple[str, str]:
    """Guess the nuclear channel of a round; returns its name and the reason.

    A channel with a nuclear name is taken, unless it is empty; else the channel that looks most
    like nuclei.
    """
    names = look.channels.names
    looks = _look_at_pixels(look, settings)
    by_name = [name for name in names if NUCLEAR_NAME.search(name)]
    filled = [n for n in by_name if not looks or not all(seen.empty for seen in looks[n])]
    if filled:
        return filled[0], "by its name"
    if not looks:
        return (by_name or list(names))[0], "a guess, no field could be read: check it"
    scores = {name: float(np.mean([seen.score for seen in looks[name]])) for name in names}
    best = max(names, key=lambda name: scores[name])
    empty = f"; {by_name[0]} is empty" if by_name else ""
    if not scores[best]:
        return best, f"a guess, no channel shows nuclei: check it{empty}"
    objects = round(float(np.median([seen.objects for seen in looks[best]])))
    return best, f"a guess, about {objects} compact bright objects a field: check it{empty}"


def _look_at_pixels(look: RoundLook, settings: RenameSettings) -> dict[str, list[NuclearLook]]:
    """Look at some fields of every channel; unreadable fields are skipped."""
    chosen = settings.model_copy(
        update={
            "projection": settings.projection or ("max" if look.stacked.z > 1 else None),
            "time": settings.time or (1 if look.stacked.times > 1 else None),
            "channel_map": {**settings.channel_map, **look.channels.tokens},
        }
    )
    round_ = replace(look.files.round, channels=look.channels.names)
    sources, _ = round_sources(replace(look.files, round=round_), chosen)
    whole = [held for held in sources.values() if len(held) == len(look.channels.names)]
    seen: dict[str, list[NuclearLook]] = {name: [] for name in look.channels.names}
    for held in evenly_spaced(whole, _FIELDS_LOOKED_AT):
        try:
            image = read_channels([held[name] for name in look.channels.names])
        except FieldError:
            continue
        for name, plane in zip(look.channels.names, image, strict=True):
            seen[name].append(nuclear_look(plane))
    return seen if all(seen.values()) else {}
