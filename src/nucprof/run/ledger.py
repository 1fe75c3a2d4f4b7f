"""The ledger: one row per segmented cell, kept or dropped, at which stage and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nucprof.core.labels import decode_ids
from nucprof.errors import DataError
from nucprof.io.tables import write_table
from nucprof.plate.columns import identity
from nucprof.plate.keys import FieldKey
from nucprof.stages.base import WHOLE, Entry

Journal = Mapping[tuple[str, str], Entry]


def write(
    path: Path, journals: Sequence[tuple[str, Journal]], stages: Sequence[str]
) -> list[tuple[str, str, int]]:
    """Build the ledger, write it, and return its :func:`waterfall`."""
    table = build(journals)
    write_table(path, table)
    return waterfall(table, stages)


def build(journals: Sequence[tuple[str, Journal]]) -> pd.DataFrame:
    """Build the ledger from the journals of the stages, in order.

    Every segmented object has one row; the first stage that drops it gives its reason. If a
    later stage excludes a field, or fails on it, its remaining cells are dropped.

    Raises
    ------
    DataError
        A stage dropped a cell that was never segmented: its journal is of another run.
    """
    frames = []
    segmented = next((j for _, j in journals if any(e.objects is not None for e in j.values())), {})
    for key, entry in sorted(segmented.items()):
        if entry.objects is None:
            continue
        labels = np.asarray(decode_ids(entry.objects), dtype=np.int64)
        stage = np.full(len(labels), "", dtype=object)
        reason = np.full(len(labels), "", dtype=object)
        for name, journal in journals:
            for found, gone in _drops(key, journal):
                if gone is None:
                    hit = stage == ""
                else:
                    known = np.isin(gone, labels)
                    if not known.all():
                        raise DataError(
                            f"the journal of '{name}' drops cells of {key[0]}/{key[1]} that were "
                            f"never segmented ({gone[~known].tolist()}), so it belongs to other "
                            f"results; run: nucprof {name.replace('-', ' ')} PROJECT --force"
                        )
                    hit = (stage == "") & np.isin(labels, gone)
                stage[hit], reason[hit] = name, found
        frames.append(_rows(key, labels, stage, reason))
    if not frames:
        return _rows(
            ("", "A-01-01"), np.empty(0, np.int64), np.empty(0, object), np.empty(0, object)
        )
    return pd.concat(frames, ignore_index=True)


def _drops(key: tuple[str, str], journal: Journal) -> list[tuple[str, np.ndarray | None]]:
    """Reasons and dropped labels of a field; None stands for all remaining labels."""
    drops: list[tuple[str, np.ndarray | None]] = []
    entry = journal.get(key)
    for found in filter(None, (entry, journal.get(WHOLE))):
        for plate, field, reason, ids in found.dropped:
            if (plate, field) == key:
                drops.append((reason, decode_ids(ids)))
    if entry is not None and entry.status == "excluded":
        drops.append((entry.reason, None))
    if entry is not None and entry.status == "failed":
        drops.append(("field_failed", None))
    return drops


def _rows(
    key: tuple[str, str], labels: np.ndarray, stage: np.ndarray, reason: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **identity(key[0], FieldKey.parse(key[1]), labels),
            "status": pd.Series(np.where(stage == "", "kept", "dropped"), dtype="str"),
            "stage": pd.Series(stage, dtype="str"),
            "reason": pd.Series(reason, dtype="str"),
        }
    )


def waterfall(ledger: pd.DataFrame, stages: Sequence[str]) -> list[tuple[str, str, int]]:
    """Cells in, then cells dropped by stage and reason, then cells kept: ``(stage, reason, n)``.

    Raises
    ------
    RuntimeError
        The number of cells is not the sum of cells kept and dropped.
    """
    steps = [("segment", "segmented", len(ledger))]
    dropped = ledger[ledger["status"] == "dropped"]
    counts = dropped.groupby(["stage", "reason"], sort=True).size()
    for name in stages:
        steps += [(name, reason, -int(n)) for (s, reason), n in counts.items() if s == name]
    kept = int((ledger["status"] == "kept").sum())
    if sum(n for _, _, n in steps) != kept:
        raise RuntimeError("The ledger does not add up: cells in are not cells kept plus dropped.")
    return [*steps, ("", "kept", kept)]
