"""Figures are written as PNGs, say how many cells they show, and touch no global state."""

import io
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from nucprof.figures import canvas, classifiers, crops, gates, overview, plots
from nucprof.figures.inline import Inline

PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)
X, Y = RNG.lognormal(5, 1, size=(2, 60))
LABELS = np.array(["astro", "neuro", "undefined"] * 20)
CURVES = {
    name: {"x": np.array([0, 0.5, 1]), "y": np.array([0, 0.9, 1]), "area": 0.9, "base": 0.5}
    for name in ("astro", "neuro")
}
HISTORY = {
    "epoch": [0, 1, 0, 1], "seed": [0, 0, 1, 1], "repeat": [0] * 4,
    "train_loss": [0.7, 0.3, 0.7, 0.4], "validation_loss": [0.7, 0.5, 0.6, 0.8],
    "validation_f1": [0.5, 0.9, 0.6, 0.7],
}  # fmt: skip
COMPOSITION = {
    "plate": ["rep1"] * 4, "well": ["B02", "B02", "B03", "B03"], "class": ["astro", "neuro"] * 2,
    "n_cells": [10, 10, 20, 20], "share": [0.2, 0.8, 0.5, 0.5], "low": [0.1, 0.7, 0.4, 0.4],
    "high": [0.3, 0.9, 0.6, 0.6],
}  # fmt: skip
WELLS = {("A", 1): 0.1, ("B", 12): 0.9, ("AA", 3): np.nan}


@pytest.fixture
def texts(monkeypatch):
    """Every text of the figure that was saved last."""
    found = []

    def collect(figure, *args, **kwargs):
        original(figure, *args, **kwargs)  # names on axes are written when drawn
        found[:] = [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]

    original = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", collect)
    return found


STRATA = [
    {"low": 10.0, "high": 12.0, "cells_per_class": {"astro": 1200, "neuro": 0},
     "recall_per_class": {"astro": 0.9}},
    {"low": 13.0, "high": 40.0, "cells_per_class": {"astro": 5, "neuro": 700},
     "recall_per_class": {"astro": 0.8, "neuro": 1.0}},
]  # fmt: skip
DRAWN = {
    "confusion": (
        lambda t: classifiers.confusion(t, [[90, 10], [3, 97]], ["astro", "neuro"], title="forest"),
        ["n = 200 cells", "90.0%\n(90)", "predicted class", "true class"],
    ),
    "roc": (
        lambda t: classifiers.roc(t, CURVES, title="n = 200"),
        ["astro (AUC 0.900)", "true positive rate"],
    ),
    "pr": (
        lambda t: classifiers.precision_recall(t, CURVES, title="n = 200"),
        ["neuro (average precision 0.900)", "recall"],
    ),
    "importance": (
        lambda t: classifiers.importance(t, ["a", "b"], [0.7, 0.3], [0.2, 0.0], title="forest"),
        ["(2 of 2 features)", "impurity decrease"],
    ),
    "history": (
        lambda t: classifiers.training_history(t, HISTORY, title="resnet18"),
        ["macro-F1 on validation wells", "kept", "resnet18, 2 runs"],
    ),
    "learning curve": (
        lambda t: classifiers.learning_curve(
            t, {"n_train": [50, 50, 200], "f1_macro": [0.8, 0.82, 0.9]}
        ),
        ["training cells (all classes)", "200", "3 runs", "mean ± SD of runs"],
    ),
    "density": (
        lambda t: classifiers.density_strata(t, STRATA, ["astro", "neuro"], title="forest"),
        ["cells in the field", "10 to 12", "1,200", "neuro", "numbers of cells"],
    ),
    "ablation": (
        lambda t: classifiers.ablation(t, {"without": ["", "DNA"], "f1_macro": [0.9, 0.6]}),
        ["all channels", "without DNA", "macro-F1 on unseen wells"],
    ),
    "gate": (
        lambda t: gates.gate_scatter(
            t, {"rep1": gates.GatePanel(X, Y, LABELS, (150.0, None))},
            classes=["astro", "neuro", "undefined"], axis_names=("EdU", "BrdU"),
        ),
        ["EdU mean intensity (grey levels; cutoff 150)", "BrdU mean intensity (grey levels)",
         "rep1\nn = 60 cells", "undefined (20)"],
    ),
    "gates of four plates": (
        lambda t: gates.gate_scatter(
            t, {f"rep{n}": gates.GatePanel(X * n, Y - 500, LABELS, (n, None)) for n in range(1, 5)},
            classes=["astro", "neuro"], axis_names=("EdU", "BrdU"),
        ),
        ["rep4\nn = 60 cells", "EdU mean intensity (grey levels; cutoff 4)"],
    ),
    "gate of one marker": (
        lambda t: gates.gate_histogram(
            t, {"all": ({"astro": X, "neuro": np.append(Y, np.nan)}, 80.0)}, marker="EdU",
        ),
        ["EdU mean intensity (grey levels; cutoff 80)", "share of the culture's cells",
         "neuro (60)", "all\nn = 120 cells"],
    ),
    "gate of equal values": (
        lambda t: gates.gate_histogram(t, {"all": ({"astro": np.ones(3)}, None)}, marker="EdU"),
        ["astro (3)"],
    ),
    "umap": (
        lambda t: plots.umap_scatter(t, X, Y, {"class": LABELS, "density": X}, title="cells"),
        ["UMAP 1", "class", "density", "n = 60 cells"],
    ),
    "numbers on a plate": (
        lambda t: overview.number_map(t, {"rep1": WELLS}, label="treated fraction"),
        ["treated fraction", "×", "AA", "12", "0.9"],
    ),
    "numbers on plates": (
        lambda t: overview.number_map(
            t, {"rep1": WELLS, "rep2": {("A", 1): 0.5}}, label="share", limits=(0, 1)
        ),
        ["rep1", "rep2", "share"],
    ),
    "layout": (
        lambda t: overview.layout_map(
            t, {"rep1": {("A", 1): "astro", ("B", 2): ""}}, {"astro": "#0072B2"}
        ),
        ["rep1", "astro"],
    ),
    "composition on a plate": (
        lambda t: overview.composition_map(
            t, {"rep1": {("A", 1): {"astro": 0.2, "neuro": 0.8}}},
            {"astro": "#0072B2", "neuro": "#E69F00"},
        ),
        ["rep1", "astro", "neuro"],
    ),
    "waterfall": (
        lambda t: overview.waterfall(
            t, [("segment", "segmented", 100), ("align", "lost_nucleus", -30), ("", "kept", 70)]
        ),
        ["segmented", "align: lost nucleus", "30 (30.0%)", "70 (70.0%)"],
    ),
    "shifts on a plate": (
        lambda t: overview.shift_map(
            t, {"rep1": [overview.Shift(("A", 1), 1, 3.0, 4.0, "ok"),
                         overview.Shift(("A", 2), 1, np.nan, np.nan, "failed")]},
        ),
        ["longest arrow: 5.0 px", "ok", "failed", "×"],
    ),
    "scores": (
        lambda t: overview.scores(
            t, np.array([0.9, 0.5]), np.array([0.2, 0.6]), ["ok", "failed"]
        ),
        ["chance (null distribution)", "ok (1)", "failed (1)"],
    ),
    "classifiers": (
        lambda t: overview.classifier_bars(
            t, [overview.Bar("forest", 0.9, (0.8, 0.95), 0.5, 0.55),
                overview.Bar("network", 0.7, None, 0.5, 0.55)],
        ),
        ["forest", "0.900", "0.700", "shuffled control"],
    ),
    "composition": (
        lambda t: classifiers.composition(t, COMPOSITION, ["astro", "neuro"]),
        ["rep1: 2 wells, n = 30 cells, 95% intervals", "B03", "neuro"],
    ),
    "registration": (
        lambda t: plots.registration(
            t, np.array([1.0, 2.0, np.nan]), np.array([0.0, 1.0, np.nan]),
            np.array(["ok", "outlier", "failed"]), title="EdU_BrdU",
        ),
        ["shift in x (px)", "n = 3 fields", "failed (1, not drawn)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_a_png_that_says_what_it_shows(name, texts, tmp_path):
    draw, expected = DRAWN[name]
    before = dict(mpl.rcParams)
    draw(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(PNG)
    for text in expected:
        assert any(text in found for found in texts), (text, texts)
    assert dict(mpl.rcParams) == before


def test_figures_save_to_open_files_too():
    stream = io.BytesIO()
    classifiers.confusion(stream, [[1, 0], [0, 1]], ["a", "b"], title="t")
    assert stream.getvalue().startswith(PNG)


def test_pyplot_is_not_needed():
    code = (
        "import sys; from nucprof.figures import classifiers, plots;"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_undecided_cells_are_grey():
    colours = canvas.class_colours(["a", "undefined", "b"])
    assert colours["undefined"] == canvas.NO_CLASS
    assert len(set(colours.values())) == 3


def test_many_points_are_thinned_and_the_title_says_so(monkeypatch, texts, tmp_path):
    monkeypatch.setattr(canvas, "MOST_POINTS", 10)
    plots.umap_scatter(tmp_path / "u.png", X, Y, {"class": LABELS}, title="cells")
    assert any("n = 60 cells (10 drawn)" in text for text in texts)


def simulate(rgb: np.ndarray, kind: str) -> np.ndarray:
    """Colours as seen without one of the three kinds of cones (Machado et al. 2009), 0 to 1."""
    lacking = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                   [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
    }  # fmt: skip
    if kind == "all cones":
        return rgb
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(lacking[kind]).T, 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["all cones", "protan", "deutan", "tritan"])
def test_every_reader_can_tell_the_palette_apart(kind):
    colours = np.array([mpl.colors.to_rgb(c) for c in (*canvas.PALETTE, canvas.NO_CLASS)])
    assert len(canvas.PALETTE) == 12
    lab = rgb2lab(simulate(colours, kind))
    difference = deltaE_ciede2000(lab[:, None], lab[None])
    # a difference of 2.3 is just visible beside each other; points lie apart
    assert difference[~np.eye(13, dtype=bool)].min() > 8


def test_a_figure_in_a_page_has_its_colours_and_keeps_names_as_text(tmp_path):
    inline = Inline("x", tmp_path / "x.png")
    name = "<b>a</b> & $1$ and $2$"
    overview.layout_map(inline, {name: {("A", 1): name}}, {name: "#0072B2"})
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    assert inline.svg.startswith('<svg viewBox="0 0 ')
    assert "var(--ink)" in inline.svg
    assert "#1a2027" not in inline.svg
    assert "<b>" not in inline.svg
    assert "$1$ and $2$" in inline.svg
    assert "#0072b2" in inline.svg.lower()


def test_a_figure_in_a_page_has_the_font_of_the_page():
    inline = Inline("x")
    overview.waterfall(inline, [("segment", "segmented", 3), ("", "kept", 3)])
    assert "<text" in inline.svg
    assert "DejaVu" not in inline.svg
    assert "var(--font)" in inline.svg


@pytest.mark.parametrize("columns", [2, 8, 12])
def test_the_name_of_a_plate_lies_inside_the_figure_of_a_page(columns):
    wells = {(row, column): "a" for row in "BCD" for column in range(1, columns + 1)}
    inline = Inline("x")
    overview.layout_map(inline, {"plate 7": wells}, {"a": "#0072B2"})
    (name,) = re.findall(r"<text ([^>]*)>plate 7<", inline.svg)
    size, baseline = (float(re.search(p, name)[1]) for p in (r"([\d.]+)px", r' y="([-\d.]+)"'))
    assert baseline > 0.75 * size  # letters rise this far above their baseline


def test_a_composite_keeps_the_hue_of_bright_places():
    crop = np.zeros((4, 20, 20))
    crop[:, 5:15, 5:15] = 1.0  # all four channels at their brightest
    picture = crops.composite(crop)
    red, green, blue = picture[10, 10]
    # the tints add up to (2.2, 2.0, 1.8): the sum is scaled, not clipped to white
    assert (red, green / red, blue / red) == pytest.approx((1, 2 / 2.2, 1.8 / 2.2))
    one = np.zeros((4, 20, 20))
    one[1] = 0.5
    assert crops.composite(one)[0, 0] == pytest.approx([0, 0.5, 0.1])


CELLS = [crops.Cell(RNG.random((2, 12, 12)), f"cell {i}") for i in range(13)]


def test_a_gallery_shows_all_cells_and_a_scale_bar_where_the_size_is_known(texts, tmp_path):
    groups = {"astro": CELLS[:12], "neuro": CELLS[12:]}
    crops.gallery(tmp_path / "g.png", groups, title="cells", pixel_um=0.5)
    assert {"astro", "neuro", "cells\n13 cells", "cell 11", "1 µm"} <= set(texts)
    crops.gallery(tmp_path / "g.png", groups, title="cells")
    assert not any("µm" in text for text in texts)
    assert "2 px" in texts  # 0.3 of 12 px at most
    crops.gallery(tmp_path / "g.png", {}, title="mistakes")
    assert "mistakes\nnone" in texts


def test_attention_panels_name_channels_and_cells(texts, tmp_path):
    maps, nuclei = RNG.random((2, 12, 12)), np.zeros((2, 12, 12), bool)
    nuclei[0, 4:8, 4:8] = True  # the second cell's nucleus is not in its crop
    crops.attention_panels(
        tmp_path / "a.png", CELLS[:2], maps, nuclei, ["DNA", "GFP"], title="Grad-CAM"
    )
    assert {"DNA", "GFP", "composite", "Grad-CAM", "overlay", "cell 0", "cell 1"} <= set(texts)


def test_mean_maps_say_how_many(texts, tmp_path):
    picture = crops.composite(CELLS[0].crop)
    maps = {"astro": (RNG.random((12, 12)), picture, 7)}
    crops.mean_maps(tmp_path / "m.png", maps, title="mean")
    assert {"astro\nn = 7 cells", "mean crop", "mean attention"} <= set(texts)


def test_the_composite_is_blue_for_the_first_channel_and_green_for_the_second():
    crop = np.zeros((2, 1, 2))
    crop[0, 0, 0], crop[1, 0, 1] = 1, 1
    picture = crops.composite(crop)
    assert picture[0, 0].argmax() == 2
    assert picture[0, 1].argmax() == 1
