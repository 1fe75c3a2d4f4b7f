"""``nucprof models``: what is listed, fetched, added and found, and the exit statuses."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.segmentation import weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models folder named by the environment; none of this machine's models is seen."""
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "models"))
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "cellpose"))
    return tmp_path / "models"


def stardist_folder(path):
    path.mkdir(parents=True)
    for name in ("config.json", "thresholds.json", "weights_best.h5"):
        (path / name).write_text("{}")
    return path


def archive():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in ("config.json", "thresholds.json", "weights_best.h5"):
            file.writestr(name, "{}")
    return data.getvalue()


class Site:
    """A web site of one file on this machine."""

    def __init__(self):
        self.data = archive()
        self.says = None  # Content-Length, where it is not that of the data
        self.asked = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked += 1
                if self.path != "/model.zip":
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(site.says or len(site.data)))
                self.end_headers()
                self.wfile.write(site.data)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/model.zip"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


def know(monkeypatch, url, sha256=None, name="2D_versatile_fluo", backend="stardist"):
    monkeypatch.setitem(
        weights.KNOWN, name, weights.KnownModel(name, backend, "for the test", url, sha256)
    )


def run(*words):
    return run_app(build_app(), ["models", *map(str, words)])


def test_list_says_what_is_here(folder, tmp_path, capsys):
    assert run("add", "ours", stardist_folder(tmp_path / "made")) == 0
    capsys.readouterr()
    assert run("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "bundled" in lines["nucprof-fluo"]
    assert "stardist" in lines["nucprof-fluo"]
    assert "not fetched" in lines["2D_versatile_fluo"]
    assert "cellpose" in lines["cpsam_v2"]
    assert str(folder / "ours") in lines["ours"]
    assert str(folder) in lines["Models"]


def test_fetch_path_and_fetch_again(folder, site, monkeypatch, capsys):
    know(monkeypatch, site.url, hashlib.sha256(site.data).hexdigest())
    assert run("path", "2D_versatile_fluo") == 2
    message = capsys.readouterr().err
    assert "nucprof models fetch 2D_versatile_fluo" in message
    assert run("fetch", "2D_versatile_fluo") == 0
    capsys.readouterr()
    assert run("path", "2D_versatile_fluo") == 0
    assert capsys.readouterr().out.strip() == str(folder / "2D_versatile_fluo")
    assert (folder / "2D_versatile_fluo" / "weights_best.h5").is_file()
    assert run("fetch", "2D_versatile_fluo") == 0
    assert site.asked == 1
    assert run("fetch", "2D_versatile_fluo", "--force") == 0
    assert site.asked == 2


def test_fetch_of_a_file_without_published_hash_says_so(folder, site, monkeypatch, capsys):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:  # as torch.save writes it
        file.writestr("cpsam/data.pkl", b"weights")
    site.data = packed.getvalue()
    know(monkeypatch, site.url, name="cpsam", backend="cellpose")
    assert run("fetch", "cpsam") == 0
    out = capsys.readouterr().out
    assert (folder / "cpsam").read_bytes() == site.data
    assert hashlib.sha256(site.data).hexdigest() in out
    assert "no published one" in out


def test_fetch_refuses_what_is_not_the_published_file(folder, site, monkeypatch, capsys):
    know(monkeypatch, site.url, hashlib.sha256(b"another").hexdigest())
    assert run("fetch", "2D_versatile_fluo") == 2
    assert "SHA-256" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_fetch_refuses_a_file_that_was_cut_off(folder, site, monkeypatch, capsys):
    site.says = len(site.data) + 1000
    know(monkeypatch, site.url)
    assert run("fetch", "2D_versatile_fluo") == 2
    assert f"could not download {site.url}" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_fetch_of_what_is_not_there(folder, site, monkeypatch, capsys):
    know(monkeypatch, site.url + "x")
    assert run("fetch", "2D_versatile_fluo") == 2
    assert "404" in capsys.readouterr().err
    assert run("fetch", "cyto3") == 2
    assert "cpsam_v2" in capsys.readouterr().err


def test_add_takes_a_name_once(folder, tmp_path, capsys):
    source = stardist_folder(tmp_path / "made")
    assert run("add", "ours", source) == 0
    assert run("add", "ours", source) == 2
    assert "--force" in capsys.readouterr().err
    assert run("add", "ours", source, "--force") == 0
    assert run("add", "../ours", source) == 2
    assert run("add", "other", tmp_path / "nothing") == 2


def test_models_dir_comes_before_the_environment(folder, tmp_path, capsys):
    shared = tmp_path / "shared disk"
    assert run("add", "ours", stardist_folder(tmp_path / "made"), "--models-dir", shared) == 0
    assert (shared / "ours" / "config.json").is_file()
    assert not folder.exists()
    assert run("path", "ours") == 2
    assert run("path", "ours", "--models-dir", shared) == 0
    capsys.readouterr()
    assert run("path", "theirs", "--models-dir", shared) == 2
    assert f"--models-dir {shared}" in capsys.readouterr().err
