"""What the Cellpose backend hands to the library, seen by a double in the library's place."""

import logging
from pathlib import Path

import numpy as np
import pytest

from nucprof.errors import DataError, ModelError, UserError
from nucprof.segmentation.cellpose import CellposeBackend

torch = pytest.importorskip("torch")
WEIGHTS = {"W2": torch.eye(3), "out.weight": torch.zeros(3)}


class Recorder:
    """Stands for cellpose.models.CellposeModel: records what it gets and finds one object."""

    made = None
    loads = None  # another file than the one asked for
    lacks = ()  # weights that the network has and the file does not
    fails_above = 10**6  # tiles a step that the device's memory holds

    def __init__(self, **options):
        Recorder.made = self
        self.options = options
        self.calls = []
        self.pretrained_model = self.loads or options["pretrained_model"]
        self.net = self

    def state_dict(self):
        return {**WEIGHTS, **dict.fromkeys(self.lacks)}

    def eval(self, image, **options):
        self.calls.append((image, options))
        if options["batch_size"] > self.fails_above:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
        masks = np.zeros(image.shape[:2], np.uint16)
        masks[1:3, 1:4] = 1
        return masks, [], None


@pytest.fixture
def library(monkeypatch):
    from cellpose import models

    double = type("Double", (Recorder,), {})
    monkeypatch.setattr(models, "CellposeModel", double)
    return double


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "network"
    torch.save(WEIGHTS, path)
    return path


def image(seed=0, shape=(7, 11)):
    return np.random.default_rng(seed).integers(100, 4000, shape).astype(np.uint16)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("diameter", 17.5),
        ("diameter", None),
        ("flow_threshold", 0.7),
        ("cellprob_threshold", -2.5),
        ("augment", True),
        ("augment", False),
        ("batch_size", 3),
    ],
)
def test_option_is_passed_on(library, file, option, value):
    CellposeBackend(file, device="cpu", **{option: value}).segment(image())
    ((_, options),) = Recorder.made.calls
    assert options[option] == value


def test_model_is_passed_as_an_existing_file(library, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    CellposeBackend(Path(file.name), device="cpu")
    options = Recorder.made.options
    assert options["pretrained_model"] == str(file)
    assert options["device"] == torch.device("cpu")
    assert options["use_bfloat16"] is False  # a CPU only emulates it


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True)])
def test_bfloat16_where_the_gpu_has_it(library, file, monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    CellposeBackend(file, device="auto")
    assert Recorder.made.options["device"] == torch.device("cuda:0")
    assert Recorder.made.options["use_bfloat16"] is expected


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_device_that_is_not_there_is_refused(library, file, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=rf"device = '{device}': this machine offers cpu;"):
        CellposeBackend(file, device=device)


def test_threads_are_set(library, file):
    before = torch.get_num_threads()
    try:
        CellposeBackend(file, device="cpu", threads=2)
        assert torch.get_num_threads() == 2
        CellposeBackend(file, device="cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_percentiles_become_0_and_1_in_each_plane(library, file):
    cyto, nuclei = image(1), image(2).astype(np.float32) / 9
    CellposeBackend(file, device="cpu", pmin=2, pmax=90).segment(cyto, nuclei)
    ((given, options),) = Recorder.made.calls
    assert given.shape == (7, 11, 2)
    assert options["channel_axis"] == -1
    assert options["normalize"] == {"normalize": False}
    for k, plane in enumerate((cyto, nuclei)):
        low, high = np.percentile(plane, (2, 90))
        np.testing.assert_allclose(
            given[..., k], (plane - low) / (high - low), rtol=1e-5, atol=1e-6
        )


def test_normalisation_is_the_librarys_own(library, file):
    from cellpose.transforms import normalize_img

    plane = image(3)
    CellposeBackend(file, device="cpu", pmin=3, pmax=97).segment(plane)
    ((given, _),) = Recorder.made.calls
    expected = normalize_img(plane[..., None].astype(np.float32), percentile=(3, 97))
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)


def test_labels_have_the_images_frame(library, file):
    backend = CellposeBackend(file, device="cpu")
    labels = backend.segment(image(shape=(5, 9)))
    assert labels.dtype == np.int32
    assert labels.shape == (5, 9)
    assert (labels > 0).sum() == 6


@pytest.mark.parametrize("plane", [np.zeros((4, 6), np.uint8), np.full((3, 3), 7.0)])
def test_nothing_in_the_image_is_nothing_found(library, file, plane):
    assert not CellposeBackend(file, device="cpu").segment(plane).any()
    assert not Recorder.made.calls


def test_planes_of_two_sizes_are_refused(library, file):
    with pytest.raises(DataError, match=r"\(7, 11\), \(7, 12\)"):
        CellposeBackend(file, device="cpu").segment(image(), image(shape=(7, 12)))


def test_out_of_memory_halves_the_batch_and_says_so(library, file, caplog):
    library.fails_above = 3
    backend = CellposeBackend(file, device="cpu", batch_size=8)
    with caplog.at_level(logging.WARNING, logger="nucprof"):
        assert backend.segment(image()).any()
    assert [options["batch_size"] for _, options in Recorder.made.calls] == [8, 4, 2]
    assert [record.args for record in caplog.records] == [(4,), (2,)]
    backend.segment(image(1))  # what did not fit once is not tried again
    assert Recorder.made.calls[-1][1]["batch_size"] == 2


def test_out_of_memory_with_one_tile_is_an_error(library, file):
    library.fails_above = 0
    with pytest.raises(ModelError, match="out of memory on cpu with one tile"):
        CellposeBackend(file, device="cpu", batch_size=2).segment(image())


def test_other_errors_of_the_library_come_through(library, file, monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(library, "eval", broken)
    with pytest.raises(RuntimeError, match="multiplied"):
        CellposeBackend(file, device="cpu").segment(image())


def test_another_model_than_the_one_named_is_refused(library, file):
    library.loads = "/somewhere/.cellpose/models/cpsam_v2"
    with pytest.raises(ModelError, match=r"cellpose loaded .*cpsam_v2 in place of .*network"):
        CellposeBackend(file, device="cpu")


def test_file_that_lacks_weights_is_refused(library, file):
    library.lacks = ("encoder.pos_embed",)
    with pytest.raises(ModelError, match=r"1 weights are missing, e\.g\. encoder\.pos_embed"):
        CellposeBackend(file, device="cpu")


def test_missing_file_never_reaches_the_library(library, tmp_path):
    Recorder.made = None
    with pytest.raises(ModelError, match=r"there is no file .*cpsam_v9"):
        CellposeBackend(tmp_path / "cpsam_v9", device="cpu")
    assert Recorder.made is None


def _text(path):
    path.write_text("<html>moved</html>")


def _empty(path):
    path.touch()


def _former_cellpose(path):
    torch.save({"output.2.weight": torch.zeros(3)}, path)


def _no_weights(path):
    torch.save([1, 2], path)


def _code(path):
    torch.save({"W2": Path("anything")}, path)


@pytest.mark.parametrize("write", [_text, _empty, _former_cellpose, _no_weights, _code])
def test_file_that_is_no_model_is_named(library, tmp_path, write):
    path = tmp_path / "thing"
    write(path)
    with pytest.raises(ModelError, match=r"thing is not a Cellpose 4 model .*nucprof models fetch"):
        CellposeBackend(path, device="cpu")
