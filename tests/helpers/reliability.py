"""Run the hostile cases and write how many are right into ``docs/reliability.md``.

``python tests/helpers/reliability.py`` takes about three minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from hostile import KINDS

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- counted -->", "<!-- end -->"
_MARK = "counted kinds: "


class Tally:
    """Count cases by kind: those tried, and those right."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.right: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a finished test; a skipped one was not tried."""
        kind = dict(report.user_properties).get("kind", "")
        if kind in KINDS and report.when == "call" and not report.skipped:
            self.tried[kind] += 1
            self.right[kind] += report.passed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Print the number of collected tests by kind."""
        kinds = Counter(dict(item.user_properties).get("kind", "") for item in session.items)
        print(_MARK + json.dumps({kind: n for kind, n in kinds.items() if kind in KINDS}))


def collected() -> dict[str, int]:
    """Number of cases by kind, as pytest collects them (in a process of its own)."""
    words = [sys.executable, __file__, "--collect-only"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    line = next(x for x in done.stdout.splitlines() if x.startswith(_MARK))
    return dict(json.loads(line.removeprefix(_MARK)))


def table_of(tried: Mapping[str, int], right: Mapping[str, int]) -> str:
    """The table of the document."""
    rows = ["| kind | what would be wrong | cases | right |", "|---|---|---|---|"]
    for kind, text in KINDS.items():
        rows.append(f"| {kind} | {text} | {tried.get(kind, 0)} | {right.get(kind, 0)} |")
    rows.append(f"| all | | {sum(tried.values())} | {sum(right.values())} |")
    return "\n".join(rows)


def main(words: list[str]) -> int:
    """Run, or only collect; returns pytest's status."""
    os.chdir(REPOSITORY)
    tally = Tally()
    only = "--collect-only" in words
    workers = ["-n", "0", "-q"] if only else ["-n", "2", "-q"]
    status = pytest.main(["tests/hostile", *workers, *words], plugins=[tally])
    if not only:
        text = DOCUMENT.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        table = table_of(tally.tried, tally.right)
        DOCUMENT.write_text(
            f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8"
        )
        print(table)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
