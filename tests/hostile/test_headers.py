"""Headers that lie: sizes, chains and archives are checked before anything is allocated."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import tifffile

from hostile import Case, ids
from nucprof.errors import FieldError, UserError
from nucprof.figures.overlay import NUCLEI, draw_overlay
from nucprof.io.images import describe, read_image
from nucprof.io.layouts import read_layout
from nucprof.io.tables import read_table, write_table

pytestmark = pytest.mark.kind("hang")

LIMITS = [
    Case(
        name=f"{section}.{key} = {value}",
        kind="hang",
        command="status {p}/project.toml",
        settings=f"[{section}]\n{extra}{key} = {value}\n",
        says=(f"{section}.{key}", "finite number" if value == "inf" else "less than or equal to"),
        plate="raw",
    )
    for section, key, value, extra in (
        ("segment", "diameter", "1e9", 'backend = "watershed"\n'),
        ("segment", "diameter", "inf", 'backend = "watershed"\n'),
        ("segment", "reach", "1e9", 'backend = "propagate"\nmode = "cells"\n'),
        ("crop", "patch_size", "1000000000", ""),
        ("features", "patch_size", "1000000000", ""),
        ("align", "max_shift_px", "1e12", ""),
        ("train.cnn", "image_size", "1000000", ""),
        ("train.cnn", "batch_size", "1000000000", ""),
        ("train.cnn", "epochs", "1000000000", ""),
        ("train.cnn", "repeats", "1000000000", ""),
        ("gradcam", "per_class", "1000000000", ""),
        ("predict", "bootstrap", "1000000000", ""),
        ("execution", "timeout", "1e9", ""),
    )
]


@pytest.mark.parametrize("case", LIMITS, ids=ids(LIMITS))
def test_a_setting_without_measure(case, run_case):
    run_case(case)


@pytest.fixture
def pages(tmp_path):
    """A plain TIFF of three planes, its bytes, and where each page names the next one."""
    path = tmp_path / "B-02-01.tif"
    image = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        offsets = [page.offset for page in file.pages]
    data = bytearray(path.read_bytes())
    links = [at + 2 + 12 * struct.unpack_from("<H", data, at)[0] for at in offsets]
    return path, data, offsets, links


@pytest.mark.parametrize(("last", "target"), [(2, 0), (2, 1), (2, 2), (0, 0), (1, 0)])
def test_a_chain_of_pages_in_a_circle(pages, last, target):
    path, data, offsets, links = pages
    struct.pack_into("<I", data, links[last], offsets[target])
    path.write_bytes(data)
    with pytest.raises(FieldError, match=r"B-02-01\.tif is damaged: its chain of planes leads in"):
        describe(path)


@pytest.mark.parametrize("target", [4, 2**31, 2**32 - 2])
def test_a_chain_that_leads_out_of_the_file(pages, target):
    path, data, _, links = pages
    struct.pack_into("<I", data, links[0], target)
    path.write_bytes(data)
    with pytest.raises(FieldError, match=r"B-02-01\.tif"):
        read_image(path)


def tag(path: Path, code: int) -> tuple[bytearray, int]:
    """The bytes of a file, and where the value of a tag of its first page is."""
    with tifffile.TiffFile(path) as file:
        return bytearray(path.read_bytes()), file.pages.first.tags[code].valueoffset


@pytest.mark.parametrize("code", [256, 257])
@pytest.mark.parametrize("size", [0, 2_000_000_000])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_size_that_the_file_cannot_hold(tmp_path, code, size, compression):
    path = tmp_path / "B-02-01.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint16), compression=compression, metadata=None)
    data, at = tag(path, code)
    struct.pack_into("<I", data, at, size)
    path.write_bytes(data)
    with pytest.raises(FieldError, match=r"B-02-01\.tif"):
        read_image(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_rows_that_are_not_in_the_file_are_not_read_as_zeros(tmp_path, compression):
    path = tmp_path / "B-02-01.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint16), compression=compression, metadata=None)
    data, at = tag(path, 257)
    struct.pack_into("<I", data, at, 80)
    path.write_bytes(data)
    with pytest.raises(FieldError, match=r"B-02-01\.tif"):
        read_image(path)


@pytest.mark.parametrize("what", ["no strip", "beyond the end"])
def test_a_part_that_is_missing(tmp_path, what):
    path = tmp_path / "B-02-01.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint16), rowsperstrip=16, metadata=None)
    code = 279 if what == "no strip" else 273  # bytes of the strips, or where they are
    data, at = tag(path, code)
    struct.pack_into("<I" if code == 273 else "<H", data, at + (4 if code == 273 else 2),
                     0 if code == 279 else 2**30)  # fmt: skip
    path.write_bytes(data)
    with pytest.raises(FieldError, match=r"a part of a plane is missing"):
        read_image(path)


@pytest.mark.parametrize("value", [(1, 0), (0, 0), (0, 1), (2**32 - 1, 1)])
def test_a_resolution_without_sense(tmp_path, value):
    path = tmp_path / "B-02-01.tif"
    image = np.ones((8, 9), np.uint16)
    tifffile.imwrite(path, image, resolution=(10, 10), resolutionunit="CENTIMETER", metadata=None)
    data, at = tag(path, 282)
    struct.pack_into("<II", data, at, *value)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path)[0], image)
    size = describe(path).pixel_size_um
    assert size is None or 0 < size < 1e5


def png(path: Path, width: int, height: int) -> None:
    """A PNG whose header promises a size, with hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (0, 5), (60, 60)])
def test_a_png_that_promises_more_than_it_holds(tmp_path, size):
    path = tmp_path / "B-02-01.png"
    png(path, *size)
    with pytest.raises(FieldError, match=r"B-02-01\.png"):
        read_image(path)


@pytest.mark.parametrize("axis", ["SizeZ", "SizeT", "SizeC"])
def test_ome_xml_with_a_thousand_million_planes(tmp_path, axis):
    path = tmp_path / "B-02-01.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint16), metadata={"axes": "ZYX"}, ome=True)
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata
    size = 2 if axis == "SizeZ" else 1
    short, long = f'{axis}="{size}"', f'{axis}="1000000000"'
    assert short in text
    changed = text.replace(short, long)
    surplus = len(changed) - len(text)  # the place of the text must not grow
    changed = changed.replace(
        "http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd",
        "x" * (len("http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd") - surplus),
        1,
    )
    assert len(changed) == len(text)
    path.write_bytes(data.replace(text.encode(), changed.encode()))
    with pytest.raises(FieldError, match=r"B-02-01\.ome\.tif"):
        read_image(path)


@pytest.mark.parametrize("shape", [(3, 200_000), (200_000, 3), (1, 60_000)])
def test_the_overlay_of_a_long_image_is_not_enlarged_without_end(shape):
    picture = draw_overlay(np.ones(shape, np.uint16), [(np.zeros(shape, np.uint16), NUCLEI)])
    assert picture.size == shape[::-1]


class TestSheets:
    @pytest.fixture
    def book(self, tmp_path):
        book = openpyxl.Workbook()
        book.active.title = "Culture"
        for row in ((None, 1, 2), ("A", "astro", "neuro")):
            book.active.append(row)
        return book, tmp_path / "layout.xlsx"

    @pytest.mark.parametrize("place", ["XFD1048576", "A1048576", "XFD1", "ZZ300"])
    def test_a_stray_cell_far_away(self, book, place):
        held, path = book
        held.active[place] = "x"
        held.save(path)
        with pytest.raises(UserError, match=r"layout\.xlsx: 'x' is in row \d+, column \d+, far"):
            read_layout(path)

    @pytest.mark.parametrize("area", ["A5:XFD1048576", "A5:A1048576"])
    def test_a_merged_cell_without_end(self, book, area):
        held, path = book
        held.save(path)
        with zipfile.ZipFile(path) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        sheet = "xl/worksheets/sheet1.xml"
        merged = f'</sheetData><mergeCells count="1"><mergeCell ref="{area}"/></mergeCells>'
        parts[sheet] = parts[sheet].replace(b"</sheetData>", merged.encode())
        with zipfile.ZipFile(path, "w") as new:
            for name, data in parts.items():
                new.writestr(name, data)
        with pytest.raises(UserError, match=r"layout\.xlsx: A5 to .* merged into one cell"):
            read_layout(path)

    def test_a_workbook_that_unpacks_without_end(self, book):
        held, path = book
        held.save(path)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/media/zeros.bin", bytes(120_000_000))
        with pytest.raises(UserError, match=r"layout\.xlsx unpacks to more than 100 MB"):
            read_layout(path)

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("layout.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "has a password"),
            ("layout.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "Excel's old format"),
            ("layout.xlsx", b"", "names no well with a culture"),
            ("layout.xlsx", b"PK\x03\x04" + bytes(60), "cannot be read"),
            ("layout.xlsx", b"GIF89a" + bytes(50), "not a text file"),
            ("layout.csv", bytes(50), "not a text file"),
        ],
    )
    def test_another_kind_of_file(self, tmp_path, name, content, said):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=said) as caught:
            read_layout(tmp_path / name)
        assert name in str(caught.value)

    @pytest.mark.parametrize("name", ["layout.ods", "layout.xlsx"])
    def test_an_open_document_table(self, tmp_path, name):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            archive.writestr("content.xml", "<office/>")
        with pytest.raises(UserError, match="OpenDocument table; save the layout as"):
            read_layout(tmp_path / name)


def test_a_flipped_byte_in_a_page_of_a_table_is_noticed(tmp_path):
    import pandas as pd

    path = tmp_path / "t.parquet"
    values = np.random.default_rng(0).random(2_000)
    write_table(path, pd.DataFrame({"value": values}))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"t\.parquet"):
        read_table(path)
