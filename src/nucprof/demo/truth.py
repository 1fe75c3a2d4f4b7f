"""How well a processed demo plate agrees with its truth."""

from __future__ import annotations

import numpy as np

from nucprof.demo.plate import Demo
from nucprof.io.images import read_labels
from nucprof.io.results import Results
from nucprof.io.tables import read_table
from nucprof.plate.keys import parse_cell_key


def compare(demo: Demo, results: Results) -> list[str]:
    """Lines that report the shift error, the nuclei found, and the share of correct classes."""
    registered = read_table(results.registration)
    shifts = demo.shifts.set_index("field")
    fields = [
        f"{w[0]}-{w[1:]}-{s:02d}"
        for w, s in zip(registered["well"], registered["site"], strict=True)
    ]
    true = shifts.loc[fields, ["shift_y", "shift_x"]].to_numpy()
    error = np.hypot(*(registered[["shift_y", "shift_x"]].to_numpy() - true).T)
    gated = read_table(results.classes)
    kinds = demo.cells.set_index(["field", "label"])["class"]
    right = decided = matched = 0
    for field, rows in gated.groupby(gated["Metadata_ROI_img_name"].str.rsplit("_", n=1).str[0]):
        found = read_labels(results.mask("demo", "nuclei", str(field)))
        truth = read_labels(demo.folder / "truth" / "nuclei" / f"{field}.tif")
        for name, called in zip(rows["Metadata_ROI_img_name"], rows["true_condition"], strict=True):
            under = truth[found == parse_cell_key(name)[1]]
            label = int(np.bincount(under).argmax())
            matched += label > 0
            if label and called != "undefined":
                decided += 1
                right += kinds[str(field), label] == called
    count = len(gated)
    return [
        f"shift error: median {np.median(error):.2f} px, largest {error.max():.2f} px",
        f"nuclei: {matched} of {count} lie on a true nucleus",
        f"true classes: {decided} of {count} cells decided, "
        f"{right / max(decided, 1):.1%} of them right",
    ]
