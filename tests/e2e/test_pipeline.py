"""The whole pipeline on a small synthetic plate whose truth is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nucprof.demo.plate import Demo, write_demo
from nucprof.io.results import Results

WELLS = {
    "astro": ("B02", "B03"),
    "neuro": ("C02", "C03"),
    "co-culture": ("D02", "D03", "D04"),
}
SETTINGS = """
[segment]
backend = "watershed"
[embed]
enabled = false
[gradcam]
enabled = false
[execution]
workers = 1
"""


def nucprof(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nucprof", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def make_plate(folder: Path) -> Demo:
    plate = write_demo(folder, wells=WELLS, shape=(230, 260), cells=24, max_shift_px=14)
    text = plate.project.read_text(encoding="utf-8")
    text = text.replace("[train.cnn]\n", "[train.cnn]\nenabled = false\n")
    plate.project.write_text(text + SETTINGS, encoding="utf-8")
    return plate


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    plate = make_plate(tmp_path_factory.mktemp("plate") / "demo")
    done = nucprof("run-all", plate.project)
    assert done.returncode == 0, done.stdout + done.stderr
    return plate


def results(plate: Demo) -> Results:
    return Results(plate.folder / "results")


def tables(root: Path) -> dict[str, pd.DataFrame]:
    """Every table that a run writes, by its path below the results."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(("parts/", "journal/")):
            continue
        if path.suffix == ".parquet":
            found[name] = pd.read_parquet(path)
        elif path.suffix == ".csv" and name != "images.csv":
            found[name] = pd.read_csv(path)
    return found


def test_shifts_come_back(processed: Demo) -> None:
    table = pd.read_csv(results(processed).registration)
    assert (table["status"] == "ok").all()
    fields = [f"{w[0]}-{w[1:]}-{s:02d}" for w, s in zip(table["well"], table["site"], strict=True)]
    true = processed.shifts.set_index("field").loc[fields]
    error = np.hypot(
        table["shift_y"].to_numpy() - true["shift_y"].to_numpy(),
        table["shift_x"].to_numpy() - true["shift_x"].to_numpy(),
    )
    assert error.max() <= 0.25


def test_cells_in_are_cells_kept_plus_dropped(processed: Demo) -> None:
    ledger = pd.read_parquet(results(processed).cells)
    kept = ledger[ledger["status"] == "kept"]
    assert set(ledger["status"]) == {"kept", "dropped"}
    assert (ledger.loc[ledger["status"] == "dropped", "reason"] != "").all()
    features = pd.read_parquet(results(processed).features("CP"))
    assert sorted(kept["Metadata_ROI_img_name"]) == sorted(features["Metadata_ROI_img_name"])


def test_gated_classes_are_the_true_ones(processed: Demo) -> None:
    import tifffile

    gated = pd.read_csv(results(processed).root / "gate" / "GT_data.csv")
    truth = processed.cells.set_index(["field", "label"])
    right = wrong = undecided = 0
    for row in gated.itertuples():
        field, label = row.ROI_img_name.rsplit("_", 1)
        mask = tifffile.imread(results(processed).mask("demo", "nuclei", field))
        drawn = tifffile.imread(processed.folder / "truth" / "nuclei" / f"{field}.tif")
        under = np.bincount(drawn[mask == int(label)]).argmax()
        if under == 0:
            continue
        cell = truth.loc[(field, under)]
        if row.true_condition == "undefined":
            # neither marker, or both: the plate holds 5% of such cells
            undecided += 1
        elif row.true_condition == cell["class"]:
            right += 1
        else:
            wrong += 1
    assert right >= 0.97 * (right + wrong)
    assert undecided <= 0.15 * len(gated)


def test_forest_is_judged_on_unseen_wells(processed: Demo) -> None:
    folder = results(processed).root / "train" / "rf" / "default"
    metrics = json.loads((folder / "metrics.json").read_text())
    predictions = pd.read_csv(folder / "predictions.csv")
    # cv over the three mixed wells: every cell is predicted once, by a model that saw other wells
    assert metrics["evaluation"] == "cv"
    assert not predictions["ROI_img_name"].duplicated().any()
    assert set(predictions["well"]) == set(WELLS["co-culture"])
    assert predictions.groupby("well")["fold"].nunique().eq(1).all()
    agreed = (predictions["true_condition"] == predictions["predicted"]).mean()
    assert metrics["accuracy"] == pytest.approx(agreed)
    assert metrics["f1_macro"] > 0.75
    assert metrics["f1_macro"] > metrics["f1_macro_permuted"] + 0.1


def test_second_run_does_nothing_and_one_setting_runs_only_what_depends_on_it(
    tmp_path: Path,
) -> None:
    plate = make_plate(tmp_path / "demo")
    first = nucprof("run-all", plate.project, "--until", "gate")
    assert first.returncode == 0, first.stderr
    before = {
        path: path.stat().st_mtime_ns
        for path in results(plate).root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    again = nucprof("run-all", plate.project, "--until", "gate")
    assert "nothing was done" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    text = plate.project.read_text(encoding="utf-8")
    plate.project.write_text(text + "[gate]\nfilters = { Nuclei_AreaShape_Area = [60, 5000] }\n")
    plan = nucprof("run-all", plate.project, "--dry-run")
    states = dict(line.split(maxsplit=1) for line in plan.stdout.splitlines())
    for stage in ("rename", "segment", "align", "crop", "features"):
        assert states[stage].startswith("up to date"), plan.stdout
    assert states["gate"].startswith("will run")
    assert "gate.filters" in states["gate"]
    assert states["train-rf"].startswith("will run")
    assert nucprof("run-all", plate.project, "--until", "gate").returncode == 0
    features = results(plate).features("CP")
    assert features.stat().st_mtime_ns == before[features]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
@pytest.mark.parametrize("stage", ["segment", "features"])
def test_a_killed_run_goes_on_and_ends_with_the_same_tables(
    processed: Demo, tmp_path: Path, stage: str
) -> None:
    plate = make_plate(tmp_path / "demo")
    journal = results(plate).journal(stage)
    process = subprocess.Popen(
        [sys.executable, "-m", "nucprof", "run-all", str(plate.project), "--until", "gate"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if journal.is_file() and journal.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = journal.read_bytes().count(b"\n")
    assert finished >= 2
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    assert not (results(plate).root / "gate" / "GT_data.csv").exists()
    again = nucprof("run-all", plate.project, "--until", "gate")
    assert again.returncode == 0, again.stdout + again.stderr
    whole, resumed = tables(results(processed).root), tables(results(plate).root)
    assert {"cells.parquet", "registration.csv", "features/CP.parquet", "gate/GT_data.csv"} <= set(
        resumed
    )
    for name, table in resumed.items():
        pd.testing.assert_frame_equal(whole[name], table, obj=name)
