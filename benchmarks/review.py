"""Does the queue ``disagree`` find wrong labels? ``python -m benchmarks.review PROJECT``.

PROJECT is a processed co-culture (rename to gate); some minutes. In every repeat, 10% of the labels
that the forest is trained on are flipped at random. Then the forest is cross-validated on them, the
queue is served, the flipped cells among its first 15% are corrected, and the forest is
cross-validated again. Every macro-F1 is judged by the labels before flipping.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from nucprof import open_project
from nucprof.learn.cells import add_true_class, choose_cells, training_of
from nucprof.learn.evaluate import predictions_frame
from nucprof.learn.forest.fit import fit_forest, predict_proba
from nucprof.learn.review_queue import opinion, queue
from nucprof.learn.selection import choose_features
from nucprof.learn.split import attach, cv_folds
from nucprof.plate.columns import CELL, KEY, TARGET, TRUE
from nucprof.project.reader import ProjectResults

FLIPPED, SERVED = 0.10, 0.15


@dataclass(frozen=True)
class Bench:
    """The labelled cells of a project, and how its forest is trained."""

    opened: ProjectResults
    cells: pd.DataFrame
    features: list[str]

    @classmethod
    def of(cls, opened: ProjectResults) -> Bench:
        """The cells that the project's classifiers are trained on."""
        table = add_true_class(opened.features(), opened.files.classes)
        cells, _, _ = choose_cells(table, training_of(opened.project))
        return cls(opened, cells, choose_features(list(cells.columns)))

    def predictions(self, labels: np.ndarray) -> pd.DataFrame:
        """Every cell as predicted by a forest that has not seen its well."""
        project = self.opened.project
        training = training_of(project)
        cells = self.cells.assign(**{TARGET: labels})
        classes = sorted(set(labels))
        fold = attach(cells, cv_folds(cells, seed=0), "fold").to_numpy()
        frames = []
        for held_out in np.unique(fold):
            train, test = cells[fold != held_out], cells[fold == held_out]
            fitted = fit_forest(train, self.features, project.train.rf, training, seed=0)
            likely = predict_proba(fitted.forest, fitted.scaler.transform(test), 1)
            frames.append(predictions_frame(test, likely, classes, seed=0, fold=int(held_out)))
        return pd.concat(frames, ignore_index=True)

    def f1(self, predictions: pd.DataFrame) -> float:
        """Macro-F1 by the labels before flipping."""
        true = self.cells.set_index(KEY)[TRUE]
        keys = pd.MultiIndex.from_frame(predictions[["plate", "ROI_img_name"]])
        return float(f1_score(true.reindex(keys), predictions["predicted"], average="macro"))


def flip(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The labels, a share of them replaced by another class."""
    classes = np.unique(labels)
    flipped = labels.copy()
    for row in rng.choice(len(labels), round(FLIPPED * len(labels)), replace=False):
        flipped[row] = rng.choice(classes[classes != labels[row]])
    return flipped


def repeat(bench: Bench, seed: int, clean: float) -> dict[str, float]:
    true = bench.cells[TARGET].to_numpy(dtype=object)
    noisy = flip(true, np.random.default_rng(seed))
    wrong = set(bench.cells[CELL][noisy != true])
    before = bench.predictions(noisy)
    served = queue(
        "disagree",
        bench.cells.assign(label=noisy),
        {"forest": opinion(before)},
        size=bench.opened.crop_kind.patch_size,
        seed=0,
    )
    seen = set(served[CELL].head(round(SERVED * len(true))))
    corrected = np.where(bench.cells[CELL].isin(seen), true, noisy)
    after = bench.predictions(corrected)
    return {
        "flipped": len(wrong),
        "served": len(seen),
        "found": len(wrong & seen) / len(wrong),
        "F1 flipped": bench.f1(before),
        "F1 corrected": bench.f1(after),
        "F1 true labels": clean,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    bench = Bench.of(open_project(given.project))
    clean = bench.f1(bench.predictions(bench.cells[TARGET].to_numpy(dtype=object)))
    rows = [repeat(bench, seed, clean) for seed in range(given.repeats)]
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    print(
        f"found: {table['found'].mean():.1%} on average, {table['found'].min():.1%} at least; "
        f"macro-F1 after correction less that with true labels: "
        f"{(table['F1 corrected'] - clean).min():+.4f} to "
        f"{(table['F1 corrected'] - clean).max():+.4f}"
    )


if __name__ == "__main__":
    main()
