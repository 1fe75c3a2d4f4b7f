"""The gate against simulations whose truth is known: ``python -m benchmarks.gate`` (a minute).

Cells of two lines in monocultures and co-culture; intensities are a background, noise, and for
cells that carry the marker a log-normal signal. Prints tables, before (one cutoff for all plates,
judged on the cells that it was found from) and after.
"""

from __future__ import annotations

import numpy as np

from nucprof.core.cutoffs import Calls, Controls, CutoffQuality, share_of
from nucprof.core.gate import Gate, decide
from nucprof.core.gating import MarkerCells
from nucprof.core.markers import UNDEFINED, Rule

RULES = {"astro": Rule("EdU"), "neuro": Rule("BrdU")}
NOTHING_GIVEN: dict[str, float] = {}


def make_plate(
    name: str,
    exposure: float,
    rng: np.random.Generator,
    *,
    signal: float = 450.0,
    wells: int = 4,
    cells: int = 150,
    strangers: float = 0.03,
    unlabelled: float = 0.04,
    bleed: float = 0.0,
) -> tuple[MarkerCells, np.ndarray]:
    """One plate and the true class of every cell, ``""`` for those without a marker."""
    parts, truth, cultures, well_names = [], [], [], []
    for culture, share in (("astro", 1 - strangers), ("neuro", strangers), ("co-culture", 0.5)):
        for well in range(wells):
            astro = rng.random(cells) < share
            labelled = rng.random(cells) >= unlabelled
            carried = np.column_stack([astro & labelled, ~astro & labelled])
            light = carried * rng.lognormal(np.log(signal), 0.35, carried.shape)
            light *= rng.lognormal(0, 0.1)  # wells are stained differently
            light = light @ np.array([[1, bleed], [0, 1]])
            parts.append(exposure * (100 + rng.normal(0, 12, light.shape) + light))
            truth.append(np.where(labelled, np.where(astro, "astro", "neuro"), ""))
            cultures += [culture] * cells
            well_names += [f"{name}/{culture}{well}"] * cells
    values = np.concatenate(parts)
    columns = (np.array(c, dtype=object) for c in (cultures, [name] * len(values), well_names))
    held = {"EdU": values[:, 0], "BrdU": values[:, 1]}
    return MarkerCells(held, *columns), np.concatenate(truth)


def join(plates: list[tuple[MarkerCells, np.ndarray]]) -> tuple[MarkerCells, np.ndarray]:
    """Several plates as one project."""
    cells = [part for part, _ in plates]
    joined = MarkerCells(
        {m: np.concatenate([part.values[m] for part in cells]) for m in cells[0].values},
        *(np.concatenate([getattr(p, n) for p in cells]) for n in ("cultures", "plates", "wells")),
    )
    return joined, np.concatenate([truth for _, truth in plates])


def gate(cells: MarkerCells, per: str = "auto", unmixed: bool = False) -> Gate:
    return decide(
        cells, rules=RULES, given=NOTHING_GIVEN, per=per, mixed="co-culture",  # type: ignore[arg-type]
        unmixed=unmixed, background={},
    )  # fmt: skip


def decided_and_right(found: Gate, truth: np.ndarray) -> str:
    """Decided cells by plate, and how many of all labelled cells are right."""
    plates = found.cells.plates
    decided = [f"{(found.called[plates == p] != UNDEFINED).mean():.0%}" for p in np.unique(plates)]
    labelled = truth != ""
    return f"{', '.join(decided)}; {(found.called[labelled] == truth[labelled]).mean():.1%} right"


def exposures(rng: np.random.Generator) -> tuple[str, str]:
    cells, truth = join([make_plate(p, e, rng) for p, e in (("a", 0.3), ("b", 1.0), ("c", 3.0))])
    return tuple(decided_and_right(gate(cells, per), truth) for per in ("project", "auto"))


def youden_without_a_marker(rng: np.random.Generator, cells: int) -> tuple[str, str]:
    seen, unseen = [], []
    for _ in range(400):
        values = rng.normal(100, 10, 2 * cells)
        carries = np.arange(2 * cells) < cells
        controls = Controls(values, carries, np.where(carries, "a", "n").astype(object))
        for calls, out in (
            (Calls(controls, values > controls.cutoff(), None), seen),
            (controls.held_out_calls(), unseen),
        ):
            quality = CutoffQuality.of([calls])
            out.append(quality.sensitivity.value + quality.specificity.value - 1)
    return f"{np.mean(seen):+.2f}", f"{np.mean(unseen):+.2f}"


def coverage(rng: np.random.Generator, wells: int, spread: float) -> tuple[str, str]:
    """Share of 95% intervals that hold the mean rate of wells like these."""
    rates = 1 / (1 + np.exp(-(3 + spread * rng.normal(size=100_000))))
    held = []
    for _ in range(500):
        hits = np.concatenate([rng.random(100) < r for r in rng.choice(rates, wells)])
        by_well = share_of(hits, np.repeat(np.arange(wells), 100))
        by_cell = share_of(hits, np.zeros(len(hits)))
        held.append([share.low <= rates.mean() <= share.high for share in (by_cell, by_well)])
    return tuple(f"{value:.2f}" for value in np.mean(held, axis=0))


def certainty(rng: np.random.Generator, signal: float) -> tuple[str, str, str]:
    """Label noise, true and stated; the contamination of a monoculture, true and stated."""
    cells, truth = make_plate("a", 1.0, rng, signal=signal, cells=600)
    found = gate(cells)
    decided = found.called != UNDEFINED
    wrong = (found.called[decided] != truth[decided]).mean()
    own = cells.cultures == "astro"
    (row,) = (c for c in found.identity.contents if (c.culture, c.is_class) == ("astro", "neuro"))
    share = row.share
    return (
        f"{wrong:.2%} and {(truth[own] == 'neuro').mean():.1%}",
        f"{found.label_noise:.2%} and {share.value:.1%} [{share.low:.1%}-{share.high:.1%}]",
        f"{decided.mean():.0%} decided",
    )


def bleeding(rng: np.random.Generator) -> tuple[str, str]:
    cells, truth = make_plate("a", 1.0, rng, bleed=0.6)
    return tuple(decided_and_right(gate(cells, unmixed=on), truth) for on in (False, True))


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print("| simulation | before | after |\n| --- | --- | --- |")
    rows = [("plates exposed 0.3, 1 and 3 times: decided; right", *exposures(rng))]
    rows += [
        (f"no marker at all, {n} cells a side: Youden's index", *youden_without_a_marker(rng, n))
        for n in (5, 20)
    ]
    rows += [
        (
            f"coverage of the 95% interval of a sensitivity, {n} wells that differ by {s:g} on the "
            "logit scale: by cells, by wells",
            *coverage(rng, n, s),
        )
        for n, s in ((2, 0.5), (4, 0.5), (8, 0.5), (4, 1.0), (8, 1.0))
    ]
    rows += [("60% of EdU seen in BrdU: decided; right (`unmix`)", *bleeding(rng))]
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print("\n| signal over a noise of 12 | true label noise and contamination | stated | |")
    print("| --- | --- | --- | --- |")
    for signal in (450.0, 100.0, 50.0, 35.0):
        print(f"| {signal:g} | " + " | ".join(certainty(rng, signal)) + " |", flush=True)


if __name__ == "__main__":
    main()
