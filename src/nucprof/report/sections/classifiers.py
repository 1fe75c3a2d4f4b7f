"""Forest and network side by side, what they rest on, and where the network looked."""

from __future__ import annotations

from functools import partial
from typing import Any

from nucprof.figures import classifiers as draw
from nucprof.figures.overview import Bar, classifier_bars
from nucprof.io.files import read_json
from nucprof.learn.report import describe_chance
from nucprof.report.cells import METHODS
from nucprof.report.records import Block, Figure, Note, Section, Table
from nucprof.report.source import Source

_GRADCAM_PX, _ROUNDS_PX = 900, 800


def section(source: Source) -> Section | None:
    """Both classifiers on the same split, with their shuffled controls; the forest also by
    cross-validation.
    """
    found = {
        method: metrics
        for method, (stage, folder) in METHODS.items()
        if (metrics := _metrics(source, stage, folder)) is not None
    }
    if not found:
        return None
    judged: dict[str, dict[str, Any]] = {}
    for method, metrics in found.items():
        on_split = metrics["split"] if metrics.get("split") else metrics
        if metrics["evaluation"] == "cv":
            judged[f"{method}, cross-validation"] = metrics
        if metrics["evaluation"] == "split" or "network" in found:
            judged[f"{method}, split"] = on_split
    blocks: list[Block] = [_bars(source, judged), _table(judged)]
    for name, metrics in judged.items():
        blocks.append(_confusion(source, name, metrics))
    history = source.table("train", "cnn", "default", "history.csv")
    if "network" in found and history is not None:
        blocks.append(source.draw(
            "network-history", "Training of the network",
            "Loss on training and validation wells, and macro-F1 on validation wells, by epoch. "
            "The ring marks the epoch that is kept. A validation loss that rises while the "
            "training loss falls means that the network learns these wells by heart.",
            partial(draw.training_history, history=history.to_dict("list"), title="Network"),
            wide=True,
        ))  # fmt: skip
    for name, (_, folder) in METHODS.items():
        rounds = source.picture(
            source.results.folder("train", folder, "default", "rounds.png"),
            f"Rounds of review: {name}",
            "Macro-F1 on unseen wells after each training with more reviewed cells; bars are 95% "
            "intervals over wells. Each round is judged by the classes of its own time.",
            width_px=_ROUNDS_PX,
        )
        blocks += [rounds] if rounds is not None else []
    blocks.append(Note([f"{name}: {describe_chance(metrics)}" for name, metrics in judged.items()]))
    return Section("classifiers", "Forest and network", blocks)


def _metrics(source: Source, stage: str, folder: str) -> dict[str, Any] | None:
    path = source.results.folder("train", folder, "default", "metrics.json")
    return dict(read_json(path)) if source.has(stage) and path.is_file() else None


def _bars(source: Source, judged: dict[str, dict[str, Any]]) -> Figure:
    bars = [
        Bar(name, m["f1_macro"], tuple(m["f1_macro_ci"]) if m["f1_macro_ci"] else None,
            m["f1_macro_permuted"], m["f1_macro_permuted_95"])
        for name, m in judged.items()
    ]  # fmt: skip
    return source.draw(
        "classifiers", "Classifiers and their shuffled controls",
        "Blue: macro-F1 on wells that the classifier has not seen, the line is its 95% interval "
        "over wells. Grey: the same with shuffled labels, the line reaches what 95% of the "
        "shuffles stay below. A classifier whose bar does not clear its control has learned "
        "nothing about the classes. Compare forest and network on the same split only.",
        partial(classifier_bars, bars=bars), wide=True,
    )  # fmt: skip


def _table(judged: dict[str, dict[str, Any]]) -> Table:
    rows = []
    for name, m in judged.items():
        interval = m["f1_macro_ci"]
        limits = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "one well"
        rows.append((
            name, f"{m['f1_macro']:.3f}", limits, f"{m['accuracy']:.3f}",
            f"{m['f1_macro_permuted']:.3f}", f"{m['p_value']:.2g}",
            f"{m['n_train']:,}", f"{m['n_test']:,}",
        ))  # fmt: skip
    columns = (
        "classifier", "macro-F1", "95% interval", "accuracy", "shuffled", "p", "trained on",
        "tested on",
    )  # fmt: skip
    return Table("", columns, rows, numbers=frozenset(range(1, len(columns))))


def _confusion(source: Source, name: str, metrics: dict[str, Any]) -> Figure:
    return source.draw(
        "confusion-" + name.replace(", ", "-"), f"Confusion matrix: {name}",
        "Rows: true class; columns: predicted class. A cell of the matrix gives the share of its "
        "row and the number of cells. The diagonal is right.",
        partial(
            draw.confusion, matrix=metrics["confusion_matrix"], classes=metrics["classes"],
            title=name,
        ),
    )  # fmt: skip


def importance(source: Source) -> Section | None:
    """The features that the forest uses."""
    table = source.table("train", "rf", "default", "importance.csv")
    if not source.has("train-rf") or table is None or not len(table):
        return None
    figure = source.draw(
        "importance", "The forest's most important features",
        "Left: how much a feature separates the classes within the forest's trees. Right: the "
        "macro-F1 that is lost on unseen wells when the feature is shuffled. Correlated features "
        "share their importance, so a short bar on the right does not mean that a feature is "
        "useless alone. Small bars, negative ones too, are noise of the shuffling.",
        partial(
            draw.importance, features=table["feature"].tolist(),
            impurity=table["impurity"].tolist(), permutation=table["permutation"].tolist(),
            title="Random forest",
        ), wide=True,
    )  # fmt: skip
    return Section("importance", "Importance", [figure])


def gradcam(source: Source) -> Section | None:
    """Where the network looked."""
    if not source.has("gradcam"):
        return None
    folder = source.results.folder("gradcam")
    captions = {
        "mean.png": (
            "Mean attention by predicted class",
            "Above: the mean crop of the class; below: where the network looked on average, "
            "relative to the highest value. Attention outside the nucleus in nucleocentric crops "
            "means that the surroundings decide.",
        ),
        "crops.png": (
            "Attention in single cells",
            "A row per cell of an unseen well: its channels, the composite, the attention map, and "
            "both with the outline of the nucleus. An empty map says 'no evidence'.",
        ),
        "mistakes.png": (
            "Misclassified cells",
            "Cells of unseen wells whose predicted class is not the gate's. Doubt both: the gate "
            "may be wrong as well.",
        ),
    }
    blocks: list[Block] = []
    for name, (title, caption) in captions.items():
        figure = source.picture(
            folder / name, title, caption, width_px=_GRADCAM_PX, wide=True,
            folded=name != "mean.png",
        )  # fmt: skip
        blocks += [figure] if figure is not None else []
    table = source.table("gradcam", "attention.csv")
    if table is not None:
        rows = [
            (r.predicted, f"{r.cells:,}", f"{r.no_evidence:,}", *(
                "" if value != value else f"{value:.0%}" for value in (r.nucleus, r.nucleus_area)
            ))
            for r in table.itertuples()
        ]  # fmt: skip
        columns = ("predicted", "maps", "no evidence", "attention on nucleus", "nucleus in crop")
        blocks.append(Table(
            "Attention", columns, rows, numbers=frozenset({1, 2, 3, 4}),
            caption="Maps without evidence for the predicted class are empty and left out of the "
            "means.",
        ))  # fmt: skip
    return Section("attention", "Where the network looked", blocks) if blocks else None
