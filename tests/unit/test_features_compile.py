import logging
import subprocess
import sys

import numba
import pytest

from nucprof.core.features import _compile


def test_importing_the_features_compiles_nothing():
    code = (
        "import nucprof.core.features as f; from nucprof.core.features import hull, outline\n"
        "kernels = (f.intensity._intensity, f.texture._texture, hull._hulls, outline._holes)\n"
        "assert not any(k.signatures for k in kernels)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_run_where_nothing_can_be_cached(monkeypatch, caplog):
    """numba raises when it can write neither beside the source nor to the user's folder."""

    def njit(*, cache=False, nogil):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(nogil=nogil)

    monkeypatch.setattr(_compile, "njit", njit)
    _compile._warn_of_no_cache.cache_clear()
    with caplog.at_level(logging.WARNING):
        kernels = [_compile.compiled(f) for f in (lambda x: x + 1, lambda x: x + 2)]
    assert [kernel(40) for kernel in kernels] == [41, 42]
    assert [record.message for record in caplog.records].count(caplog.messages[0]) == 1
    assert "NUMBA_CACHE_DIR" in caplog.messages[0]


@pytest.fixture(autouse=True)
def _forget_the_warning():
    yield
    _compile._warn_of_no_cache.cache_clear()
