"""The gate stage: from feature tables to true classes, on values chosen by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nucprof.config.models import GateSettings
from nucprof.errors import DataError, ProjectError
from nucprof.stages import gate
from nucprof.stages.gate import GateJob

CULTURES = ["astro"] * 3 + ["neuro"] * 3 + ["co-culture"] * 4
EDU = [900.0, 1000, 1100, 40, 60, 50, 800, 30, 850, 20]
BRDU = [20.0, 30, 10, 500, 700, 600, 30, 650, 660, 15]


def table(**columns: list[float]) -> pd.DataFrame:
    wells = ["B02"] * 3 + ["C02"] * 3 + ["D02"] * 4
    labels = [7, 3, 12345, 1, 2, 3, 1, 2, 4, 70000]  # gapped, and not in order
    return pd.DataFrame(
        {
            "Metadata_Plate": "p",
            "Metadata_Well": wells,
            "Metadata_Site": 1,
            "Metadata_ObjectNumber": labels,
            "Metadata_ROI_img_name": [
                f"{w[0]}-{w[1:]}-01_{n:04d}" for w, n in zip(wells, labels, strict=True)
            ],
            "Metadata_Target": CULTURES,
            **columns,
        }
    )


def job_of(
    tmp_path: Path, settings: GateSettings, cells: pd.DataFrame, markers: pd.DataFrame
) -> GateJob:
    tables = {"CP": tmp_path / "CP.parquet", "R": tmp_path / "GT_R.parquet"}
    cells.to_parquet(tables["CP"])
    # another order of rows: the join is by key
    markers.sample(frac=1, random_state=1).to_parquet(tables["R"])
    named = [c.rsplit("_", 1)[1] for c in markers if "MeanIntensity" in c]
    return GateJob(
        inputs=tuple(tables.values()), outputs=(), settings=settings,
        markers=dict.fromkeys(named, "R"), compartment="Nuclei", tables=tables,
        folder=tmp_path / "gate",
        colours=tmp_path / "colours.json",
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path):
    def make(settings: GateSettings) -> GateJob:
        cells = table(Nuclei_AreaShape_Area=[200.0] * 9 + [5])
        markers = table(
            Nuclei_Intensity_MeanIntensity_EdU=EDU, Nuclei_Intensity_MeanIntensity_BrdU=BRDU
        )
        return job_of(tmp_path, settings, cells, markers)

    return make


def gated(tmp_path: Path) -> list[str]:
    return pd.read_csv(tmp_path / "gate" / "GT_data.csv")["true_condition"].tolist()


def test_auto_gate(job, tmp_path: Path) -> None:
    outcome = gate.work(job(GateSettings()))
    assert gated(tmp_path) == ["astro"] * 3 + ["neuro"] * 3 + [
        "astro", "neuro", "undefined", "undefined",
    ]  # fmt: skip
    assert outcome.record.classes == {"astro": 4, "neuro": 4, "undefined": 2}
    data = pd.read_csv(tmp_path / "gate" / "GT_data.csv")
    assert list(data.columns[:2]) == ["plate", "ROI_img_name"]
    cutoffs = json.loads((tmp_path / "gate" / "cutoffs.json").read_text())
    # by hand: between the 60 of the neurons and the 900 of the astrocytes, on a log scale
    assert cutoffs["EdU"]["cutoff"] == pytest.approx(np.sqrt(60 * 900))
    assert cutoffs["EdU"]["class"] == "astro"
    assert cutoffs["EdU"]["sensitivity"] == cutoffs["EdU"]["specificity"] == 1
    assert cutoffs["EdU"]["n_positive"] == cutoffs["EdU"]["n_negative"] == 3
    # medians by hand
    assert cutoffs["EdU"]["medians"] == {"astro": 1000, "neuro": 50}
    assert cutoffs["EdU"]["held_out"] == "cells"
    assert "per_plate" not in cutoffs["EdU"]
    # three cells of three, exactly: 0.025 ** (1 / 3)
    assert cutoffs["EdU"]["sensitivity_low"] == pytest.approx(0.292, abs=0.001)
    assert any("fewer than 20 cells" in warning for warning in outcome.warnings)
    assert (tmp_path / "gate" / "scatter.png").read_bytes().startswith(b"\x89PNG")
    counts = pd.read_csv(tmp_path / "gate" / "counts.csv")
    assert counts["cells"].sum() == 10


def test_corrections_replace_the_gates_classes(job, tmp_path: Path) -> None:
    first, second = tmp_path / "ann.csv", tmp_path / "bob.csv"
    head = "plate,ROI_img_name,true_condition,who\n"
    first.write_text(head + "p,D-02-01_0001,neuro,Ann\np,D-02-01_0002,neuro,Ann\n")
    second.write_text(head + "p,D-02-01_70000,undefined,Bob\np,D-02-01_0004,astro,Bob\n")
    outcome = gate.work(job(GateSettings(corrections=[first, second])))
    data = pd.read_csv(tmp_path / "gate" / "GT_data.csv")
    mixed = data[data["Metadata_Well"] == "D02"]
    assert mixed["gate_condition"].tolist() == ["astro", "neuro", "undefined", "undefined"]
    assert mixed["true_condition"].tolist() == ["neuro", "neuro", "astro", "undefined"]
    assert mixed["confidence"].tolist()[:3] == [1.0, 1.0, 1.0]
    assert outcome.record.classes == {"astro": 4, "neuro": 5, "undefined": 1}
    assert outcome.record.lines[-1] == (
        "corrections: 4 cells reviewed (Ann 2, Bob 2), 50.0% agree with the gate, 2 changed"
    )


def test_an_unknown_cell_in_the_corrections_is_refused(job, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("plate,ROI_img_name,true_condition,who\nq,D-02-01_0001,neuro,Ann\n")
    with pytest.raises(DataError, match=r"D-02-01_0001 of plate q"):
        gate.work(job(GateSettings(corrections=[path])))


def test_given_classes_and_cutoffs(job, tmp_path: Path) -> None:
    settings = GateSettings(classes={"A": "EdU", "N": "BrdU"}, cutoffs={"EdU": "840", "BrdU": 640})
    gate.work(job(settings))
    assert gated(tmp_path) == [
        "A", "A", "A", "undefined", "N", "undefined", "undefined", "N", "undefined", "undefined",
    ]  # fmt: skip


def test_auto_cutoff_of_a_class_without_monoculture_is_refused(job) -> None:
    with pytest.raises(DataError, match="--cutoff BrdU=NUMBER"):
        gate.work(job(GateSettings(classes={"astro": "EdU", "N": "BrdU"})))


def test_filters_drop_cells_with_their_reason(job, tmp_path: Path) -> None:
    outcome = gate.work(job(GateSettings(filters={"Nuclei_AreaShape_Area": (160, None)})))
    assert len(gated(tmp_path)) == 9
    (drop,) = outcome.dropped
    assert (drop.plate, drop.field, drop.reason, list(drop.labels)) == (
        "p", "D-02-01", "filter", [70000],
    )  # fmt: skip


def test_filters_that_leave_no_cell_are_named(job) -> None:
    settings = GateSettings(
        classes={"A": "EdU"}, cutoffs={"EdU": 1}, filters={"Nuclei_AreaShape_Area": (1e9, None)}
    )
    with pytest.raises(DataError, match="no cell is left"):
        gate.work(job(settings))


def test_an_unknown_filter_names_the_nearest_feature(job) -> None:
    with pytest.raises(ProjectError, match="did you mean 'Nuclei_AreaShape_Area'"):
        gate.work(job(GateSettings(filters={"Nuclei_AreaShape_Are": (1, 2)})))


# --- plates, one marker, missing values, corrections ----------------------------------------------


def plates(**exposures: float) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Plates of 60 cells a well, two wells of each culture, two fields a well; their true kinds."""
    rng = np.random.default_rng(0)
    rows, kinds = [], []
    for plate, exposure in exposures.items():
        for culture, wells in (
            ("astro", ("B02", "B03")), ("neuro", ("C02", "C03")), ("co-culture", ("D02", "D03")),
        ):  # fmt: skip
            for well in wells:
                for n in range(60):
                    kind = culture if culture != "co-culture" else ("astro", "neuro")[n % 2]
                    light = rng.lognormal(6, 0.3)
                    site, low = n % 2 + 1, rng.normal(100, 6, 2)
                    rows.append({
                        "Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site,
                        "Metadata_ObjectNumber": n + 1,
                        "Metadata_ROI_img_name": f"{well[0]}-{well[1:]}-{site:02d}_{n + 1:04d}",
                        "Metadata_Target": culture,
                        "EdU": exposure * (low[0] + light * (kind == "astro")),
                        "BrdU": exposure * (low[1] + light * (kind == "neuro")),
                    })  # fmt: skip
                    kinds.append(kind)
    everything = pd.DataFrame(rows)
    names = {m: f"Nuclei_Intensity_MeanIntensity_{m}" for m in ("EdU", "BrdU")}
    cells = everything.drop(columns=list(names))
    return cells, everything.rename(columns=names), np.array(kinds)


def read_gate(tmp_path: Path) -> tuple[pd.DataFrame, dict]:
    data = pd.read_csv(tmp_path / "gate" / "GT_data.csv")
    return data, json.loads((tmp_path / "gate" / "cutoffs.json").read_text())


def test_plates_of_different_exposure(tmp_path: Path) -> None:
    cells, markers, kinds = plates(a=0.2, b=1.0, c=5.0)
    outcome = gate.work(job_of(tmp_path, GateSettings(), cells, markers))
    data, cutoffs = read_gate(tmp_path)
    assert (data["true_condition"] == kinds).mean() > 0.99
    assert outcome.warnings == []
    found = cutoffs["EdU"]["per_plate"]
    assert found["c"]["cutoff"] / found["a"]["cutoff"] == pytest.approx(25, rel=0.2)
    assert cutoffs["EdU"]["cutoff"] == found["b"]["cutoff"]
    assert found["a"]["n_positive"] == 120
    assert cutoffs["EdU"]["n_positive"] == 360
    assert any("EdU > " in line and " on a, " in line for line in outcome.record.lines)

    outcome = gate.work(job_of(tmp_path, GateSettings(per="project"), cells, markers))
    data, cutoffs = read_gate(tmp_path)
    assert "per_plate" not in cutoffs["EdU"]
    assert (data["true_condition"] == kinds).mean() < 0.8
    assert any("EdU is brighter on plate c than on plate a" in w for w in outcome.warnings)


def test_one_plate_is_given_its_cutoff(tmp_path: Path) -> None:
    cells, markers, kinds = plates(a=0.2, b=1.0)
    settings = GateSettings(per="project", cutoffs={"a/EdU": 30.0, "b/EdU": 150.0, "BrdU": 1e9})
    outcome = gate.work(job_of(tmp_path, settings, cells, markers))
    data, cutoffs = read_gate(tmp_path)
    plate = data["plate"].to_numpy()
    # background 100 and light of 400 at exposure 1: 20 and 80 at 0.2, so both cutoffs separate
    assert (data["true_condition"] == "astro").tolist() == (kinds == "astro").tolist()
    assert {p: e["cutoff"] for p, e in cutoffs["EdU"]["per_plate"].items()} == {"a": 30, "b": 150}
    assert cutoffs["EdU"]["given"]
    assert any("30.0 on a, 150.0 on b" in line for line in outcome.record.lines)
    stored = pd.read_parquet(tmp_path / "gate" / "intensities.parquet")
    assert stored["Metadata_Plate"].tolist() == plate.tolist()
    above = stored["EdU"] > stored["Metadata_Plate"].map({"a": 30.0, "b": 150.0})
    assert above.tolist() == (kinds == "astro").tolist()


def test_a_plate_without_monocultures_is_gated_with_the_others(tmp_path: Path) -> None:
    cells, markers, kinds = plates(a=1.0, b=1.0)
    keep = ~((cells["Metadata_Plate"] == "b") & (cells["Metadata_Target"] == "neuro"))
    cells, markers = cells[keep], markers[keep]
    gate.work(job_of(tmp_path, GateSettings(), cells, markers))
    assert (read_gate(tmp_path)[0]["true_condition"] == kinds[keep]).mean() > 0.99
    with pytest.raises(DataError, match="plate b does not hold the monocultures"):
        gate.work(job_of(tmp_path, GateSettings(per="plate"), cells, markers))


@pytest.mark.parametrize("classes", [{}, {"astro": "EdU", "neuro": "!EdU"}])
def test_one_marker_and_two_lines(tmp_path: Path, classes: dict[str, str]) -> None:
    cells, markers, kinds = plates(a=1.0)
    markers = markers.drop(columns="Nuclei_Intensity_MeanIntensity_BrdU")
    outcome = gate.work(job_of(tmp_path, GateSettings(classes=classes), cells, markers))
    data, cutoffs = read_gate(tmp_path)
    assert (data["true_condition"] == kinds).mean() > 0.99
    assert list(cutoffs) == ["EdU"]
    assert cutoffs["EdU"]["class"] == "astro"
    assert cutoffs["EdU"]["specificity"] > 0.99
    assert (tmp_path / "gate" / "scatter.png").read_bytes().startswith(b"\x89PNG")
    assert any(line.startswith("neuro: EdU not > ") for line in outcome.record.lines)


def test_a_cell_without_a_value_has_no_class(tmp_path: Path) -> None:
    cells, markers, _ = plates(a=1.0)
    markers.loc[3, "Nuclei_Intensity_MeanIntensity_BrdU"] = np.nan
    markers = markers.drop(index=5)  # the round lacks this cell
    gate.work(job_of(tmp_path, GateSettings(), cells, markers))
    data, _ = read_gate(tmp_path)
    assert data["true_condition"][[3, 5]].tolist() == ["undefined"] * 2
    assert data["confidence"][[3, 5]].isna().all()


def test_probabilities_and_contamination(tmp_path: Path) -> None:
    cells, markers, _ = plates(a=1.0)
    # 6 of the 120 cells of the monoculture of astro are in truth neuro
    strangers = np.flatnonzero(cells["Metadata_Target"] == "astro")[::20]
    columns = [f"Nuclei_Intensity_MeanIntensity_{m}" for m in ("EdU", "BrdU")]
    markers.loc[strangers, columns] = markers.loc[strangers, columns[::-1]].to_numpy()
    outcome = gate.work(job_of(tmp_path, GateSettings(), cells, markers))
    data, _ = read_gate(tmp_path)
    assert data.loc[strangers, "p_neuro"].min() > 0.9
    decided = data["true_condition"] != "undefined"
    own = np.where(data["true_condition"] == "astro", data["p_astro"], data["p_neuro"])
    assert data["confidence"][decided].tolist() == own[decided].tolist()
    held = pd.read_csv(tmp_path / "gate" / "contamination.csv").set_index(["culture", "cells_are"])
    row = held.loc["astro", "neuro"]
    assert row["share"] == pytest.approx(6 / 120, abs=0.01)
    assert row["low"] <= 0.05 <= row["high"]
    assert any("label noise" in line for line in outcome.record.lines)
    assert any("monoculture astro are neuro" in line for line in outcome.record.lines)


def test_background_and_bleed_through_are_told_and_removed(tmp_path: Path) -> None:
    cells, markers, kinds = plates(a=1.0)
    edu, brdu = (f"Nuclei_Intensity_MeanIntensity_{m}" for m in ("EdU", "BrdU"))
    markers[brdu] += 0.5 * (markers[edu] - 100)
    shift = np.where(markers["Metadata_Site"] == 2, 300.0, 0.0)
    for marker in ("EdU", "BrdU"):
        markers[f"Nuclei_Intensity_MeanIntensity_{marker}"] += shift
        markers[f"Patch_Intensity_MinIntensity_{marker}"] = 95.0 + shift

    def right(**settings: object) -> float:
        outcome = gate.work(job_of(tmp_path, GateSettings(**settings), cells, markers))
        told[:] = outcome.record.lines
        return (read_gate(tmp_path)[0]["true_condition"] == kinds).mean()

    told: list[str] = []
    plain = right()
    assert any("--background field" in line for line in told)
    with_field = right(background="field")
    assert any("--unmix" in line for line in told)
    both = right(background="field", unmix=True)
    assert not any("--unmix" in line or "--background" in line for line in told)
    assert plain < with_field < both
    assert both > 0.99


def test_a_background_that_was_not_measured_is_an_error(job) -> None:
    with pytest.raises(ProjectError, match="Patch to features"):
        gate.work(job(GateSettings(background="patch")))
