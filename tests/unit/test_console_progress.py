"""What a long job says of itself reaches the person, and the log, and stops with the reporter."""

import json
import logging

import pytest

from nucprof.cli.console import ConsoleReporter

PROGRESS = logging.getLogger("nucprof.progress")


@pytest.fixture(autouse=True)
def _nobody_else_listens(monkeypatch):
    """A run that another test in this process interrupted may have left its reporter open."""
    monkeypatch.setattr(PROGRESS, "handlers", [])


def test_progress_is_printed_and_logged(tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    reporter = ConsoleReporter(json_log=path)
    PROGRESS.info("epoch 1 of 4; at most 3 min left")
    reporter.close()
    PROGRESS.info("told to nobody")
    out = capsys.readouterr().out
    assert "epoch 1 of 4; at most 3 min left" in out
    assert "told to nobody" not in out
    (event,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert event["event"] == "progress"
    assert event["message"].startswith("epoch 1")


def test_quiet_prints_nothing(capsys):
    reporter = ConsoleReporter(quiet=True)
    PROGRESS.info("epoch 1 of 4")
    reporter.close()
    assert "epoch" not in capsys.readouterr().out
