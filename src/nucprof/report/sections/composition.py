"""The composition of every well, as predicted, or by the gate where nothing was predicted."""

from __future__ import annotations

from functools import partial

from nucprof.figures import classifiers, overview
from nucprof.report.records import Block, Section, Table
from nucprof.report.source import Source, place

Shares = dict[str, dict[tuple[str, int], dict[str, float]]]
_MAP = "Each square is a well, divided by the shares of the classes from the bottom up. "


def section(source: Source) -> Section | None:
    """Predicted where a model was applied, else gated."""
    return _predicted(source) or _gated(source)


def _predicted(source: Source) -> Section | None:
    table = source.table("predict", "default", "composition.csv")
    if not source.has("predict") or table is None or not len(table):
        return None
    names = list(dict.fromkeys(table["class"]))
    colours = source.colours(names)
    shares: Shares = {}
    for row in table.itertuples():
        shares.setdefault(row.plate, {}).setdefault(place(row.well), {})[row[3]] = row.share
    blocks: list[Block] = [
        source.draw(
            "composition-map", "Composition of every well",
            _MAP + "Shares are corrected for the classifier's errors.",
            lambda target: overview.composition_map(target, shares, colours),
        ),
        source.draw(
            "composition", "Composition with its intervals",
            "Points: share of a class in each well, corrected for the classifier's errors; lines: "
            "95% intervals. Wells whose intervals lie apart differ; wells whose intervals "
            "overlap may differ or not. Of two classes, "
            "one is drawn; the other is the rest.",
            partial(
                classifiers.composition, table=table.to_dict("list"), classes=names,
                colours=colours,
            ), wide=True,
        ),
    ]  # fmt: skip
    rows = [
        (f"{r.plate}/{r.well}", r.culture if isinstance(r.culture, str) else "", r[3],
         f"{r.n_cells:,}", f"{r.share:.1%}", f"{r.low:.1%} to {r.high:.1%}")
        for r in table.itertuples()
    ]  # fmt: skip
    columns = ("well", "culture", "class", "cells", "share", "95% interval")
    blocks.append(Table(
        "Composition", columns, rows, numbers=frozenset({3, 4, 5}), folded=True,
        caption="More columns: predict/default/composition.csv.",
    ))  # fmt: skip
    return Section("composition", "Composition", blocks)


def _gated(source: Source) -> Section | None:
    table = source.table("gate", "counts.csv")
    if not source.has("gate") or table is None or not len(table):
        return None
    names = [*sorted(set(table["true_condition"]) - {"undefined"}), "undefined"]
    colours = source.colours(names)
    shares: Shares = {}
    for row in table.itertuples():
        wells = shares.setdefault(row.Metadata_Plate, {})
        wells.setdefault(place(row.Metadata_Well), {})[row.true_condition] = float(row.cells)
    ordered: Shares = {
        plate: {
            well: {name: own[name] for name in names if name in own} for well, own in wells.items()
        }
        for plate, wells in shares.items()
    }
    figure = source.draw(
        "composition-map", "Composition of every well",
        _MAP + "By the gate; no model was applied to this plate (nucprof predict).",
        lambda target: overview.composition_map(target, ordered, colours),
    )  # fmt: skip
    return Section("composition", "Composition", [figure])
