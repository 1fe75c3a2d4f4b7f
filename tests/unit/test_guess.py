"""Patterns proposed for file names that no built-in one reads."""

from __future__ import annotations

import itertools

import pytest

from nucprof.errors import ProjectError
from nucprof.plate.guess import propose_pattern
from nucprof.plate.patterns import BUILT_IN, user_pattern

ROWS, COLUMNS, SITES, STAINS = "BCD", (2, 3, 11), (1, 2, 3), ("DAPI", "Cy3", "FITC")


def every(form, **more):
    """All names of a small plate: row, column, site and channel by a form."""
    return [
        form.format(row=r, column=c, site=s, n=i, number=1 + STAINS.index(w), stain=w, **more)
        for i, (r, c, s, w) in enumerate(itertools.product(ROWS, COLUMNS, SITES, STAINS))
    ]


FORMS = [
    "{row}{column:02d}-{site}-{stain}",
    "exp7_{row}{column:02d}f{site:02d}d{number}",
    "Zelle {row}{column} Bild {site} {stain}",
    "2024-05-12 {row}{column:02d} fov{site} ch{number}",
    "plate1.{row}.{column}.{site}.{stain}",
    "img_{site:03d}_well_{row}{column:02d}_{stain}_{n:05d}",
    "{stain}_{row}{column:02d}_{site}",
    "Row{row}_Col{column:02d}_Site{site}_{stain}",
    "{row}{column:02d}_Ü{site}_{stain}",
    "x{n:04d} {row}-{column:02d} pos {site} wv {stain}",
]


@pytest.mark.parametrize("form", FORMS)
def test_row_column_site_and_channel(form):
    names = every(form)
    assert not any(p.parse(name) for p in BUILT_IN for name in names[:1])
    pattern = user_pattern(propose_pattern(names).pattern)
    read = [pattern.parse(name) for name in names]
    expected = list(itertools.product(ROWS, COLUMNS, SITES, STAINS))
    assert [(p.key.row, p.key.column, p.key.site) for p in read] == [e[:3] for e in expected]
    tokens = {
        w: {p.channel for p, e in zip(read, expected, strict=True) if e[3] == w} for w in STAINS
    }
    assert all(len(t) == 1 for t in tokens.values())
    assert len(set.union(*tokens.values())) == len(STAINS)


def test_rows_as_numbers():
    names = [f"r{r}_c{c:02d}_img{s}" for r in (2, 3) for c in (4, 5) for s in (1, 2)]
    pattern = user_pattern(propose_pattern(names).pattern)
    assert str(pattern.parse("r2_c04_img2").key) == "B-04-02"


def test_focal_planes_and_times():
    names = [f"{w} z{z} t{t}" for w in ("B02", "C03") for z in (1, 2) for t in (1, 2)]
    parsed = user_pattern(propose_pattern(names).pattern).parse("C03 z2 t1")
    assert (str(parsed.key), parsed.z, parsed.t) == ("C-03-01", 2, 1)


def test_one_plate_row_beside_a_tag():
    names = [f"scan_{c:02d}A_s{s}_A{c:02d}" for c in (1, 2) for s in (1, 2)]
    parsed = user_pattern(propose_pattern(names).pattern).parse("scan_02A_s1_A02")
    assert str(parsed.key) == "A-02-01"


@pytest.mark.parametrize(
    "stains",
    [
        ("Hoechst 33342", "Alexa 488", "TRITC", "Cy5"),  # words and numbers in some
        ("EdU", "BrdU"),  # a last letter in common
        ("EdU", "Hoechst 33342"),
        ("Cy3", "Cy5"),
    ],
)
def test_names_of_stains_stay_whole(stains):
    wells = [(row, column) for row in ROWS for column in COLUMNS]
    names = [f"2025-03-04_Ana_{r}{c}_pos1_{stain}" for r, c in wells for stain in stains]
    pattern = user_pattern(propose_pattern(names).pattern)
    read = [pattern.parse(name) for name in names]
    assert [p and p.channel for p in read] == list(stains) * len(wells)
    assert [(p.key.row, p.key.column) for p in read[:: len(stains)]] == wells


def test_a_stray_name_does_not_decide():
    names = [*every(FORMS[0]), "overview of the plate"]
    assert user_pattern(propose_pattern(names).pattern).parse("overview of the plate") is None


def test_what_varies_is_told():
    lines = propose_pattern(every(FORMS[5])).varying()
    assert lines[0] == "site: 001, 002, 003 (3 values)"
    assert lines[1] == "row: B, C, D (3 values)"
    assert lines[-1] == "not used: 00000, 00001, 00002, 00003 ... (81 values)"


def test_names_without_a_well():
    with pytest.raises(ProjectError, match=r"e\.g\. 'scan 1', 'scan 2', and nothing .*--pattern"):
        propose_pattern(["scan 1", "scan 2"])
