"""Errors become exit statuses in one place: 0 done, 1 fields failed, 2 the user's, 3 a bug."""

from __future__ import annotations

import logging

import pytest
import typer

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app, show_error
from nucprof.errors import (
    DataError,
    FieldError,
    FieldExcluded,
    ModelError,
    NucprofError,
    ProjectError,
    UserError,
)


def app_that(action):
    app = typer.Typer()

    @app.command()
    def command() -> int | None:
        return action()

    return app


def failing(error):
    def action():
        raise error

    return app_that(action)


@pytest.fixture(autouse=True)
def _quiet():
    logger = logging.getLogger("nucprof")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_what_a_command_returns(returned, status, capsys):
    assert run_app(app_that(lambda: returned), []) == status
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [UserError, ProjectError, DataError, ModelError])
def test_a_users_error_is_one_message_without_traceback(kind, capsys):
    message = "project.toml: 'segment.pmn': unknown key [segment]; did you mean 'pmin'?"
    assert run_app(failing(kind(message)), []) == 2
    out, err = capsys.readouterr()
    assert err == f"Error: {message}\n"
    assert out == ""


def test_a_long_message_is_not_wrapped(capsys):
    message = "/a/path" * 60 + " is no folder"
    run_app(failing(UserError(message)), [])
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_brackets_in_a_message_are_no_markup(capsys):
    run_app(failing(UserError("add it under [rename.channel_map] [bold]")), [])
    assert "[rename.channel_map] [bold]" in capsys.readouterr().err


@pytest.mark.parametrize("error", [NucprofError("x"), FieldError("x"), FieldExcluded("why", "x")])
def test_other_errors_of_ours(error, capsys):
    assert run_app(failing(error), []) == 1
    assert capsys.readouterr().err == "Error: x\n"


def test_verbose_adds_the_traceback(capsys):
    logging.getLogger("nucprof").setLevel(logging.DEBUG)
    assert run_app(failing(UserError("x")), []) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: x\n")
    assert "Traceback (most recent call last)" in err


def test_a_bug_has_a_traceback_and_asks_for_a_report(capsys):
    assert run_app(failing(ZeroDivisionError("one by zero")), []) == 3
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "This is a bug in nucprof (ZeroDivisionError: one by zero)" in err


def test_an_interrupt_says_that_work_is_kept(capsys):
    assert run_app(failing(KeyboardInterrupt()), []) == 130
    err = capsys.readouterr().err
    assert "Finished work is kept; run the command again" in err
    assert "Traceback" not in err


class TestCommands:
    """The application's own messages, by way of its real commands."""

    def call(self, capsys, *words):
        status = run_app(build_app(), [str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    def test_version(self, capsys):
        import nucprof

        assert self.call(capsys, "--version") == (0, f"nucprof {nucprof.__version__}\n", "")

    def test_an_unknown_command(self, capsys):
        status, _, err = self.call(capsys, "segmnt")
        assert status == 2
        assert "segmnt" in err
        assert "Traceback" not in err

    def test_an_unknown_flag(self, capsys):
        status, _, err = self.call(capsys, "segment", "--pmn", "1")
        assert status == 2
        assert "--pmn" in err

    def test_no_project_file(self, capsys, tmp_path):
        status, out, err = self.call(capsys, "segment", tmp_path / "project.toml")
        assert status == 2
        assert out == ""
        assert err == (
            f"Error: There is no project file {tmp_path / 'project.toml'}. "
            "Make one with: nucprof init --cp FOLDER\n"
        )

    def test_no_argument_shows_the_help(self, capsys):
        status, out, err = self.call(capsys)
        assert status in (0, 2)
        assert "run-all" in out + err


def test_a_name_between_colons_is_no_picture(capsys):
    show_error("D:car:1.tif is damaged")
    assert "D:car:1.tif is damaged" in capsys.readouterr().err
