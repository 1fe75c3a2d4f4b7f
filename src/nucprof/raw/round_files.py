"""The images of a round: files by field, their headers, and what they do not have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nucprof.io.formats.harmony import HarmonyIndex
from nucprof.io.images import ImageInfo, stem_of
from nucprof.plate.keys import FieldKey
from nucprof.plate.patterns import NamePattern, ParsedName
from nucprof.plate.words import several, some


@dataclass(frozen=True)
class Round:
    """The images of one round of one plate."""

    plate: str
    name: str
    folder: Path
    channels: tuple[str, ...]

    @property
    def text(self) -> str:
        """The name of the round in messages."""
        return f"plate {self.plate}, round {self.name} ({self.folder})"


@dataclass(frozen=True)
class RoundFile:
    """An image of a field: its file, its position there, and the content of its name."""

    path: Path
    parsed: ParsedName
    position: int = 0


Fields = Mapping[FieldKey, list[RoundFile]]

SMALLEST_UM, LARGEST_UM = 0.01, 20.0  # side of a pixel that shows nuclei


@dataclass(frozen=True)
class RoundFiles:
    """The files found for a round.

    Attributes
    ----------
    round : Round
        The round.
    pattern : NamePattern
        The pattern that reads the names.
    fields : mapping of FieldKey to list of RoundFile
        The images of every field.
    infos : dict of Path to ImageInfo
        Header of every file.
    warnings : list of str
        What was left out, and why.
    excluded : tuple of FieldKey
        Fields that the project leaves out.
    harmony : HarmonyIndex or None
        Names and pixel size from Harmony's index next to the images.
    given_um : float or None
        Side of a pixel in µm by the user's settings.
    """

    round: Round
    pattern: NamePattern
    fields: Fields
    infos: dict[Path, ImageInfo]
    warnings: list[str]
    excluded: tuple[FieldKey, ...] = ()
    harmony: HarmonyIndex | None = field(default=None)
    given_um: float | None = None

    @property
    def files(self) -> list[RoundFile]:
        """The images of all fields."""
        return [file for files in self.fields.values() for file in files]

    def text_of(self, path: Path) -> str:
        """The text of a file's name that the pattern reads."""
        return name_below(path, self.round.folder) if self.pattern.with_folders else stem_of(path)

    @property
    def usual(self) -> ImageInfo:
        """The header that most fields' first files share in planes, size and type."""
        infos = [self.infos[files[0].path] for files in self.fields.values()]
        kinds = Counter((i.planes, i.height, i.width, i.dtype) for i in infos)
        kind = kinds.most_common(1)[0][0]
        return next(i for i in infos if (i.planes, i.height, i.width, i.dtype) == kind)

    @cached_property
    def numbers(self) -> list[int]:
        """Numbers of channels in the file names, ascending."""
        tokens = (file.parsed.channel or "" for file in self.files)
        return sorted({int(token) for token in tokens if token.isdecimal()})

    @property
    def pixel_size_um(self) -> float | None:
        """Side of a pixel, µm: as set, else by most files; None if that cannot be true."""
        if self.given_um:
            return self.given_um
        size = max(self._sizes, key=lambda size: self._sizes[size], default=None)
        return size if size is not None and SMALLEST_UM <= size <= LARGEST_UM else None

    @property
    def _sizes(self) -> Counter[float | None]:
        """Number of files by the side of a pixel, µm."""
        if self.harmony is not None and self.harmony.pixel_size_um:
            return Counter([self.harmony.pixel_size_um])
        return Counter(info.pixel_size_um for info in self.infos.values())

    def differences(self) -> list[str]:
        """What the images of the round do not have in common, and pixel sizes that are not used."""
        infos = self.infos.values()
        sizes = sorted({(info.height, info.width) for info in infos})
        pixels: Counter[str] = Counter()
        for size, count in self._sizes.items():
            pixels["unknown" if size is None else f"{size:.3g} µm"] += count
        lines = []
        if len(sizes) > 1:
            lines.append(f"images of different sizes: {', '.join(f'{h} x {w}' for h, w in sizes)}")
        lines += self._depths()
        if self.given_um is None and len(pixels) > 1:
            counted = ", ".join(f"{size} ({several(n, 'file')})" for size, n in pixels.items())
            used = f"{self.pixel_size_um:.3g} µm" if self.pixel_size_um else "none"
            lines.append(
                f"images of different pixel sizes: {counted}; {used} is used for all of them. "
                "Separate them, or set rename.pixel_size_um"
            )
        elif self.given_um is None and self.pixel_size_um is None and None not in self._sizes:
            lines.append(
                f"the files give pixels of {next(iter(pixels))}, which no microscope has; their "
                "size is treated as unknown. If you know it, set rename.pixel_size_um"
            )
        return [f"{self.round.text}: {line}" for line in lines]

    def _depths(self) -> list[str]:
        """Name the fields whose pixels are of another type than most."""
        import numpy as np

        fields: dict[str, list[str]] = {}
        for key, files in sorted(self.fields.items()):
            kinds = {np.dtype(self.infos[file.path].dtype).newbyteorder("=").name for file in files}
            for kind in sorted(kinds):
                fields.setdefault(kind, []).append(str(key))
        if len(fields) < 2:
            return []
        usual = max(fields, key=lambda kind: len(fields[kind]))
        named = [
            kind if kind == usual else f"{kind} ({some(fields[kind])})" for kind in sorted(fields)
        ]
        return [
            f"images of different depths: {', '.join(named)}; their intensities cannot be compared "
            "if they were exported in different ways"
        ]


def name_below(path: Path, folder: Path) -> str:
    """The name of a file without its suffix, with the folders between `folder` and it."""
    return path.relative_to(folder).with_name(stem_of(path)).as_posix()
