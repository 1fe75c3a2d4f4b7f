"""How a project shows itself in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from nucprof.run.manifest import StageRecord

#: Figures that are shown, as soon as they exist, by their name in the results folder.
SHOWN = (
    "gate/scatter.png",
    "train/rf/default/confusion.png",
    "train/cnn/default/confusion.png",
    "embed/umap.png",
)


def project_html(
    name: str, root: Path, stages: Mapping[str, StageRecord], figures: Mapping[str, Path]
) -> str:
    """The stages with their counts, and the main figures; every text is escaped.

    Parameters
    ----------
    name, root
        Of the project, and its results folder.
    stages
        What the manifest records, by stage.
    figures
        Every figure by its name.
    """
    rows = [
        f"<tr><td>{escape(stage)}</td><td>{escape(record.status)}</td>"
        f"<td>{escape(_counts(record.counts))}</td></tr>"
        for stage, record in stages.items()
    ]
    table = f"<table><tr><th>stage</th><th>status</th><th>counts</th></tr>{''.join(rows)}</table>"
    shown = "".join(_figure(known, figures[known]) for known in SHOWN if known in figures)
    others = ", ".join(escape(known) for known in figures)
    listed = f"<details><summary>{len(figures)} figures</summary>{others}</details>"
    return (
        f"<b>{escape(name)}</b> ({escape(str(root))}){table}"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>{listed if figures else ""}'
    )


def _counts(counts: Mapping[str, Any]) -> str:
    """Counts that are not 0, those by name in brackets."""
    parts = []
    for name, value in counts.items():
        if isinstance(value, Mapping):
            inside = ", ".join(f"{n} {key}" for key, n in value.items())
            parts.append(f"{name}: {inside}")
        elif isinstance(value, float):
            parts.append(f"{name}: {value:.3f}")
        elif value:
            parts.append(f"{name}: {value}")
    return "; ".join(parts)


def _figure(name: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure style="margin:0;max-width:320px"><img alt="{escape(name)}" style="width:100%" '
        f'src="data:image/png;base64,{data}"><figcaption>{escape(name)}</figcaption></figure>'
    )
