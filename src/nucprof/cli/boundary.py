"""The error boundary: 0 done, 1 some fields failed, 2 the user's input is wrong, 3 a bug."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback

import typer

from nucprof.cli import signals
from nucprof.errors import NucprofError
from nucprof.plate.names import printable, require_text
from nucprof.refusals import explain

BUG = 3
_TYPER_INTERRUPTED = signals.STOPPED + signal.SIGINT
_KEPT = "Finished work is kept; run the command again to continue."


def run_app(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run the application and return its exit status; no exception escapes."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        for word in words:
            require_text(word, "The argument")
        status = app(args=words, standalone_mode=False, prog_name="nucprof")
        if status == _TYPER_INTERRUPTED:  # how newer Typers end an interrupted command
            return _interrupted()
        if sys.stdout is not None:  # as where the caller has closed it
            sys.stdout.flush()  # a full disk is noticed here, not while Python ends
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:  # the reader of the output, e.g. `head`, has gone: nobody to tell
        _discard_output()
        return 1
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug
        return _failed(error)


def _failed(error: Exception) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "show"):  # a usage error of the parser
        error.show()
        return int(error.exit_code)
    known = error if isinstance(error, NucprofError) else explain(error)
    if known is None:
        traceback.print_exception(error)
        show_error(
            f"This is a bug in nucprof ({type(error).__name__}: {error}). Please report it with "
            "the lines above."
        )
        return BUG
    show_error(str(known))
    if logging.getLogger("nucprof").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    if isinstance(error, OSError):
        _discard_output()  # it may be the output itself that is refused
    return known.exit_status


def _interrupted() -> int:
    number = signals.received()
    what = "Interrupted" if number == signal.SIGINT else f"Stopped by {number.name}"
    show_error(f"{what}. {_KEPT}")
    return signals.status()


def _discard_output() -> None:
    """Give Python's last flush of the standard output a place that takes it."""
    with contextlib.suppress(OSError, ValueError):  # closed, or no file (in a test)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def show_error(message: str) -> None:
    """Print an error in red, without wrapping paths."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    with contextlib.suppress(OSError):  # no one can be told where even this is refused
        console.print(printable(f"Error: {message}"), style="bold red", markup=False)
