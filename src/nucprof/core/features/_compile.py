"""The one way kernels are compiled: on first call, kept on disk, single-threaded, exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a kernel with numba when it is first called.

    No ``fastmath``: results must equal the references, and not depend on the processor. The
    compiled code is cached beside the source, or, where that is read-only, in the user's cache
    folder. The cache sees changes of the kernel's own file only, so a kernel calls compiled
    functions of its own file and no others.
    """
    return cast(F, njit(cache=True, nogil=True)(function))
