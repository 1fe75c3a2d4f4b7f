"""Results do not depend on the number of workers: byte for byte, along the whole chain."""

from __future__ import annotations

import json

import pytest
from reruns import differing, run_again, threads_of_blas

from nucprof.run.pool import Pool

pytestmark = pytest.mark.kind("silent")


@pytest.mark.parametrize("pool", [Pool(1), Pool(1, isolated=True), Pool(2)])
def test_matrices_are_multiplied_by_one_thread_everywhere(pool, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    for found in pool.map(threads_of_blas, [1, 2]):
        assert set(found) == {1}


def test_two_workers_align_as_one_does(processed, tmp_path):
    results = run_again(processed, tmp_path / "two", "--until", "align")
    tables = differing(processed.parent / "results", results)
    assert tables <= {"cells.parquet"}  # which names the losses of later stages too
    assert (results / "registration.csv").is_file()


@pytest.mark.slow
def test_two_workers_do_the_whole_chain_as_one_does(processed, tmp_path):
    results = run_again(processed, tmp_path / "two")
    before = processed.parent / "results"
    assert differing(before, results) == set()
    names = {p.relative_to(before).as_posix() for p in before.rglob("*.parquet")}
    assert names == {p.relative_to(results).as_posix() for p in results.rglob("*.parquet")}
    for kind in ("rf", "cnn"):
        one, two = (
            json.loads((place / "train" / kind / "default" / "metrics.json").read_text())
            for place in (before, results)
        )
        assert one["confusion_matrix"] == two["confusion_matrix"]
