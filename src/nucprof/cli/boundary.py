"""The error boundary: 0 done, 1 some fields failed, 2 the user's input is wrong, 3 a bug."""

from __future__ import annotations

import logging
import sys
import traceback

import typer

from nucprof.errors import NucprofError

BUG = 3
_INTERRUPTED = 130
_KEPT = "Interrupted. Finished work is kept; run the command again to continue."


def run_app(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run the application and return its exit status; no exception escapes."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=words, standalone_mode=False, prog_name="nucprof")
        if status == _INTERRUPTED:  # how newer Typers end an interrupted command
            show_error(_KEPT)
        return status if isinstance(status, int) else 0
    except NucprofError as error:
        show_error(str(error))
        if logging.getLogger("nucprof").isEnabledFor(logging.DEBUG):
            traceback.print_exc()
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        show_error(_KEPT)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # a usage error of the parser
            error.show()
            return int(error.exit_code)
        traceback.print_exc()
        show_error(
            f"This is a bug in nucprof ({type(error).__name__}: {error}). Please report it with "
            "the lines above."
        )
        return BUG


def show_error(message: str) -> None:
    """Print an error in red, without wrapping paths."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    console.print(f"Error: {message}", style="bold red", markup=False)
