"""The learning curve of review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from nucprof.figures.canvas import NEUTRAL, STYLE, Target, new_figure, save


def draw_rounds(target: Target, rounds: Mapping[str, Sequence[Any]], *, title: str) -> None:
    """Macro-F1 on unseen wells, with its interval, by the number of reviewed cells.

    `rounds` holds the columns of `rounds.csv`, in the order of the trainings.
    """
    cells, f1, low, high = (
        np.asarray(rounds[name], dtype=float)
        for name in ("reviewed", "f1_macro", "f1_low", "f1_high")
    )
    with mpl.rc_context(STYLE):
        figure = new_figure(5.4, 3.6)
        axes = figure.subplots()
        reach = np.nan_to_num(np.stack([f1 - low, high - f1])).clip(0)
        axes.errorbar(cells, f1, reach, fmt="o-", color=NEUTRAL[0], capsize=4)
        for number, place in enumerate(zip(cells, f1, strict=True), start=1):
            axes.annotate(str(number), place, (6, 5), textcoords="offset points", fontsize=8)
        axes.set(xlabel="cells reviewed", ylabel="macro-F1 on unseen wells")
        axes.set_ylim(max(0.0, min(np.nanmin([*f1, *low]) - 0.05, 0.9)), 1.01)
        axes.set_title(f"{title}: {len(f1)} trainings in order\nbars: 95% intervals over wells")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        save(figure, target)
