"""How kernels are compiled: on first call, cached on disk, single-threaded, exact."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a kernel with numba when it is first called.

    No ``fastmath``: results must equal the references, and not depend on the processor. The
    compiled code is cached next to the source, or, if that is read-only, in the user's cache
    folder. The cache notices changes only in the file of the kernel, so a kernel calls
    compiled functions of its own file only.
    """
    try:
        kernel = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # numba raises this if neither folder is writable, as in some containers.
        _warn_of_no_cache()
        kernel = njit(nogil=True)(function)
    return cast(F, kernel)


@cache
def _warn_of_no_cache() -> None:
    logging.getLogger(__name__).warning(
        "compiled code cannot be cached, so every process compiles it again (about 10 s): "
        "set NUMBA_CACHE_DIR to a writable folder"
    )
