"""The learning curve of review: how good a classifier is after each round of corrections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

TABLE, FIGURE = "rounds.csv", "rounds.png"


def add_round(
    folder: Path, metrics: dict[str, Any], corrections: Sequence[Path], title: str
) -> Path:
    """Append a training to ``rounds.csv``, and draw the curve once there are two rounds.

    A round is the state of the corrections: training again on the same ones replaces its row. Every
    round is judged by the classes of its own time, corrected where people did so.

    Parameters
    ----------
    folder
        Of the trained classifier.
    metrics
        Its ``metrics.json``.
    corrections
        The files that it was trained with; may be empty.
    title
        Of the figure.

    Returns
    -------
    Path
        The table: ``reviewed`` (cells), ``changed`` (of these, cells whose class a person changed),
        ``n_train``, ``f1_macro``, ``f1_low``, ``f1_high`` (95% interval over wells), ``when`` (UTC)
        and ``answers`` (a hash of all answers).
    """
    import pandas as pd

    from nucprof.figures.rounds import draw_rounds
    from nucprof.io.corrections import read_corrections
    from nucprof.io.digest import digest
    from nucprof.io.files import atomic
    from nucprof.io.tables import read_table, write_table

    answers = read_corrections(corrections)
    low, high = metrics["f1_macro_ci"] or (None, None)
    row = {
        "reviewed": len(answers.drop_duplicates(["plate", "ROI_img_name"])),
        "changed": len(
            answers[answers["true_condition"] != answers["was"]].drop_duplicates(
                ["plate", "ROI_img_name"]
            )
        ),
        "n_train": metrics["n_train"],
        "f1_macro": metrics["f1_macro"],
        "f1_low": low,
        "f1_high": high,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "answers": digest(sorted(answers.astype(str).agg("|".join, axis=1)))[:16],
    }
    path = folder / TABLE
    rounds = pd.DataFrame([row])
    if path.is_file():
        before = read_table(path)
        before = before[before["answers"].astype(str) != row["answers"]]
        rounds = pd.concat([before, rounds], ignore_index=True) if len(before) else rounds
    write_table(path, rounds)
    if len(rounds) > 1:
        with atomic(folder / FIGURE) as picture:
            draw_rounds(picture, rounds.to_dict("list"), title=title)
    return path
