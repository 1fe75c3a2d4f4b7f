"""The estimated illumination of a round."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl

from nucprof.core.illumination import Illumination, reduced
from nucprof.figures.canvas import STYLE, Target, new_figure, save


def draw_illumination(target: Target, channels: Mapping[str, Illumination], *, title: str) -> None:
    """Gain (above) and floor (below) of every channel; the gains share one scale around 1."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.6 * len(channels) + 0.6, 5.2)
        axes = figure.subplots(2, len(channels), squeeze=False)
        gains = {name: reduced(one.gain) for name, one in channels.items()}
        most = max(0.05, *(float(abs(gain - 1).max()) for gain in gains.values()))
        for (name, one), (above, below) in zip(channels.items(), axes.T, strict=True):
            for axis, surface, how, what in (
                (
                    above,
                    gains[name],
                    {"vmin": 1 - most, "vmax": 1 + most, "cmap": "RdBu_r"},
                    "gain",
                ),
                (below, reduced(one.floor), {"cmap": "gray"}, "floor, grey levels"),
            ):
                shown = axis.imshow(surface, interpolation="nearest", **how)
                figure.colorbar(shown, ax=axis, shrink=0.8, label=what)
                axis.set_xticks([])
                axis.set_yticks([])
            above.set_title(f"{name}: not corrected" if one.is_even else name)
        figure.suptitle(title)
        save(figure, target)
