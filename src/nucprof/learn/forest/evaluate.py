"""Evaluate a random forest on wells it has not seen, and fit the one to ship."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nucprof.config.models import ForestSettings
from nucprof.errors import DataError
from nucprof.learn.calibrate import calibrated, fit_prior, fit_temperature, logits_of
from nucprof.learn.cells import Training
from nucprof.learn.chance import chance_of_predictions
from nucprof.learn.evaluate import (
    chance_metrics,
    combine_runs,
    confusion_per_well,
    density_strata,
    predictions_frame,
    run_metrics,
)
from nucprof.learn.forest.chance import forest_chance
from nucprof.learn.forest.fit import FittedForest, fit_forest, predict_proba
from nucprof.learn.forest.importance import f1_lost, importance_table
from nucprof.learn.forest.model import ForestModel
from nucprof.learn.out_of_fold import first_of_each_cell, trained_wells
from nucprof.learn.scaling import refuse_erasing_scaling, without_wells
from nucprof.learn.split import Culture, attach, cv_folds, split_wells
from nucprof.plate.columns import PLATE, TARGET, WELL_KEY, in_key_order, require


@dataclass
class ForestResult:
    """What is written by `train rf`; frames and dict as in the design's results on disk."""

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    split: pd.DataFrame
    importances: pd.DataFrame
    model: ForestModel


def evaluate_forest(
    cells: pd.DataFrame,
    features: Sequence[str],
    settings: ForestSettings,
    training: Training,
    *,
    culture: Culture,
    n_jobs: int = 1,
    test_cells: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> ForestResult:
    """Evaluate a forest on unseen wells, then fit the one to ship on all labelled cells.

    Everything that is learned (scaling, redundant features, trees and depth, the forest) is learned
    on the training part alone. Missing values (NaN) are no error, see :func:`fit_forest`.

    Parameters
    ----------
    cells
        Labelled cells: keys, `target` and the features (see :func:`split.select_culture`).
    features
        The columns used (see :func:`selection.choose_features`).
    settings
        How to evaluate, and what to fit: `[train.rf]`.
    training
        How the cells are sampled and split, and by which seeds: what `[train]` says.
    culture
        What `cells` are from.
    n_jobs
        Number of threads; no figure depends on it.
    test_cells
        Cells of the other culture, to train on `cells` and test on these; their wells are others.
    reference
        Cells of the reference wells of the same plates, with their culture in the column
        `reference` and the features; needed where features are scaled by plate.
    report
        Called with a line of text at every step done.

    Raises
    ------
    DataError
        If there are too few wells, no feature varies, or per-well scaling would erase the signal.
    """
    refuse_erasing_scaling(settings.scaling, "mono" if test_cells is not None else culture)
    require(cells, [TARGET, *features])
    cells = in_key_order(cells)
    classes = sorted(cells[TARGET].unique())
    if reference is not None:
        tested = [] if test_cells is None else test_cells[PLATE].unique()
        reference = reference[reference[PLATE].isin({*cells[PLATE].unique(), *tested})]
    jobs = [
        _Job(
            list(features),
            classes,
            settings,
            training,
            seed,
            n_jobs,
            reference,
            report,
            first=number == 0,
        )
        for number, seed in enumerate(training.seeds)
    ]
    if test_cells is not None:
        others = in_key_order(test_cells)
        done = [job.across(cells, others) for job in jobs]
    elif settings.evaluation == "cv":
        done = [job.cross_validate(cells) for job in jobs]
    else:
        done = [job.on_split(cells) for job in jobs]
    every = pd.concat([frame for _, frame, _ in done], ignore_index=True)
    metrics = combine_runs([run for run, _, _ in done], every)
    if test_cells is None:
        metrics["split"] = (
            dict(metrics) if settings.evaluation == "split" else _on_the_networks_split(jobs, cells)
        )
    model, importance = _ship(jobs[0], cells)
    likely = every[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    truth = np.searchsorted(classes, every["true_condition"].to_numpy(dtype=str))
    temperature = fit_temperature(logits_of(likely), truth)
    model.metadata |= {
        "temperature": temperature,
        "prior": fit_prior(calibrated(logits_of(likely), temperature), truth).tolist(),
        "kind": "forest",
        "culture": culture,
        "metrics": metrics,
        "unseen_wells": confusion_per_well(first_of_each_cell(every), classes),
        "trained_wells": trained_wells(cells, lambda numbers: model.values(cells.iloc[numbers])),
    }
    split = pd.concat(
        [wells.assign(seed=seed) for (_, _, wells), seed in zip(done, training.seeds, strict=True)],
        ignore_index=True,
    )
    measured = [measure for job in jobs for measure in job.importances]
    return ForestResult(metrics, every, split, importance_table(importance, measured), model)


Run = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]


@dataclass
class _Job:
    """One seed's evaluation."""

    features: list[str]
    classes: list[str]
    settings: ForestSettings
    training: Training
    seed: int
    n_jobs: int
    reference: pd.DataFrame | None
    report: Callable[[str], None]
    first: bool
    importances: list[pd.Series] = field(default_factory=list)

    def cross_validate(self, cells: pd.DataFrame) -> Run:
        unit = self.training.split_unit
        split = cv_folds(cells, unit=unit, seed=self.seed)
        fold_of = attach(cells, split, "fold")
        folds = sorted(split["fold"].unique())
        parts = [(fold, cells[fold_of != fold], cells[fold_of == fold]) for fold in folds]
        trials = [(train, test, {"fold": int(fold)}) for fold, train, test in parts]
        run, frame, split = self._run("cv", trials, split)
        if self.first:
            self.report("forests on labels exchanged between wells")
            chance = forest_chance(
                cells,
                self.features,
                self.settings,
                self.training,
                self.seed,
                reference=self.reference,
            )
            run |= chance_metrics(chance)
        return run, frame, split

    def on_split(self, cells: pd.DataFrame) -> Run:
        split = split_wells(cells, unit=self.training.split_unit, seed=self.seed)
        part = attach(cells, split, "part")
        # The validation wells are the CNN's, for early stopping; leaving them unused here keeps
        # both trained on the same cells.
        trial = (cells[part == "train"], cells[part == "test"], {"part": "test"})
        return self._run("split", [trial], split)

    def across(self, cells: pd.DataFrame, test_cells: pd.DataFrame) -> Run:
        strangers = sorted(set(test_cells[TARGET]) - set(self.classes))
        if strangers:
            raise DataError(
                f"cells to test on have classes that are not trained: {', '.join(strangers)}; "
                "see train.targets"
            )
        both = set(map(tuple, cells[WELL_KEY].to_numpy())) & set(
            map(tuple, test_cells[WELL_KEY].to_numpy())
        )
        if both:
            raise DataError(f"wells to train on and to test on overlap: {sorted(both)[0]}")
        wells = [
            table[WELL_KEY].drop_duplicates().assign(part=part)
            for table, part in ((cells, "train"), (test_cells, "test"))
        ]
        split = pd.concat(wells, ignore_index=True).set_axis(["plate", "well", "part"], axis=1)
        return self._run("across", [(cells, test_cells, {"part": "test"})], split)

    def fit(self, train: pd.DataFrame, reference: pd.DataFrame | None) -> FittedForest:
        return fit_forest(
            train,
            self.features,
            self.settings,
            self.training,
            self.seed,
            n_jobs=self.n_jobs,
            reference=reference,
        )

    def _run(
        self,
        evaluation: str,
        trials: list[tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]],
        split: pd.DataFrame,
    ) -> Run:
        started = time.perf_counter()
        frames, fits = [], []
        for number, (train, test, where) in enumerate(trials, 1):
            fitted = self.fit(train, without_wells(self.reference, test))
            likely = predict_proba(fitted.forest, fitted.scaler.transform(test), self.n_jobs)
            frames.append(predictions_frame(test, likely, self.classes, seed=self.seed, **where))
            if self.first:
                self.importances.append(f1_lost(fitted, test, self.seed))
            fits.append(fitted)
            self.report(f"seed {self.seed}, {evaluation}: {number} of {len(trials)} fits done")
        frame = pd.concat(frames, ignore_index=True)
        metrics = run_metrics(
            frame,
            self.classes,
            n_train=round(float(np.mean([fit.n_train for fit in fits]))),
            evaluation=evaluation,
            split_unit=self.training.split_unit,
            chance=None if evaluation == "cv" else chance_of_predictions(frame, self.classes),
            device="cpu",
            fit_seconds=time.perf_counter() - started,
            shapes=[{**vars(fit.shape), "searched_on": fit.searched_on} for fit in fits],
        )
        if self.training.density_strata:
            tested = pd.concat([test for _, test, _ in trials], ignore_index=True)
            metrics["density_strata"] = density_strata(
                tested, frame, self.classes, self.training.density_strata
            )
        return metrics, frame, split


def _on_the_networks_split(jobs: list[_Job], cells: pd.DataFrame) -> dict[str, Any]:
    """The same figures on the wells that the network is trained and tested on, or why not."""
    try:
        for job in jobs:
            split_wells(cells, unit=job.training.split_unit, seed=job.seed)
    except DataError as error:
        return {"not_done": str(error)}
    done = [job.on_split(cells) for job in jobs]
    return combine_runs([run for run, _, _ in done], pd.concat([frame for _, frame, _ in done]))


def _ship(job: _Job, cells: pd.DataFrame) -> tuple[ForestModel, pd.Series]:
    """The model fitted on all labelled cells, with the first seed, and its impurity importance."""
    fitted = job.fit(cells, job.reference)
    metadata = {"seed": job.seed, "n_train": fitted.n_train, "shape": vars(fitted.shape)}
    model = ForestModel(
        fitted.forest,
        fitted.scaler.features,
        job.settings.scaling,
        job.classes,
        fitted.scaler.cultures,
        metadata,
    )
    impurity = pd.Series(fitted.forest.feature_importances_, index=fitted.scaler.features)
    return model, impurity
