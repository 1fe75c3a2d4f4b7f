"""Seconds to write the report of a large project, its size, and how fluidly its gate drags.

    python benchmarks/report.py [--cells 100000] [--fields 480] [--browser chromium]

The results are made up: five plates of 96 wells with what every stage writes. Frames are counted in
a real browser (playwright) while a cutoff is dragged back and forth.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.report.build import build
from nucprof.report.page import captions, render
from nucprof.report.records import About, StageRun

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

PLATES = 5
ROWS, COLUMNS = "ABCDEFGH", range(1, 13)
STAGES = (
    "rename", "segment", "align", "crop", "features", "gate", "train-rf", "train-cnn", "embed",
    "gradcam", "predict",
)  # fmt: skip
QUALITY = (
    "focus", "saturated_share", "illumination", "objects", "median_area_px", "border_share",
    "tiny_share", "dim_share", "odd_size_share",
)  # fmt: skip
FRAMES = """async () => {
  const line = document.querySelector("[data-part=cut-x]");
  const box = line.getBoundingClientRect();
  const times = [];
  let last = performance.now();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const send = (type, at) => line.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, clientX: at, clientY: y, bubbles: true }));
  line.setPointerCapture = () => {};
  line.hasPointerCapture = () => true;
  send("pointerdown", x);
  for (let step = 0; step < 120; step++) {
    send("pointermove", x + 120 * Math.sin(step / 9));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  return times;
}"""


def make(root: Path, cells: int, fields: int) -> tuple[Results, About, list[StageRun]]:
    """Results of a project, made up."""
    rng = np.random.default_rng(0)
    results = Results(root)
    wells = [f"{row}{column:02d}" for row in ROWS for column in COLUMNS]
    sites = max(1, fields // (PLATES * len(wells)))
    frame = pd.DataFrame(
        [(f"plate{p}", well, site) for p in range(PLATES) for well in wells
         for site in range(1, sites + 1)], columns=["plate", "well", "site"],
    )  # fmt: skip
    culture = np.where(frame["well"].str[0] < "C", "astro", "co-culture")
    culture = np.where(frame["well"].str[0].isin(["C", "D"]), "neuro", culture)
    quality = pd.DataFrame(rng.uniform(0, 0.1, (len(frame), len(QUALITY))), columns=QUALITY)
    quality["objects"] = cells // len(frame)
    write_table(
        root / "segment" / "qc.csv",
        frame.join(quality).assign(flag=rng.random(len(frame)) < 0.03, reason="focus 0.01"),
    )
    shift = rng.normal(0, 10, (len(frame), 2))
    write_table(
        results.registration,
        frame.assign(
            round="EdU_BrdU", shift_y=shift[:, 0], shift_x=shift[:, 1], score=0.9, threshold=0.2,
            status="ok", cells_in=210, cells_kept=205,
        ),
    )  # fmt: skip
    own = rng.integers(0, len(frame), cells)
    where = frame.iloc[own].reset_index(drop=True)
    names = [
        f"{w[0]}-{w[1:]}-{s:02d}_{n:04d}"
        for n, (w, s) in enumerate(zip(where["well"], where["site"], strict=True))
    ]
    of_culture = culture[own]
    astro = np.where(of_culture == "co-culture", rng.random(cells) < 0.5, of_culture == "astro")
    key = pd.DataFrame({
        "Metadata_Plate": where["plate"], "Metadata_Well": where["well"],
        "Metadata_Site": where["site"], "Metadata_ObjectNumber": np.arange(cells),
        "Metadata_ROI_img_name": names, "Metadata_Target": of_culture,
    })  # fmt: skip
    ledger = key.assign(status="kept", stage="", reason="")
    write_table(results.cells, ledger)
    light = rng.lognormal(6.5, 0.3, cells)
    dark = rng.lognormal(4.5, 0.2, (2, cells))
    markers = {"EdU": np.where(astro, light, dark[0]), "BrdU": np.where(astro, dark[1], light)}
    write_table(root / "gate" / "intensities.parquet", key.assign(**markers, corrected=None))
    true = key.assign(true_condition=np.where(astro, "astro", "neuro"))
    write_table(root / "gate" / "GT_data.csv", true)
    groups = ["Metadata_Plate", "Metadata_Well", "Metadata_Target", "true_condition"]
    write_table(
        root / "gate" / "counts.csv", true.groupby(groups).size().rename("cells").reset_index()
    )
    shares = {f"{a}{b}": 0.9 for a in ("sensitivity", "specificity") for b in ("", "_low", "_high")}
    one = {"cutoff": 250.0, "given": False, "held_out": "wells", **shares}
    per_plate = {f"plate{p}": one for p in range(PLATES)}
    cutoffs = {
        marker: {"class": name, "carries": True, "classes": {name: True}, **one,
                 "per_plate": per_plate}
        for marker, name in (("EdU", "astro"), ("BrdU", "neuro"))
    }  # fmt: skip
    (root / "gate" / "cutoffs.json").write_text(json.dumps(cutoffs))
    places = rng.normal(0, 1, (cells, 2)) + np.where(astro, -3, 3)[:, None]
    write_table(
        root / "embed" / "umap.csv",
        true.assign(Metadata_FieldCellCount=200, umap_1=places[:, 0], umap_2=places[:, 1]),
    )
    metrics = {
        "f1_macro": 0.95, "f1_macro_ci": [0.93, 0.97], "accuracy": 0.95, "f1_macro_permuted": 0.5,
        "f1_macro_permuted_95": 0.53, "p_value": 0.01, "p_value_min": 0.01, "split_unit": "well",
        "evaluation": "split", "n_train": 4000, "n_test": cells // 2, "classes": ["astro", "neuro"],
        "confusion_matrix": [[950, 50], [50, 950]],
    }  # fmt: skip
    for folder in ("rf", "cnn"):
        (root / "train" / folder / "default").mkdir(parents=True)
        (root / "train" / folder / "default" / "metrics.json").write_text(json.dumps(metrics))
        predicted = where.assign(ROI_img_name=names, predicted=true["true_condition"])
        write_table(root / "train" / folder / "default" / "predictions.csv", predicted)
    composition = frame.merge(pd.DataFrame({"class": ["astro", "neuro"]}), how="cross")
    composition = composition.drop_duplicates(["plate", "well", "class"])[
        ["plate", "well", "class"]
    ]
    write_table(
        root / "predict" / "default" / "composition.csv",
        composition.assign(n_cells=200, share=0.5, low=0.4, high=0.6, culture="co-culture"),
    )
    for row in frame.iloc[:: max(1, len(frame) // 30)].itertuples():
        noise = rng.gamma(2, 40, (2048, 2048)).clip(0, 255).astype(np.uint8)
        path = root / "segment" / "overlays" / row.plate / f"{row.well[0]}-{row.well[1:]}-01.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path, compress_level=1)
    about = About(
        name="benchmark", plates=tuple(f"plate{p}" for p in range(PLATES)),
        rounds={"EdU_BrdU": ("DAPI", "EdU", "BrdU")}, painted=("DAPI", "FITC", "Cy3", "Cy5"),
        nuclei="DAPI", mixed="co-culture", objects="nuclei", crop_px=60,
        cultures=dict(zip(frame["plate"] + "/" + frame["well"], culture, strict=True)),
    )  # fmt: skip
    return results, about, [StageRun(name, "done") for name in STAGES]


def busy(session: CDPSession) -> float:
    """Seconds of processor time that the page's main thread has used for tasks."""
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in found if m["name"] == "TaskDuration"))


def frames(page_path: Path, browser: str) -> None:
    """Milliseconds between frames while a cutoff is dragged."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=shutil.which(browser), args=["--no-sandbox"]
        )
        page = started.new_page(viewport={"width": 1280, "height": 900})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        began = time.perf_counter()
        page.goto(page_path.resolve().as_uri())
        page.wait_for_selector("[data-part=counts] tr")
        print(f"opens in {time.perf_counter() - began:.1f} s")
        page.locator("#gate-explorer").scroll_into_view_if_needed()
        options = page.locator("#gate-explorer select[name=plate] option").all_inner_texts()
        for name in (options[0], "all plates"):
            page.select_option("#gate-explorer select[name=plate]", label=name)
            if name == "all plates":
                page.check("#gate-explorer [name=together]")
            before = busy(session)
            times = page.evaluate(FRAMES)
            used = 1000 * (busy(session) - before) / len(times)
            print(
                f"dragging, {name}: median frame {statistics.median(times):.1f} ms, 95% "
                f"{np.percentile(times, 95):.1f} ms; {used:.1f} ms of processor time per frame"
            )
        started.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=480)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--keep", type=Path, help="keep the page here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results, about, runs = make(Path(folder), asked.cells, asked.fields)
        began, used = time.perf_counter(), time.process_time()
        page = build(results, about, runs, "project.toml")
        text = render(page)
        results.report.write_text(text, encoding="utf-8")
        captions(page)
        print(
            f"{asked.cells:,} cells, {asked.fields} fields: written in "
            f"{time.perf_counter() - began:.1f} s ({time.process_time() - used:.1f} s of processor "
            f"time), {len(text.encode()) / 1e6:.1f} MB"
        )
        frames(results.report, asked.browser)
        if asked.keep:
            shutil.copy(results.report, asked.keep)


if __name__ == "__main__":
    main()
