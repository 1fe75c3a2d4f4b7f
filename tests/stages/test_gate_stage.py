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


@pytest.fixture
def job(tmp_path: Path):
    def make(settings: GateSettings) -> GateJob:
        tables = {"CP": tmp_path / "CP.parquet", "R": tmp_path / "GT_R.parquet"}
        table(Nuclei_AreaShape_Area=[200.0] * 9 + [5]).to_parquet(tables["CP"])
        markers = table(
            Nuclei_Intensity_MeanIntensity_EdU=EDU, Nuclei_Intensity_MeanIntensity_BrdU=BRDU
        )
        # another order of rows: the join is by key
        markers.sample(frac=1, random_state=1).to_parquet(tables["R"])
        return GateJob(
            inputs=tuple(tables.values()),
            outputs=(),
            settings=settings,
            markers={"EdU": "R", "BrdU": "R"},
            compartment="Nuclei",
            tables=tables,
            folder=tmp_path / "gate",
        )

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
    assert (tmp_path / "gate" / "scatter.png").read_bytes().startswith(b"\x89PNG")
    counts = pd.read_csv(tmp_path / "gate" / "counts.csv")
    assert counts["cells"].sum() == 10


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


def test_an_unknown_filter_names_the_nearest_feature(job) -> None:
    with pytest.raises(ProjectError, match="did you mean 'Nuclei_AreaShape_Area'"):
        gate.work(job(GateSettings(filters={"Nuclei_AreaShape_Are": (1, 2)})))
