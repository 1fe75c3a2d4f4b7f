"""Names of models, where they are looked for, how they are added, fetched and hashed."""

import hashlib
import http.server
import json
import threading
import zipfile

import pytest

from nucprof.errors import ModelError
from nucprof.segmentation import weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models folder, and no other place that could hold a model."""
    monkeypatch.delenv(weights.ENVIRONMENT, raising=False)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "cellpose"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path / "platform")
    return tmp_path / "models"


def stardist_folder(path, text="weights"):
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "thresholds.json").write_text('{"prob": 0.5, "nms": 0.3}')
    (path / "weights_best.h5").write_text(text)
    return path


def test_bundled_model_is_in_the_package_whole(folder):
    path = weights.resolve_model("nucprof-fluo", folder, backend="stardist")
    assert path.parent.parent.name == "segmentation"
    assert {"config.json", "thresholds.json", "weights_best.h5"} <= {p.name for p in path.iterdir()}
    assert sum(p.stat().st_size for p in path.rglob("*")) < 8 * 1024**2
    assert 10 < weights.canonical_diameter(path) < 60


def test_models_folder_order(folder, tmp_path, monkeypatch):
    assert weights.models_folder() == tmp_path / "platform" / "models"
    monkeypatch.setenv(weights.ENVIRONMENT, str(tmp_path / "env"))
    assert weights.models_folder() == tmp_path / "env"
    assert weights.models_folder(folder) == folder


@pytest.mark.parametrize("name", ["2D_versatile_fluo", "my-own"])
def test_missing_model_names_the_three_ways(folder, name):
    with pytest.raises(ModelError) as caught:
        weights.resolve_model(name, folder, backend="stardist")
    message = str(caught.value)
    assert name in message
    assert str(folder) in message
    assert "nucprof models fetch" in message
    assert "nucprof models add" in message
    assert "model = " in message
    assert "\n" not in message


def test_added_model_is_found_by_name_and_listed(folder, tmp_path):
    source = stardist_folder(tmp_path / "source")
    placed = weights.add("my-own", source, folder)
    assert weights.resolve_model("my-own", folder, backend="stardist") == placed
    assert placed == folder / "my-own"
    entries = {e.name: e for e in weights.list_models(folder)}
    assert entries["my-own"].path == placed
    assert entries["nucprof-fluo"].bundled
    assert entries["2D_versatile_fluo"].path is None
    assert not list(folder.glob(".incoming*"))


def test_known_name_added_by_hand_counts_as_fetched(folder, tmp_path):
    placed = weights.add("2D_versatile_fluo", stardist_folder(tmp_path / "a"), folder)
    assert weights.fetch("2D_versatile_fluo", folder) == placed
    assert weights.canonical_diameter(placed) == weights.DSB_DIAMETER_PX


def test_add_does_not_replace_unasked(folder, tmp_path):
    weights.add("m", stardist_folder(tmp_path / "a", "one"), folder)
    with pytest.raises(ModelError, match="already"):
        weights.add("m", stardist_folder(tmp_path / "b", "two"), folder)
    assert (folder / "m" / "weights_best.h5").read_text() == "one"
    weights.add("m", tmp_path / "b", folder, force=True)
    assert (folder / "m" / "weights_best.h5").read_text() == "two"


@pytest.mark.parametrize("name", ["../m", "a/b", "", "nucprof-fluo", ".hidden"])
def test_bad_names_are_refused(folder, tmp_path, name):
    with pytest.raises(ModelError, match="cannot name"):
        weights.add(name, stardist_folder(tmp_path / "a"), folder)


def test_incomplete_folder_is_refused(folder, tmp_path):
    source = stardist_folder(tmp_path / "a")
    (source / "weights_best.h5").unlink()
    with pytest.raises(ModelError, match="weights_best"):
        weights.add("m", source, folder)
    with pytest.raises(ModelError, match="weights_best"):
        weights.resolve_model(source, folder, backend="stardist")
    assert not (folder / "m").exists()


def test_folder_and_file_as_given(folder, tmp_path):
    source = stardist_folder(tmp_path / "elsewhere")
    assert weights.resolve_model(source, folder, backend="stardist") == source
    file = tmp_path / "cells.pth"
    file.write_bytes(b"x")
    assert weights.resolve_model(str(file), folder, backend="cellpose") == file
    with pytest.raises(ModelError, match="is a folder with"):
        weights.resolve_model(file, folder, backend="stardist")
    with pytest.raises(ModelError, match="not a cellpose model"):
        weights.resolve_model(source, folder, backend="cellpose")


def test_model_of_another_backend_is_refused(folder):
    with pytest.raises(ModelError, match="for backend 'cellpose'"):
        weights.resolve_model("cpsam", folder, backend="stardist")
    with pytest.raises(ModelError, match="for backend 'stardist'"):
        weights.resolve_model("nucprof-fluo", folder, backend="cellpose")


def test_cellposes_own_downloads_are_found(folder, tmp_path):
    (tmp_path / "cellpose").mkdir()
    (tmp_path / "cellpose" / "cpsam_v2").write_bytes(b"w")
    found = weights.resolve_model("cpsam_v2", folder, backend="cellpose")
    assert found == tmp_path / "cellpose" / "cpsam_v2"


def test_every_name_of_the_installed_cellpose_is_known():
    text = _cellpose_source()
    names = text.split("MODEL_NAMES = [")[1].split("]")[0]
    for name in names.split(","):
        assert weights.KNOWN[name.strip().strip("\"'")].backend == "cellpose"


def _cellpose_source():
    # Read, not imported: cellpose imports torch.
    from importlib.util import find_spec
    from pathlib import Path

    return (Path(find_spec("cellpose").origin).parent / "models.py").read_text(encoding="utf-8")


@pytest.fixture
def serve():
    """Serve bytes over HTTP on this machine; returns the address and the list of requests."""
    servers = []

    def start(data, length=None):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data) if length is None else length))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/y.zip", asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def known_at(monkeypatch, url, sha256):
    model = weights.KnownModel("2D_versatile_fluo", "stardist", "", url, sha256)
    monkeypatch.setitem(weights.KNOWN, model.name, model)
    return model.name


def zipped(tmp_path, prefix=""):
    source = stardist_folder(tmp_path / "to-zip")
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in source.iterdir():
            file.write(path, prefix + path.name)
    return archive.read_bytes()


@pytest.mark.parametrize("prefix", ["", "2D_versatile_fluo/"])
def test_fetch_checks_the_hash_and_unpacks(folder, tmp_path, monkeypatch, serve, prefix):
    data = zipped(tmp_path, prefix)
    url, asked = serve(data)
    name = known_at(monkeypatch, url, hashlib.sha256(data).hexdigest())
    told = []
    path = weights.fetch(name, folder, progress=lambda done, total: told.append((done, total)))
    assert asked == ["/y.zip"]
    assert told[-1] == (len(data), len(data))
    assert (path / "config.json").is_file()
    assert weights.resolve_model(name, folder) == path
    weights.fetch(name, folder)
    assert len(asked) == 1


def test_fetch_refuses_a_changed_file(folder, tmp_path, monkeypatch, serve):
    url, _ = serve(zipped(tmp_path))
    name = known_at(monkeypatch, url, "0" * 64)
    with pytest.raises(ModelError, match="does not have the SHA-256 000"):
        weights.fetch(name, folder)
    assert not list(folder.iterdir())


def test_fetch_refuses_a_file_that_was_cut_off(folder, tmp_path, monkeypatch, serve):
    data = zipped(tmp_path)
    url, _ = serve(data[:-40], length=len(data))
    name = known_at(monkeypatch, url, None)
    with pytest.raises(ModelError, match=f"could not download {url}"):
        weights.fetch(name, folder)
    assert not list(folder.iterdir())


def test_fetch_without_network_says_what_to_do(folder, monkeypatch, serve):
    name = known_at(monkeypatch, "http://127.0.0.1:9/y.zip", None)  # nobody listens there
    with pytest.raises(ModelError, match="models add"):
        weights.fetch(name, folder)


def test_fetch_of_an_unknown_name(folder):
    with pytest.raises(ModelError, match="2D_versatile_fluo"):
        weights.fetch("cyto9", folder)


def test_fetch_of_the_bundled_one_needs_no_network(folder):
    assert weights.fetch("nucprof-fluo", folder).name == "nucprof-fluo"


def test_hash_follows_what_decides_the_output(tmp_path):
    a, b = stardist_folder(tmp_path / "a"), stardist_folder(tmp_path / "b")
    first = weights.model_hash(a)
    assert len(first) == 64
    assert weights.model_hash(b) == first
    (b / "log.csv").write_text("epoch")
    assert weights.model_hash(b) == first
    (b / "thresholds.json").write_text('{"prob": 0.6, "nms": 0.3}')
    assert weights.model_hash(b) != first
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert weights.model_hash(file) == hashlib.sha256(b"abc").hexdigest()


def test_canonical_diameter_from_the_folder(tmp_path):
    path = stardist_folder(tmp_path / "a")
    assert weights.canonical_diameter(path) is None
    (path / "nucprof.json").write_text(json.dumps({"canonical_diameter_px": 31.5}))
    assert weights.canonical_diameter(path) == 31.5
    (path / "nucprof.json").write_text("{}")
    with pytest.raises(ModelError, match="canonical_diameter_px"):
        weights.canonical_diameter(path)
