"""The command line: parse, build the project, call one function."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Entry point of the ``nucprof`` command: the one place where errors become exit statuses."""
    from nucprof.cli import signals

    signals.install()
    gc.disable()  # what is loaded now stays: looking for garbage is a tenth of the start
    try:
        from nucprof.cli.app import build_app
        from nucprof.cli.boundary import run_app

        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as where the caller has closed it
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        app = build_app()
        gc.enable()
        status = run_app(app)
    except KeyboardInterrupt:  # while the program was being loaded
        status = signals.status()
    sys.exit(status)
