"""State files: JSON that nucprof wrote, read through a model that declares every key."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nucprof.errors import UserError

log = logging.getLogger(__name__)


class StateFile(BaseModel):
    """A file of this kind; its checks are built when it is first read, not at every start."""

    model_config = ConfigDict(defer_build=True)


M = TypeVar("M", bound=StateFile)


def read_state(path: Path, model: type[M], again: str) -> M:
    """Read a file that has to be there; ``again`` says how to make it again.

    Raises
    ------
    UserError
        The file is missing or does not fit; the message names file and key.
    """
    try:
        return _read(path, model)
    except FileNotFoundError:
        raise UserError(f"There is no {path}; {again}.") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({fault_of(error)}); {again}.") from None


def find_state(path: Path, model: type[M]) -> M | None:
    """Read a file that its owner can make again; None if it is missing or does not fit.

    A file that does not fit is named in a warning.
    """
    try:
        return _read(path, model)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        log.warning("%s is damaged (%s); it is made again", path, fault_of(error))
        return None


def _read(path: Path, model: type[M]) -> M:
    return model.model_validate(json.loads(path.read_text(encoding="utf-8")))


def fault_of(error: Exception) -> str:
    """What does not fit, in a few words, with the key if there is one."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    text = str(first["msg"]).removeprefix("Value error, ")
    return f"{key}: {text}" if key else text
