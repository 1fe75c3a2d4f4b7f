"""Which cells a report holds pictures of: mistakes first, all classes, few fields."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nucprof.report.cell_pictures import LIMITS, Pixels, encode
from nucprof.report.viewer import choose_cells


def cells_of(wells: int = 6, sites: int = 4, per_field: int = 20) -> pd.DataFrame:
    rows = [
        ("p", f"D-{well:02d}-{site:02d}_{n:04d}", "a" if n % 4 else "b")
        for well in range(1, wells + 1)
        for site in range(1, sites + 1)
        for n in range(1, per_field + 1)
    ]
    names = ["Metadata_Plate", "Metadata_ROI_img_name", "class"]
    return pd.DataFrame(rows, columns=names).assign(culture="co-culture")


def test_mistakes_come_first_and_the_rest_is_balanced():
    cells = cells_of()
    cells["forest"] = cells["class"]
    wrong = [3, 100, 333]
    cells.loc[wrong, "forest"] = "c"
    chosen = choose_cells(cells, ["forest"], most_cells=43, most_fields=100)
    assert len(chosen) == 43
    keys = set(cells["Metadata_ROI_img_name"][wrong])
    assert set(chosen["Metadata_ROI_img_name"].head(3)) == keys
    # three in four cells are of class a; the sample holds equally many of both
    assert chosen["label"][3:].value_counts().to_dict() == {"a": 20, "b": 20}


def test_fields_are_few_and_spread_over_wells():
    cells = cells_of()
    chosen = choose_cells(cells, [], most_cells=1000, most_fields=7)
    fields = {key[:7] for key in chosen["Metadata_ROI_img_name"]}
    assert len(fields) == 7
    assert {field[:4] for field in fields} == {f"D-{n:02d}" for n in range(1, 7)}


def test_mistakes_leave_room_for_others():
    cells = cells_of()
    cells["forest"] = "c"
    cells.loc[:99, "forest"] = cells["class"][:100]
    chosen = choose_cells(cells, ["forest"], most_cells=100, most_fields=100)
    assert (chosen["mistake"]).sum() == 50
    few = choose_cells(cells.assign(forest="c"), ["forest"], most_cells=100, most_fields=100)
    assert few["mistake"].sum() == 100


def test_no_cell_is_no_sample():
    assert not len(choose_cells(cells_of().head(0), [], most_cells=10))


def test_a_plates_crops_share_their_limits():
    """A dim and a bright cell of one plate stay different; another plate has its own scale."""
    mask = np.ones((8, 8), dtype=bool)

    def cell(plate, level):
        ramp = np.linspace(0, level, 64, dtype=np.float32).reshape(1, 8, 8)
        return Pixels(plate, "B-02-01_0001", ramp, mask)

    from io import BytesIO

    from PIL import Image

    def brightest(jpeg):
        with Image.open(BytesIO(jpeg)) as picture:
            assert picture.size == (8, 16)
            return int(np.asarray(picture)[:8].max())

    dim, bright, other = encode([cell("p", 100), cell("p", 1000), cell("q", 100)])
    assert LIMITS[1] > 99
    assert brightest(bright) > 240
    assert brightest(dim) < 40
    assert brightest(other) > 240
