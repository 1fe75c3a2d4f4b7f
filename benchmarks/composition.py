"""The composition of wells: how often its interval holds the truth, and a dose response.

    python -m benchmarks.composition coverage [--experiments 150] [--only TEXT]
    python -m benchmarks.composition mixtures RESULTS/train/rf/default/predictions.csv
    python -m benchmarks.composition dose RESULTS/predict/default/composition.csv [--figure PNG]

``coverage`` simulates wells of known composition in many regimes (an hour on one core).

``mixtures`` takes the predictions of unseen wells. Again and again half of the wells tell the
classifier's errors; cells of one well per class from the other half are mixed to a known
composition, whose interval is then asked for.

``dose`` takes the wells of BBBC013, untreated in columns 1-2, rising doses in 3-11, the full dose
in 12.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.composition_regimes import REGIMES, cover

from nucprof.learn.composition import CompositionEstimator

CELLS = 200


def coverage(args: argparse.Namespace) -> None:
    """Print how often the 95% intervals hold the truth, their widths, and errors, by regime."""
    print(
        "| regime | population | imaged cells | widths | bias | error, by EMQ | the output says |"
    )
    print("|---|---:|---:|---:|---:|---:|---|")
    for regime in REGIMES:
        if args.only not in regime.name:
            continue
        found = cover(regime, experiments=args.experiments, wells=args.wells, bootstrap=1000)
        print(
            f"| {regime.name} | {found.population:.3f} | {found.imaged:.3f} | "
            f"{found.width:.3f}, {found.imaged_width:.3f} | {found.bias:+.4f} | "
            f"{found.error:.4f}, {found.emq_error:.4f} | {regime.told} |",
            flush=True,
        )


def mixtures(args: argparse.Namespace) -> None:
    """Print how often the interval, and the naive binomial one, hold the known share."""
    table = pd.read_csv(args.predictions)
    table = table[table["seed"] == table["seed"].min()]
    classes = sorted(table["true_condition"].unique())
    counts = {  # of every well: (true, predicted)
        well: pd.crosstab(rows["true_condition"], rows["predicted"])
        .reindex(index=classes, columns=classes, fill_value=0)
        .to_numpy()
        for well, rows in table.groupby("well")
    }
    rng = np.random.default_rng(0)
    rows = []
    while len(rows) < args.mixtures:
        wells = rng.permutation(list(counts))
        known, new = (
            np.stack([counts[w] for w in part])
            for part in (wells[: len(wells) // 2], wells[len(wells) // 2 :])
        )
        held = [[k for k, well in enumerate(new) if well[c].sum() >= 20] for c in range(2)]
        if (known.sum(axis=0).sum(axis=1) == 0).any() or not all(held):
            continue
        estimator = CompositionEstimator(known, bootstrap=500, seed=len(rows))
        for _ in range(10):
            true = rng.multinomial(CELLS, [share := rng.uniform(), 1 - share])
            cells = [new[rng.choice(held[c])][c] for c in range(2)]
            called = sum(
                rng.multinomial(n, row / row.sum()) for n, row in zip(true, cells, strict=True)
            )
            found, actual = estimator.estimate(called), true[0] / CELLS
            half = 1.96 * np.sqrt(found.naive[0] * found.naive[1] / CELLS)
            rows.append(
                (
                    found.imaged_low[0] <= actual <= found.imaged_high[0],
                    abs(found.naive[0] - actual) <= half,
                    found.imaged_high[0] - found.imaged_low[0],
                    abs(found.adjusted[0] - actual),
                    abs(found.naive[0] - actual),
                )
            )
    held_ours, held_naive, width, error, naive_error = np.mean(rows, axis=0)
    print(f"{len(rows)} mixtures of {CELLS} cells, {len(counts)} wells")
    print(f"95% interval holds the truth: {held_ours:.1%} (naive {held_naive:.1%})")
    print(f"mean width {width:.3f}, mean error {error:.4f} (naive {naive_error:.4f})")


def dose(args: argparse.Namespace) -> None:
    """Print the treated share by column, where it crosses a half, and isotonic R2 over wells."""
    from sklearn.isotonic import IsotonicRegression

    table = pd.read_csv(args.composition)
    table = table[table["class"] == args.treated]
    table = table.assign(column=table["well"].str.extract(r"(\d+)$")[0].astype(int))
    doses = table[table["column"].between(3, 11)]
    means = table.groupby("column")["share"].agg(["mean", "min", "max"])
    print(means.round(3).to_string())
    above = means.loc[3:11, "mean"] >= 0.5
    first = above.idxmax()
    low, high = means["mean"][first - 1], means["mean"][first]
    print(f"half-maximum at column {first - 1 + (0.5 - low) / (high - low):.2f}")
    fit = IsotonicRegression().fit(doses["column"], doses["share"])
    print(f"isotonic R2 over {len(doses)} wells: {fit.score(doses['column'], doses['share']):.3f}")
    if args.figure:
        draw(table, args.figure)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Every well with its interval, side by side within its column, and the columns' means."""
    from nucprof.figures.canvas import new_figure, save

    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    rank = table.groupby("column").cumcount()
    place = table["column"] + 0.15 * (rank - 1.5)
    limits = np.abs(table[["low", "high"]].to_numpy().T - table["share"].to_numpy())
    axes.errorbar(place, table["share"], limits, fmt="o", markersize=3, linewidth=1, label="well")
    means = table.groupby("column")["share"].mean()
    axes.plot(means.index, means, color="0.5", zorder=0, label="mean of the column")
    axes.set_xticks(range(1, 13))
    axes.set_xlabel("column (1-2: untreated, 3-11: rising dose, 12: full dose)")
    axes.set_ylabel("share treated, 95% interval")
    axes.legend()
    save(figure, path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)
    simulated = verbs.add_parser("coverage")
    simulated.add_argument("--experiments", type=int, default=150)
    simulated.add_argument("--wells", type=int, default=2, help="wells asked about in each")
    simulated.add_argument("--only", default="", help="regimes whose name holds this")
    simulated.set_defaults(call=coverage)
    first = verbs.add_parser("mixtures")
    first.add_argument("predictions", type=Path)
    first.add_argument("--mixtures", type=int, default=1000)
    first.set_defaults(call=mixtures)
    second = verbs.add_parser("dose")
    second.add_argument("composition", type=Path)
    second.add_argument("--treated", default="wortmannin")
    second.add_argument("--figure", type=Path)
    second.set_defaults(call=dose)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
