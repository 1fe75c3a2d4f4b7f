"""What was run: stages, times, settings, models, versions, and the fields that were left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nucprof.config.defaults import NO_DEFAULT, default_of
from nucprof.duration import duration
from nucprof.report.records import Block, Note, Section, StageRun, Table
from nucprof.report.source import Source

_HASH = 12


def section(source: Source) -> Section:
    """Always there."""
    runs = list(source.runs.values())
    if not runs:
        return Section("run", "What was run", [Note(["No stage has run yet."])])
    blocks: list[Block] = [_stages(runs), *_settings(runs), *_trouble(runs)]
    warnings = [f"{run.name}: {text}" for run in runs for text in run.warnings]
    if warnings:
        blocks.append(Note(warnings, f"Warnings of the stages ({len(warnings)})", folded=True))
    blocks.append(_versions(runs))
    return Section("run", "What was run", blocks)


def _stages(runs: list[StageRun]) -> Table:
    total = sum(run.seconds for run in runs)
    rows = [
        (r.name, r.status, duration(r.seconds), _counted(r.counts), _minute(r.finished))
        for r in runs
    ]
    return Table(
        "Stages",
        ("stage", "status", "time", "counts", "finished (UTC)"),
        [*rows, ("all", "", duration(total), "", "")],
        numbers=frozenset({2, 4}),
    )


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _counted(counts: Mapping[str, Any]) -> str:
    words = []
    whole = counts.get("jobs") == counts.get("done")
    for name, value in counts.items():
        if (name in ("excluded", "failed") and not value) or (name in ("jobs", "done") and whole):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{n} {key}" for key, n in value.items())
        elif isinstance(value, float):
            value = f"{value:.3g}"
        words.append(f"{name}: {value}")
    return "; ".join(words)


def _settings(runs: list[StageRun]) -> Iterator[Block]:
    """Settings that differ from their default."""
    rows = []
    for run in runs:
        for key, value in run.parameters.items():
            default = default_of(key)
            if default is not NO_DEFAULT and value != default:
                how = "flag" if key in run.overrides else "project file"
                rows.append((key, _written(value), _written(default), how))
    rows = list(dict.fromkeys(rows))
    if rows:
        columns = ("setting", "value", "default", "from")
        yield Table("Settings that differ from the defaults", columns, rows)
    else:
        yield Note(["All settings have their defaults."], "Settings")
    models = {name: of for run in runs for name, of in run.models.items()}
    if models:
        hashes = [(name, digest[:_HASH]) for name, digest in models.items()]
        yield Table("Segmentation models", ("model", "SHA-256 begins with"), hashes)


def _written(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False).strip('"')


def _trouble(runs: list[StageRun]) -> Iterator[Block]:
    for title, kept in (("Failed fields", "failures"), ("Fields left out", "excluded")):
        rows = [
            (run.name, "/".join(filter(None, (f["plate"], f["field"]))), f["message"])
            for run in runs
            for f in getattr(run, kept)
        ]
        if rows:
            yield Table(title, ("stage", "field", "message"), rows, folded=len(rows) > 8)


def _versions(runs: list[StageRun]) -> Table:
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in run.versions.items():
            found.setdefault(name, {})[version] = None
    rows = [(name, ", ".join(held)) for name, held in found.items()]
    return Table("Versions", ("package", "version"), rows, folded=True)
