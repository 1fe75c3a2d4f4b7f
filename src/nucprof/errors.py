"""The errors nucprof raises on purpose.

A message says what is wrong, where (file, key, field), and what to do next. The command line
shows it as one line; anything that is not a :class:`NucprofError` is a bug and gets a traceback.
"""

from __future__ import annotations


class NucprofError(Exception):
    """Base of all errors that nucprof raises on purpose."""

    exit_status = 1


class UserError(NucprofError):
    """The user's input or command is wrong, or an input stage has not run (exit status 2)."""

    exit_status = 2


class ResultMissing(UserError):
    """A result that was asked for is not there: its stage has not run."""


class ProjectError(UserError):
    """The project file is wrong: an unknown key, a missing folder, an unknown channel."""


class DataError(UserError):
    """The data do not allow what was asked, e.g. too few wells to split."""


class ModelError(UserError):
    """A model is missing, unknown, broken, or does not fit the data it is applied to."""


class MachineError(NucprofError):
    """The machine refuses: no space, memory, processes; the same command may work later."""


class FieldError(NucprofError):
    """One field cannot be processed (unreadable file, wrong axes): that field has failed."""


class FieldExcluded(NucprofError):
    """One field leaves the pipeline for a stated reason; a warning, not a failure.

    ``record`` is what the stage's tables say of the field all the same: an instance of the stage's
    record, or None.
    """

    def __init__(self, reason: str, message: str, record: object = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.record = record
