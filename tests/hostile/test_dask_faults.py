"""A Dask cluster that is not there, does not answer, has no workers, or goes away."""

from __future__ import annotations

import contextlib
import os
import socketserver
import threading
import time
from pathlib import Path

import pytest

from hostile import Case, ids
from nucprof.errors import MachineError, UserError
from nucprof.run import dask, pool
from nucprof.run.pool import Pool

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.kind("hang")

ADDRESSES = [
    Case(
        name=f"the address {address!r}",
        kind="hang",
        command=f"segment {{p}}/project.toml --force --scheduler '{address}'",
        says=("execution.scheduler", "is no address", "tcp://HOST:PORT"),
        keeps=("results/masks", "results/features"),
    )
    for address in (
        "localhost", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:abc", "foo://127.0.0.1:1", "http://127.0.0.1:80", "inproc://1/2/3",
        "/tmp/scheduler.json", "a b c", "tcp://127.0.0.1:-1", "processes", "tcp://:8786",
    )
]  # fmt: skip


@pytest.mark.parametrize("case", ADDRESSES, ids=ids(ADDRESSES))
def test_an_odd_address(case, run_case):
    run_case(case)


@pytest.fixture
def server():
    """A server that accepts connections and says something, or nothing."""
    over = threading.Event()
    with contextlib.ExitStack() as opened:

        def serve(answer: bytes) -> str:
            class Says(socketserver.BaseRequestHandler):
                def handle(self):
                    with contextlib.suppress(ConnectionError):  # the client has gone
                        self.request.sendall(answer)
                    over.wait()

            # leaving it joins the threads of all connections, which close them
            listening = opened.enter_context(
                socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says)
            )
            serving = threading.Thread(target=listening.serve_forever, args=(0.05,))
            serving.start()
            opened.callback(serving.join)
            opened.callback(listening.shutdown)
            opened.callback(over.set)
            return f"tcp://127.0.0.1:{listening.server_address[1]}"

        yield serve


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>\r\n"


@pytest.mark.parametrize("answer", [b"", HTTP, b"\0" * 64, b"\xff" * 64])
def test_a_server_that_is_no_scheduler(server, answer):
    address = server(answer)
    with pytest.raises(UserError) as caught, Pool(1, scheduler=address, timeout=1).open():
        pass
    assert f"No Dask scheduler answers at {address} within 1 s (execution.timeout)" in str(
        caught.value
    )
    assert "something accepts connections there, but does not answer as Dask" in str(caught.value)


def test_nobody_listens():
    with (
        pytest.raises(UserError, match=r"127\.0\.0\.1:9 within 1 s .*nothing can be reached there"),
        Pool(1, scheduler="tcp://127.0.0.1:9", timeout=1).open(),
    ):
        pass


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A scheduler; workers are added by hand."""
    helpers = str(Path(__file__).parents[1] / "helpers")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(pool, "LOOK_EVERY_S", 0.2)
    from dask_parts import cluster

    with cluster(tmp_path) as made:
        yield made


def test_a_scheduler_without_workers(cluster):
    with pytest.raises(UserError, match=r"has had no worker for 5 s .*dask worker tcp://"):
        Pool(1, scheduler=cluster.address, timeout=5).map(abs, [-1])


@pytest.mark.parametrize("victim", ["worker", "scheduler"])
def test_what_dies_in_the_middle_is_said(cluster, victim, tmp_path):
    from dask_parts import begin

    worker = cluster.add_worker()
    dask._await_workers(cluster.address, 60)
    process = worker if victim == "worker" else cluster.scheduler
    said = "has lost all its workers" if victim == "worker" else "(went away|no longer answers)"
    begun = tmp_path / "begun"

    def kill():
        while not begun.exists():
            time.sleep(0.05)
        process.kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    workers = Pool(1, scheduler=cluster.address, timeout=4)
    with pytest.raises(MachineError, match=said + ".*Finished fields are kept"):
        workers.map(begin, [str(begun)])
    killer.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda paths: (dask.__version__, dict.fromkeys(paths)), "does not see .*shared file"),
        (lambda paths: (dask.__version__, dict.fromkeys(paths, "x")), "sees another content of"),
        (lambda paths: ("0.0.1", {}), "has nucprof 0.0.1.*same version everywhere"),
        (lambda paths: 1 / 0, r"cannot run nucprof \(ZeroDivisionError"),
    ],
)
def test_a_worker_that_does_not_fit_is_refused(monkeypatch, tmp_path, answer, said):
    seen = tmp_path / "manifest.json"
    seen.write_text("{}")
    monkeypatch.setattr(dask, "what_is_seen", answer)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as made:
        workers = Pool(1, scheduler=made.scheduler_address, timeout=20, shared=(seen,))
        with pytest.raises(UserError, match=said), workers.open():
            pass
