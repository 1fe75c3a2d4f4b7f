"""File names of microscopes: every built-in pattern, the choice between them, the user's own."""

from __future__ import annotations

import re

import pytest

from nucprof.errors import ProjectError
from nucprof.plate.keys import FieldKey
from nucprof.plate.patterns import BUILT_IN, channel_aliases, choose_pattern, user_pattern

B02 = FieldKey("B", 2, 1)
GUID = "8A5BDEA0-25B9-4E4D-8A5D-4B1F3A6A5C0B"

NAMES = [
    ("B-02-01", "field", B02, None),
    ("B-02", "field", B02, None),
    ("AA-123-07", "field", FieldKey("AA", 123, 7), None),
    ("B-02-01_DAPI", "field-channel", B02, "DAPI"),
    ("B-02-01-Cy3_bright", "field-channel", B02, "Cy3_bright"),
    # NIS-Elements JOBS, as published
    (
        "WellB02_PointB02_0001_ChannelDAPI,FITC,Cy3,Cy5_Seq0012",
        "nis-jobs",
        B02,
        "DAPI,FITC,Cy3,Cy5",
    ),
    (
        "WellC11_PointC11_0014_ChannelDAPI,FITC_Seq0333",
        "nis-jobs",
        FieldKey("C", 11, 14),
        "DAPI,FITC",
    ),
    ("WellAA02_PointAA02_0003_ChannelDAPI_Seq0001", "nis-jobs", FieldKey("AA", 2, 3), "DAPI"),
    ("20240101_101112_WellB02_PointB02_0001_ChannelDAPI_Seq0012", "nis-jobs", B02, "DAPI"),
    ("WellB02_PointB02_0001_ChannelDAPI 405,far red_Seq0012", "nis-jobs", B02, "DAPI 405,far red"),
    ("WellB02_PointB02_0001_Seq0012", "nis-jobs", B02, None),
    ("WellB02_PointB02_0001", "nis-jobs", B02, None),
    # MetaXpress
    ("A01_s1_w1", "imagexpress", FieldKey("A", 1, 1), "1"),
    ("plate7_P24_s9_w4", "imagexpress", FieldKey("P", 24, 9), "4"),
    (f"exp_A01_s2_w3{GUID}", "imagexpress", FieldKey("A", 1, 2), "3"),
    ("A01_w2", "imagexpress", FieldKey("A", 1, 1), "2"),
    ("a01_S3_W2", "imagexpress", FieldKey("A", 1, 3), "2"),
    ("plate_A01_s4", "imagexpress-merged", FieldKey("A", 1, 4), None),
    # one file per well, or per field
    ("B02", "well", B02, None),
    ("B2_3", "well", FieldKey("B", 2, 3), None),
    ("Well C11_site12", "well", FieldKey("C", 11, 12), None),
    # GE IN Cell
    ("B - 02(fld 3 wv DAPI - DAPI)", "incell", FieldKey("B", 2, 3), "DAPI"),
    ("B - 2(fld 03)", "incell", FieldKey("B", 2, 3), None),
    # Opera, Operetta (Harmony)
    ("r01c02f03p01-ch1sk1fk1fl1", "harmony", FieldKey("A", 2, 3), "1"),
    ("r16c24f100p01-ch4", "harmony", FieldKey("P", 24, 100), "4"),
    ("r27c01f01p01-ch2sk1fk1fl1", "harmony", FieldKey("AA", 1, 1), "2"),
    # one file per channel, channel first (BBBC013)
    ("Channel1-01-A-01", "channel-first", FieldKey("A", 1, 1), "1"),
    ("Channel2-96-H-12", "channel-first", FieldKey("H", 12, 1), "2"),
]


@pytest.mark.parametrize(("stem", "pattern", "key", "channel"), NAMES)
def test_published_names(stem, pattern, key, channel):
    chosen = choose_pattern([stem])
    assert chosen.name == pattern
    parsed = chosen.parse(stem)
    assert (parsed.key, parsed.channel) == (key, channel)


@pytest.mark.parametrize(("stem", "pattern"), [name[:2] for name in NAMES])
def test_a_name_belongs_to_one_pattern(stem, pattern):
    assert [p.name for p in BUILT_IN if p.parse(stem) is not None] == [pattern]


@pytest.mark.parametrize(
    ("stem", "pattern", "channel", "z", "t"),
    [
        ("exp_A01_s3_w1_z2_t4", "imagexpress", "1", 2, 4),
        ("exp_A01_w1_s3_t4_z12", "imagexpress", "1", 12, 4),
        ("A01_s3_z2_w2", "imagexpress", "2", 2, 1),
        (f"A01_s3_w2_z5{GUID}", "imagexpress", "2", 5, 1),
        ("plate_A01_s3_z2_t1", "imagexpress-merged", None, 2, 1),
        ("exp_A01_s3_c2_z07_t0", "tagged", "2", 7, 0),
        ("A01_F3_Z2_CH1_T3", "tagged", "1", 2, 3),
        ("r01c01f03p07-ch1sk2fk1fl1", "harmony", "1", 7, 2),
        ("plate_A01_T0002F003L01A01Z05C04", "cellvoyager", "04", 5, 2),
        ("A - 01(fld 3 wv FITC - Cy3 z 4 time 2 - 300 ms)", "incell", "FITC - Cy3", 4, 2),
    ],
)
def test_focal_planes_and_times(stem, pattern, channel, z, t):
    chosen = choose_pattern([stem])
    assert chosen.name == pattern
    parsed = chosen.parse(stem)
    assert parsed.key == FieldKey("A", 1, 3)
    assert (parsed.channel, parsed.z, parsed.t) == (channel, z, t)
    assert [p.name for p in BUILT_IN if p.parse(stem) is not None] == [pattern]


@pytest.mark.parametrize("pattern", BUILT_IN, ids=lambda p: p.name)
def test_the_examples_in_messages_are_read_by_their_pattern(pattern):
    assert pattern.parse(pattern.example) is not None
    assert choose_pattern(["nonsense"], pattern.name) is pattern


@pytest.mark.parametrize(
    "stem",
    [
        "notes",
        "overview_B02_final",
        "r01c02f03-ch1",
        "A01_s1_w1_thumb",
        "B-02-01_0001",
    ],
)
def test_names_that_say_no_field(stem):
    assert [p.name for p in BUILT_IN if p.parse(stem) is not None] == []


def test_the_pattern_that_reads_most_names_wins():
    stems = ["B-02-01", "A01_s1_w1", "A01_s1_w2", "A02_s1_w1"]
    assert choose_pattern(stems).name == "imagexpress"


def test_no_built_in_pattern_reads_a_name():
    with pytest.raises(ProjectError) as caught:
        choose_pattern(["scan 1 of well two", "scan 2"])
    message = str(caught.value)
    assert "'scan 1 of well two'" in message
    assert "rename.pattern" in message
    assert all(p.example in message for p in BUILT_IN)


class TestUsersOwn:
    def test_rows_and_columns(self):
        pattern = choose_pattern(["x"], r"row(?P<row>\d+)col(?P<column>\d+)(?:f(?P<site>\d+))?")
        assert pattern.parse("scan_row02col11f3").key == FieldKey("B", 11, 3)
        assert pattern.parse("scan_row02col11").key == FieldKey("B", 11, 1)

    def test_well_and_channel(self):
        pattern = user_pattern(r"^(?P<well>[a-h]\d\d)_(?P<channel>\w+)$")
        parsed = pattern.parse("b02_dapi")
        assert (parsed.key, parsed.channel) == (B02, "dapi")

    def test_no_regular_expression(self):
        with pytest.raises(
            ProjectError, match=r"rename\.pattern is not a regular expression: missing \)"
        ):
            user_pattern("(?P<row>.")

    @pytest.mark.parametrize("text", ["B-02", "(?P<row>.)", r"(?P<column>\d+)(?P<site>\d+)"])
    def test_groups_that_are_missing(self, text):
        with pytest.raises(ProjectError, match=r"needs the groups \(\?P<row>\.\.\.\) and"):
            user_pattern(text)

    def test_groups_that_mean_nothing(self):
        with pytest.raises(ProjectError, match=re.escape("unknown groups ['field']")):
            user_pattern(r"(?P<well>.\d\d)(?P<field>\d)")

    @pytest.mark.parametrize(
        ("text", "stem"),
        [
            (r"(?P<well>\w+)_x", "nowell_x"),
            (r"(?P<row>\w)(?P<column>\w)_(?P<site>\w+)", "B2_one"),
            (r"(?P<row>.)(?P<column>.)", "Bx"),
            (r"(?P<row>[A-Z]*)(?P<column>\d+)", "12"),
            (r"(?P<row>[A-Z])?(?P<column>\d+)", "12"),
        ],
    )
    def test_groups_that_catch_no_well_do_not_match(self, text, stem):
        assert user_pattern(text).parse(stem) is None


@pytest.mark.parametrize(
    ("token", "aliases"),
    [
        ("DAPI", ("DAPI",)),
        ("1", ("1", "1", "Channel1", "channel1", "ch1", "w1", "C1")),
        ("01", ("01", "1", "Channel1", "channel1", "ch1", "w1", "C1")),
    ],
)
def test_spellings_of_a_channel_token(token, aliases):
    assert channel_aliases(token) == aliases
