"""Estimate the illumination of a round from its own fields; images are read one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nucprof.config.models import IlluminationSettings
from nucprof.core.illumination import FEWEST, Illumination, enlarged, estimate, reduced
from nucprof.core.sample import evenly_spaced
from nucprof.errors import FieldError, ProjectError
from nucprof.io.illumination import write_illumination
from nucprof.io.images import read_channels
from nucprof.io.results import Results
from nucprof.plate.sources import Source
from nucprof.raw.channels import FieldSources
from nucprof.raw.round_files import Round

MOST_FIELDS = 128  # more hardly change the estimate, and all are held in memory, reduced

STRONG = 0.6
"""Least estimated light, relative to the most, that is corrected to a few percent."""

_INSTALL_BASICPY = (
    'pip install --no-deps basicpy "hyperactive<5" "gradient-free-optimizers<2" torch-dct'
)


@dataclass(frozen=True)
class RoundIllumination:
    """The illumination of every channel of a round, and the number of fields it is based on."""

    round: Round
    channels: Mapping[str, Illumination]
    fields: int

    def write(self, results: Results) -> None:
        """Write every channel's gain and floor."""
        for name, one in self.channels.items():
            write_illumination(results.illumination(self.round.plate, self.round.name, name), one)

    def corrected(self, sources: FieldSources, results: Results) -> FieldSources:
        """The sources, with the illumination by which they are corrected on reading."""
        paths = {
            name: results.illumination(self.round.plate, self.round.name, name)
            for name in self.channels
        }
        return {
            key: {name: replace(s, illumination=paths[name]) for name, s in held.items()}
            for key, held in sources.items()
        }

    @property
    def lines(self) -> list[str]:
        """The range of the gain of every channel, in words."""
        where = f"illumination of {self.round.plate}/{self.round.name}"
        return [
            f"{where} {name}: even within its uncertainty, not corrected"
            if one.is_even
            else f"{where} {name}: {one.gain.min():.0%} to {one.gain.max():.0%} of its mean"
            for name, one in self.channels.items()
        ]

    @property
    def warnings(self) -> list[str]:
        """The channels whose light falls off too much to be corrected well, a line each."""
        return [
            f"illumination of {self.round.plate}/{self.round.name} {name}: a corner has "
            f"{one.gain.min() / one.gain.max():.0%} of the light of the brightest part, or less. "
            "Light this uneven is not corrected whole: intensities in the outermost corners stay "
            "too low, by up to two fifths. Look at the picture in illumination/, and do not "
            "compare cells from the corners with others"
            for name, one in self.channels.items()
            if one.gain.min() < STRONG * one.gain.max()
        ]


def estimate_round(
    r: Round, sources: FieldSources, settings: IlluminationSettings
) -> RoundIllumination:
    """Estimate the illumination of every channel of a round.

    Raises
    ------
    ProjectError
        The round has too few readable fields, fields of different size, or the package of the
        method is not installed.
    """
    fields, shape = _read_reduced(r, sources)
    if len(fields) < FEWEST:
        raise ProjectError(
            f"{r.text}: illumination.method = {settings.method} needs {FEWEST} fields, but "
            f"{len(fields)} can be read with all channels. Set it to none for this project."
        )
    method = estimate_by_basicpy if settings.method == "basicpy" else estimate
    stacks = ([planes[number] for planes in fields] for number in range(len(r.channels)))
    found = [method(stack, shape, settings.dark) for stack in stacks]
    return RoundIllumination(r, dict(zip(r.channels, found, strict=True)), len(fields))


def _read_reduced(
    r: Round, sources: FieldSources
) -> tuple[list[list[np.ndarray]], tuple[int, int]]:
    """Evenly spaced fields, every channel reduced, and the size of the images."""
    whole = [held for held in sources.values() if len(held) == len(r.channels)]
    shape = (0, 0)
    fields: list[list[np.ndarray]] = []
    for held in evenly_spaced(whole, MOST_FIELDS):
        chosen: Sequence[Source] = [replace(held[name], zoom=1.0) for name in r.channels]
        try:
            image = read_channels(chosen)
        except FieldError:
            continue  # the stages that need the field report it
        if fields and image.shape[1:] != shape:
            raise ProjectError(
                f"{r.text}: fields differ in size ({shape} and {image.shape[1:]}), so their "
                "illumination cannot be estimated together. Set illumination.method to none."
            )
        shape = image.shape[1:]
        fields.append([reduced(plane) for plane in image])
    return fields, shape


def estimate_by_basicpy(
    planes: Sequence[np.ndarray], shape: tuple[int, int], dark: float | None = None
) -> Illumination:
    """BaSiC (Peng et al., Nature Communications 8, 14836, 2017), as BaSiCPy implements it.

    Unlike :func:`estimate` it needs the background, so only a known dark level is subtracted first.
    """
    try:
        from basicpy import BaSiC
    except ImportError as error:
        raise ProjectError(
            f"illumination.method = basicpy: {error}. BaSiCPy asks for an older scipy than nucprof "
            f"does; install it without its dependencies: {_INSTALL_BASICPY}. Or use "
            "illumination.method = median."
        ) from None
    stack = np.stack(planes)
    model = BaSiC(get_darkfield=dark is None)
    model.fit(stack if dark is None else stack - dark)
    gain = enlarged(model.flatfield, shape)
    known = np.full(stack.shape[1:], dark) if dark is not None else model.darkfield
    return Illumination(gain / gain.mean(), enlarged(known, shape))
