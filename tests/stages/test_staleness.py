"""What becomes stale by which setting and by which file: every pair, asked of the real stages.

A setting that is declared and has no answer here fails a test: say what depends on it.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from nucprof.config import Project, load_project
from nucprof.config.load import read_toml
from nucprof.config.models import SegmentBase
from nucprof.config.segmenters import own_settings
from nucprof.config.setting import Section
from nucprof.errors import UserError
from nucprof.io.digest import decides, digest
from nucprof.run.definition import job_definition
from nucprof.run.pipeline import Run
from nucprof.segmentation import choose
from nucprof.segmentation.backends import stardist
from nucprof.stages import STAGES, stage
from nucprof.stages.base import Stage

NONE: frozenset[str] = frozenset()
CROPS = {"crop", "train-cnn", "embed", "gradcam"}  # what is made from crops of another kind
TRAINED = {"train-rf", "train-cnn"}
#: Setting -> another value, and the stages that must then do something. Only what a stage itself
#: depends on counts: what follows from a file that it will write again is asked by file, below.
ANSWERS: dict[str, tuple[Any, set[str] | frozenset[str]]] = {
    "project.name": ("other", {"report"}),
    "project.seed": (1, {"embed", "gradcam", "predict"}),
    "project.exclude": (["B02"], {"rename", "segment", "align", "crop", "features", "gradcam"}),
    "channels.cell_painting": (
        ["DAPI", "Cy3", "FITC", "Cy5"],
        {"rename", "features", "report", *CROPS},
    ),
    "channels.nuclei": ("FITC", {"segment", "align", "gate", "report"}),
    "channels.ground_truth": (
        {"EdU_BrdU": ["DAPI", "BrdU", "EdU"]},
        {"rename", "align", "features", "report"},
    ),
    "rename.pattern": ("nis-jobs", {"rename"}),
    "rename.extension": ("tif", {"rename"}),
    "rename.projection": ("max", {"rename"}),
    "rename.time": (2, {"rename"}),
    "rename.pixel_size_um": (0.5, {"rename"}),
    "rename.recursive": (True, {"rename"}),
    "rename.mode": ("link", {"rename"}),
    "rename.channel_map": ({"1": "DAPI"}, {"rename"}),
    "illumination.method": ("median", {"rename"}),
    "illumination.dark": (100.0, NONE),  # nothing without a method
    "segment.channels": (["DAPI", "FITC"], {"segment"}),
    "segment.clear_border": (False, {"segment"}),
    "segment.min_contrast": (0.5, {"segment"}),
    "align.cp_channels": (["FITC"], {"align"}),
    "align.gt_channels": (["EdU"], {"align"}),
    "align.max_shift_px": (180.0, {"align"}),
    "align.min_overlap": (0.45, {"align"}),
    "align.lost_ratio": (0.3, {"align"}),
    "align.model": ("translation", {"align"}),
    "crop.region": ("nucleus", {*CROPS, "report"}),
    "crop.patch_size": (30, {*CROPS, "report"}),
    "crop.masked": (True, {*CROPS, "report"}),
    "crop.export_tiff": (True, {"crop"}),
    "features.regions": (["Nuclei"], {"features"}),
    "features.textures": (False, {"features"}),
    "features.texture_set": ("robust", {"features"}),
    "features.patch_size": (61, {"features"}),
    "features.texture_background": ("include", {"features"}),
    "features.csv": (True, {"features"}),
    "gate.classes": ({"astro": "EdU", "neuro": "BrdU"}, {"gate"}),
    "gate.cutoffs": ({"EdU": 500}, {"gate"}),
    "gate.filters": ({"Nuclei_AreaShape_Area": [10, 1000]}, {"gate"}),
    "gate.mixed_culture": ("mixed", {"gate", "predict", "report", *TRAINED}),
    "gate.per": ("project", {"gate"}),
    "gate.background": ("field", {"gate"}),
    "gate.unmix": (True, {"gate"}),
    "gate.corrections": (["corrections.csv"], {"gate", *TRAINED}),
    "reference.wells": (["B02"], {"predict"}),
    "reference.culture": (["astro"], {"predict"}),
    "train.targets": (["astro", "neuro"], TRAINED),
    "train.culture": ("mixed", TRAINED),
    "train.test_culture": ("mixed", TRAINED),
    "train.sample": ("max", TRAINED),
    "train.seeds": ([1], TRAINED),
    "train.split_unit": ("plate", TRAINED),
    "train.density_strata": (2, TRAINED),
    "train.rf.enabled": (False, NONE),
    "train.rf.evaluation": ("split", {"train-rf"}),
    "train.rf.regions": (["Nuclei"], {"train-rf"}),
    "train.rf.channels": (["DAPI"], {"train-rf"}),
    "train.rf.scaling": ("plate", {"train-rf"}),
    "train.rf.drop_redundant": (True, {"train-rf"}),
    "train.cnn.enabled": (False, NONE),
    "train.cnn.architecture": ("resnet34", {"train-cnn"}),
    "train.cnn.channels": (["DAPI"], {"train-cnn"}),
    "train.cnn.epochs": (2, {"train-cnn"}),
    "train.cnn.batch_size": (17, {"train-cnn"}),
    "train.cnn.learning_rate": (1e-3, {"train-cnn"}),
    "train.cnn.image_size": (33, {"train-cnn"}),
    "train.cnn.weight_decay": (1e-3, {"train-cnn"}),
    "train.cnn.schedule": ("one-cycle", {"train-cnn"}),
    "train.cnn.patience": (16, {"train-cnn"}),
    "train.cnn.normalise": ("plate", {"train-cnn"}),
    "train.cnn.pretrained": ("weights.pth", {"train-cnn"}),
    "train.cnn.compile": (True, NONE),
    "train.cnn.repeats": (2, {"train-cnn"}),
    "train.cnn.sizes": ([5], {"train-cnn"}),
    "train.cnn.ablate": ("channels", {"train-cnn"}),
    "embed.enabled": (False, NONE),
    "embed.source": ("features", {"embed"}),
    "embed.method": ("umap", {"embed"}),
    "embed.scaling": ("plate", {"embed"}),
    "embed.model": ("other", {"embed"}),
    "embed.map": ("map.npz", {"embed"}),
    "embed.csv": (True, {"embed"}),
    "gradcam.enabled": (False, NONE),
    "gradcam.per_class": (3, {"gradcam"}),
    "gradcam.choose": ("certain", {"gradcam"}),
    "gradcam.model": ("other", {"gradcam"}),
    "predict.model": ("results/train/cnn/default", {"predict"}),
    "predict.confidence": (0.4, {"predict"}),
    "predict.bootstrap": (1001, {"predict"}),
    "execution.workers": (2, NONE),
    "execution.device": ("auto", NONE),
    "execution.precision": ("full", NONE),
    "execution.scheduler": ("tcp://host:8786", NONE),
    "execution.timeout": (5, NONE),
    "execution.models_dir": ("models", NONE),
}
#: The plates' folders are asked for by file, the output by moving it; a mode or a backend decides
#: which settings there are, and has its own tests.
ELSEWHERE = {"plates", "project.output", "segment.mode", "segment.backend"}


def declared(model: type = Project, prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted name."""
    found = {}
    for key, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            found |= declared(info.annotation, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = info
    return found


BACKEND_KEYS = {
    key.removeprefix("segment.")
    for key in declared()
    if key.startswith("segment.") and key.split(".")[1] not in SegmentBase.model_fields
}
#: Backend key -> another value.
BACKEND_VALUES = {
    "model": None,  # set by the test: a path
    "download": True,
    "scale": 2.0,
    "pmin": 3.0,
    "pmax": 97.0,
    "diameter": 21.0,
    "flow_threshold": 0.3,
    "cellprob_threshold": 0.5,
    "batch_size": 3,
    "augment": True,
    "sharpen": False,
    "path": None,
    "prob_thresh": 0.55,
    "nms_thresh": 0.35,
    "threshold": "local",
    "method": "distance",
    "precision": "full",
    "reach": 1.5,
    "regularisation": 0.2,
}


def test_every_setting_has_an_answer():
    names = set(declared()) - {f"segment.{key}" for key in BACKEND_KEYS}
    assert names == set(ANSWERS) | ELSEWHERE
    assert set(BACKEND_VALUES) == BACKEND_KEYS


def nested(dotted: str, value: Any) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return value


def stale(project: Project) -> set[str]:
    """Stages that have something to do, or cannot be planned."""
    run = Run(project)
    found = set()
    for each in STAGES:
        try:
            if not each.skip(project) and not run.assess(each).up_to_date:
                found.add(each.name)
        except UserError:
            found.add(each.name)
    return found


def test_nothing_is_stale_to_begin_with(processed: Path) -> None:
    assert stale(load_project(processed)) == set()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_setting(processed: Path, name: str) -> None:
    value, expected = ANSWERS[name]
    changed = load_project(processed, nested(name, value), check_folders=False)
    section, key = name.rsplit(".", 1)
    before = getattr(load_project(processed).section(section), key)
    assert getattr(changed.section(section), key) != before, "the other value is the same one"
    assert stale(changed) == expected


@pytest.mark.parametrize("name", [n for n, info in declared().items() if decides(info) is False])
def test_what_does_not_decide_leaves_later_results_alone(processed: Path, name: str) -> None:
    """A setting declared so may change which files a stage writes, never what another one reads."""
    if name in ANSWERS:
        _, expected = ANSWERS[name]
        assert expected <= {name.rsplit(".", 1)[0].replace(".", "-")}


@pytest.mark.parametrize("backend", sorted(choose.segmenters()))
@pytest.mark.parametrize("key", sorted(BACKEND_KEYS))
def test_a_setting_of_a_backend(
    processed: Path, tmp_path: Path, backend: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = choose.segmenters()[backend]
    (tmp_path / "masks").mkdir()
    weights = tmp_path / "weights"
    if segmenter.family == "cellpose":
        weights.write_bytes(b"weights")
    elif segmenter.family:
        weights = choose.find_model(segmenter, segmenter.settings(), None)
    own = {"backend": backend, "mode": segmenter.finds[0], "path": str(tmp_path / "masks")}
    own |= {"model": str(weights)} if segmenter.model else {}

    def definition(**flags: Any) -> str:
        run = Run(load_project(processed, {"segment": own | flags}))
        job = stage("segment").plan(run).jobs[0]
        return job_definition(stage("segment"), job, run.places)

    value = BACKEND_VALUES[key]
    if key == "path":
        (tmp_path / "others").mkdir()
        value = str(tmp_path / "others")
    if key == "model":
        value = str(weights)  # the same weights under another name decide nothing else
    info = segmenter.settings.model_fields.get(key)
    means_something = info is not None and decides(info)
    if key == "precision" and info is not None:  # what it comes to on this machine decides
        means_something = stardist.precision(segmenter.settings(), "cpu") != "float32"
    assert (definition(**{key: value}) != definition()) == means_something


def test_a_key_at_its_default_is_like_one_that_does_not_exist(processed: Path) -> None:
    raw = read_toml(processed)
    for name, info in declared().items():
        section, _, key = name.rpartition(".")
        if name == "plates" or name.startswith("channels") or info.is_required():
            continue
        given = raw
        for part in section.split("."):
            given = given.get(part, {})
        if key in given:
            continue
        default = info.get_default(call_default_factory=True)
        if default is None or isinstance(default, Path):
            continue
        assert stale(load_project(processed, nested(name, default))) == set(), name


def test_a_setting_that_an_upgrade_adds_keeps_results() -> None:
    class Before(Section):
        size: int = 3

    class After(Before):
        added: str = "as before"

    assert digest(Before(size=4)) == digest(After(size=4))
    assert digest(Before(size=4)) != digest(After(size=4, added="otherwise"))


FEATURES = {"gate", "train-rf", "train-cnn", "embed", "predict"}
#: File -> stages that read it or wrote it, which must then do something.
FILES: dict[str, set[str] | frozenset[str]] = {
    "CP/WellB02_PointB02_0000_ChannelDAPI,FITC,Cy3,Cy5_Seq0000.tif": {
        "rename",
        "segment",
        "align",
        "crop",
        "features",
    },
    "GT/WellB02_PointB02_0000_ChannelDAPI,EdU,BrdU_Seq0000.tif": {"rename", "align"},
    "layout.xlsx": {"features", "predict", "report"},
    # stages that read it are blocked until `rename` has made it again
    "results/images.csv": {"rename", "segment", "align", "crop", "features", "gradcam"},
    "results/masks/demo/nuclei/B-02-01.tif": {"segment", "align"},
    "results/aligned/demo/masks/nuclei/B-02-01.tif": {"align", "crop", "features", "gradcam"},
    "results/aligned/demo/GT_EdU_BrdU/B-02-01.tif": {"align", "features"},
    "results/registration.csv": {"align", "report"},
    "results/segment/objects.parquet": {"segment", "features"},
    "results/crops/nucleocentric_24/demo/B-02-01.tif": {"crop", "train-cnn", "embed", "gradcam"},
    "results/crops/nucleocentric_24/index.parquet": {*CROPS, "report"},
    "results/parts/features/CP/demo/B-02-01.parquet": {"features"},
    "results/features/CP.parquet": {"features", *FEATURES},
    "results/features/GT_EdU_BrdU.parquet": {"features", "gate"},
    "results/gate/GT_data.csv": {"gate", "train-rf", "train-cnn", "embed", "report"},
    "results/gate/scatter.png": {"gate"},
    "results/train/rf/default/model.skops": {"train-rf", "predict"},
    "results/train/rf/default/metrics.json": {"train-rf", "report"},
    "results/train/cnn/default/model.safetensors": {"train-cnn", "embed", "gradcam"},
    "results/train/cnn/default/model.json": {"train-cnn", "embed", "gradcam", "report"},
    "results/train/cnn/default/predictions.csv": {"train-cnn", "gradcam", "report"},
    "results/embed/umap.csv": {"embed", "report"},
    "results/gradcam/index.csv": {"gradcam", "report"},
    "results/predict/default/composition.csv": {"predict", "report"},
    "results/cells.parquet": {"report"},
    "results/report.html": {"report"},
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(copied: Path, name: str) -> None:
    path = copied.parent / name
    if not path.exists():  # names as the microscope writes them hold a running number
        (path,) = path.parent.glob(path.name.replace("0000", "*", 1))
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + (b"\n" if path.suffix == ".csv" else b" "))
    os.utime(path, ns=(before + 10**10, before + 10**10))
    assert stale(load_project(copied)) == FILES[name]


def test_a_moved_project_is_up_to_date_and_can_be_added_to(copied: Path) -> None:
    project = load_project(copied)
    assert stale(project) == set()
    run = Run(project)
    assert {s.path.is_relative_to(copied.parent) for s in run.images.sources(
        "demo", "B-02-01", "CP", ["DAPI", "FITC"])} == {True}  # fmt: skip
    changed = load_project(copied, {"features": {"patch_size": 30}})
    assert Run(changed).run_stage(stage("features")).status == "done"


def test_a_renamed_raw_folder_measures_nothing_again(copied: Path) -> None:
    (copied.parent / "CP").rename(copied.parent / "painted")
    text = copied.read_text(encoding="utf-8")
    text = text.replace('cell_painting = "CP"', 'cell_painting = "painted"')
    copied.write_text(text, encoding="utf-8")
    assert "rename" in stale(load_project(copied))
    assert Run(load_project(copied)).run_stage(stage("rename")).status == "done"
    assert stale(load_project(copied)) == {"report"}  # it says when each stage ran


def test_results_of_an_earlier_form_are_made_again_with_a_line_that_says_why(copied: Path) -> None:
    for path in (copied.parent / "results" / "journal").glob("*.jsonl"):
        path.write_text(path.read_text().replace('"definition":"2:', '"definition":"'))
    run = Run(load_project(copied))
    why = "an earlier version of nucprof made it, and recorded less of what decides it"
    assert run.assess(stage("segment")).reason == f"7 of 7 to do: {why}"


def test_a_field_of_a_job_is_hashed_unless_it_says_where_it_runs(processed: Path) -> None:
    """Every field of every real job, by changing it."""
    run = Run(load_project(processed))
    for each in STAGES:
        job = each.plan(run).jobs[0]
        usual = job_definition(each, job, run.places)
        for info in dataclasses.fields(job):
            if info.name in ("inputs", "plate", "field"):
                continue
            changed = dataclasses.replace(job, **{info.name: "another value"})
            if info.name == "outputs":
                changed = dataclasses.replace(job, outputs=(Path("elsewhere"),))
            differs = job_definition(each, changed, run.places) != usual
            assert differs == info.metadata.get("decides", True), f"{each.name}: {info.name}"


def test_needs_name_earlier_stages(processed: Path) -> None:
    project = load_project(processed)
    earlier: list[str] = []
    for each in STAGES:
        assert isinstance(each, Stage)
        assert set(each.needs(project)) <= set(earlier), each.name
        earlier.append(each.name)


def test_own_settings_are_the_backends(processed: Path) -> None:
    settings = load_project(processed).segment
    own = own_settings(settings, choose.segmenters()["watershed"].settings)
    assert set(type(own).model_fields) == {"diameter", "threshold"}
