"""Files as microscopes and programs write them, each from `init` to `features`.

Every kind of input shows the same fields; `init` writes the project file, and the commands that it
prints are run. What comes out must be the pixels that went in.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

import numpy as np
import pytest
import tifffile
from lif_writer import write_lif
from nd2_writer import write_nd2
from ome_set_writer import write_set
from PIL import Image

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.io.images import read_channels
from nucprof.io.tables import read_table
from nucprof.raw.index import ImageIndex

SIDE = 80
UM = 0.5
FIELDS = ("B-02-01", "B-02-02", "C-11-01", "C-11-02")
GUID = "8A5BDEA0-25B9-4E4D-8A5D-4B1F3A6A5C0B"
PLANES = 3  # focal planes and times, where there are some; the true image lies in the second


def scene(number, dtype="uint16"):
    """Nuclei and their cells ``(2, H, W)``; the channel of the nuclei is the second."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE]
    cells = rng.normal(60, 3, (SIDE, SIDE))
    nuclei = rng.normal(40, 3, (SIDE, SIDE))
    for cy, cx in ((20, 20), (20, 58), (56, 24), (58, 60)):
        dy, dx = rng.integers(-3, 4, 2)
        distance = (y - cy - dy) ** 2 + (x - cx - dx) ** 2
        cells += 60 * (distance < 150)
        nuclei += (120 + 2 * number) * (distance < 50)
    return np.stack([cells, nuclei]).clip(1, 255).astype(dtype)


SCENES = {key: scene(number) for number, key in enumerate(FIELDS)}
BYTES = {key: image.astype(np.uint8) for key, image in SCENES.items()}


def split(key):
    row, column, site = key.split("-")
    return {"row": row, "column": int(column), "site": int(site), "well": f"{row}{column}"}


def depth(image):
    """Three focal planes ``(Z, C, H, W)`` whose maximum is the image."""
    return np.stack([image // 2, image, image // 3])


def wells():
    """Fields by well, in order."""
    found = {}
    for key, image in SCENES.items():
        found.setdefault(split(key)["well"], []).append(image)
    return found


@dataclass
class Kind:
    """One kind of input: how it is written and what must be found."""

    write: object
    um: float | None = None
    channels: tuple[str, ...] | None = None
    flags: tuple[str, ...] = ()
    scenes: dict = field(default_factory=lambda: SCENES)


def per_field(form, **how):
    """A TIFF per field, its name by a form."""

    def write(folder):
        for key, image in SCENES.items():
            tifffile.imwrite(folder / form.format(**split(key)), image, **how)

    return write


def per_channel(form, first=1, suffix=".tif", **how):
    """A TIFF per field and channel; ``{c}`` is the channel's number, ``{name}`` a name."""

    def write(folder):
        for key, image in SCENES.items():
            for c, plane in enumerate(image):
                name = form.format(**split(key), c=c + first, name=("GFP", "DAPI")[c])
                tifffile.imwrite(folder / f"{name}{suffix}", plane, **how)

    return write


def per_plane(form, first=1, times=1, write=tifffile.imwrite):
    """A file per field, channel, focal plane and time."""

    def write_all(folder):
        for key, image in SCENES.items():
            for t in range(times):
                for z, planes in enumerate(depth(image)):
                    for c, plane in enumerate(planes):
                        name = form.format(
                            **split(key),
                            c=c + first,
                            z=z + first,
                            t=t + first,
                            rownumber="ABC".index(key[0]) + 1,
                        )
                        write(folder / name, plane * (t == 0))

    return write_all


def samples(planar, **how):
    """Three samples a pixel, the third empty; 8 bits as cameras write them."""

    def write(folder):
        for key, image in BYTES.items():
            three = np.concatenate([image, np.zeros_like(image[:1])])
            data = three if planar else np.moveaxis(three, 0, -1)
            tifffile.imwrite(
                folder / f"{key}.tif", data, photometric="rgb",
                planarconfig="separate" if planar else "contig",
            )  # fmt: skip

    return write


def imagej(axes):
    def write(folder):
        for key, image in SCENES.items():
            data = depth(image) if "Z" in axes else image[None]
            if "T" in axes:
                data = np.stack([data, data // 4])
            data = (
                data if "TZ" in axes or axes[0] in "Z" else data[:, 0] if "T" in axes else data[0]
            )
            labels = ["GFP", "DAPI"] * (data.size // image.size)
            tifffile.imwrite(
                folder / f"{key}.tif", data, imagej=True, resolution=(1 / UM, 1 / UM),
                metadata={"axes": axes, "unit": "um", "Labels": labels},
            )  # fmt: skip

    return write


OME = {
    "Channel": {"Name": ["GFP", "DAPI"]},
    "PhysicalSizeX": UM * 1000, "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": UM * 1000, "PhysicalSizeYUnit": "nm",
}  # fmt: skip


def ome_series(folder):
    with tifffile.TiffWriter(folder / "whole plate.ome.tif", ome=True) as file:
        for key, image in SCENES.items():
            file.write(
                image, photometric="minisblack", metadata={"axes": "CYX", "Name": key, **OME}
            )


def ome_plate(folder):
    ome_series(folder)
    path = folder / "whole plate.ome.tif"
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
    ids = [part.split('"')[0] for part in xml.split('<Image ID="')[1:]]
    for key in FIELDS:
        xml = xml.replace(f'Name="{key}"', 'Name="image"')
    text = ""
    for row, column, held in ((1, 1, ids[:2]), (2, 10, ids[2:])):
        samples = "".join(
            f'<WellSample ID="WellSample:{i}" Index="0"><ImageRef ID="{i}"/></WellSample>'
            for i in held
        )
        text += f'<Well ID="Well:{row}" Row="{row}" Column="{column}">{samples}</Well>'
    start = xml.index("<Image ")
    tifffile.tiffcomment(
        path, f'{xml[:start]}<Plate ID="Plate:0">{text}</Plate>{xml[start:]}'.encode()
    )


def ome_set(files, places, **how):
    """Several files that describe each other; ``places`` says where a field's channel lies."""

    def write(folder):
        pixels = {(i, c): image[c] for i, image in enumerate(SCENES.values()) for c in range(2)}
        write_set(folder, files, places, pixels, names_of_channels=("GFP", "DAPI"), um=UM, **how)

    return write


def nd2_per_field(axes="CYX"):
    def write(folder):
        for key, image in SCENES.items():
            well = split(key)["well"]
            name = f"Well{well}_Point{well}_{split(key)['site']:04d}_ChannelGFP,DAPI_Seq0001.nd2"
            data = depth(image) if "Z" in axes else image
            data = np.stack([data, data // 2]) if "T" in axes else data
            write_nd2(folder / name, data, axes, names=["GFP", "DAPI"], pixel_size_um=UM)

    return write


def nd2_plate(folder):
    positions = ["{well}_{site:04d}".format(**split(key)) for key in FIELDS]
    write_nd2(
        folder / "20240512 experiment 3.nd2", np.stack(list(SCENES.values())), "PCYX",
        names=["GFP", "DAPI"], pixel_size_um=UM, positions=positions,
    )  # fmt: skip


def nd2_per_well(folder):
    for well, images in wells().items():
        data = np.stack(
            [np.stack([depth(i) for i in images]), np.stack([depth(i) // 2 for i in images])]
        )
        write_nd2(
            folder / f"Well_{well}.nd2", data, "TPZCYX", names=["GFP", "DAPI"], pixel_size_um=UM
        )


def metamorph(folder):
    text = (
        '<MetaData><prop id="Description" type="string" value="x"/>'
        '<prop id="spatial-calibration-state" type="bool" value="on"/>'
        f'<prop id="spatial-calibration-x" type="float" value="{UM}"/>'
        '<prop id="spatial-calibration-units" type="string" value="um"/></MetaData>'
    )
    per_channel("exp_{well}_s{site}_w{c}" + GUID, metadata=None, description=text)(folder)
    tifffile.imwrite(folder / f"exp_B02_s1_w1_thumb{GUID}.tif", np.zeros((9, 9), np.uint8))


def harmony(folder):
    form = "r{rownumber:02d}c{column:02d}f{site:02d}p{z:02d}-ch{c}sk1fk1fl1.tiff"
    per_plane(form)(folder)
    entries = "".join(
        f'<Image Version="1"><id>{c}</id><URL>x</URL><ChannelID>{c}</ChannelID>'
        f"<ChannelName>{name}</ChannelName>"
        f'<ImageResolutionX Unit="m">{UM * 1e-6}</ImageResolutionX></Image>'
        for c, name in ((1, "GFP"), (2, "HOECHST 33342"))
    )
    (folder / "Index.idx.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><EvaluationInputData xmlns="http://www.perkinelmer.com/'
        f'PEHH/HarmonyV5"><Images>{entries}</Images></EvaluationInputData>'
    )


def channel_first(folder):
    per_channel("Channel{c}-{site:02d}-{row}-{column:02d}")(folder)
    for path in folder.glob("Channel?-02-*"):  # these names have no site
        path.unlink()


def png(dtype):
    def write(folder):
        for key, image in SCENES.items():
            for name, plane in zip(("GFP", "DAPI"), image, strict=True):
                Image.fromarray(plane.astype(dtype)).save(folder / f"{key}_{name}.png")

    return write


def subfolders(folder):
    for key, image in SCENES.items():
        (folder / split(key)["well"]).mkdir(exist_ok=True)
        tifffile.imwrite(
            folder / split(key)["well"] / f"{key}.tif", image, photometric="minisblack"
        )


def czi(folder):
    pytest.importorskip("bioio_czi", reason="the extra 'formats' is not installed")
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw, which writes .czi, is not installed")
    from czi_writer import write_czi

    data = np.stack([depth(image) for image in SCENES.values()])
    scenes = ["P1-B2", "P2-B2", "P1-C11", "P2-C11"]
    write_czi(folder / "plate.czi", data, channels=BOTH, um=UM, scenes=scenes)


def lif(folder):
    pytest.importorskip("bioio_lif", reason="the extra 'formats' is not installed")
    images = {"{well}_{site:04d}".format(**split(k)): depth(i) for k, i in SCENES.items()}
    write_lif(folder / "plate.lif", images, channels=BOTH, um=UM)


def litter(folder):
    per_field("{row}-{column:02d}-{site:02d}.tif", photometric="minisblack")(folder)
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "._B-02-01.tif").write_bytes(b"what macOS leaves")
    tifffile.imwrite(folder / "overview.tif", np.zeros((9, 9), np.uint8))
    (folder / "notes.txt").write_text("not an image")


JOBS = "Well{well}_Point{well}_{site:04d}_ChannelGFP,DAPI_Seq0001.tif"
KEY = "{row}-{column:02d}-{site:02d}"
BOTH = ("GFP", "DAPI")
STACK = ("C1", "C2")
OME_FIELD = {"photometric": "minisblack", "metadata": {"axes": "CYX", **OME}}
PLAIN = {"photometric": "minisblack", "metadata": None}

KINDS = {
    "NIS-Elements JOBS": Kind(per_field(JOBS, **PLAIN), channels=BOTH),
    "TIFF, pages that nothing names": Kind(per_field(KEY + ".tif", **PLAIN), channels=STACK),
    "TIFF, upper-case suffix": Kind(per_field(KEY + ".TIF", **PLAIN), channels=STACK),
    "TIFF, BigTIFF": Kind(per_field(KEY + ".btf", bigtiff=True, **PLAIN), channels=STACK),
    "TIFF, big-endian": Kind(per_field(KEY + ".tif", byteorder=">", **PLAIN), channels=STACK),
    "TIFF, tiles": Kind(per_field(KEY + ".tif", tile=(32, 32), **PLAIN), channels=STACK),
    "TIFF, LZW": Kind(per_field(KEY + ".tif", compression="lzw", **PLAIN), channels=STACK),
    "TIFF, zlib": Kind(
        per_field(KEY + ".tif", compression="zlib", predictor=True, **PLAIN), channels=STACK
    ),
    "TIFF, resolution in cm": Kind(
        per_field(KEY + ".tif", resolution=(2e4, 2e4), resolutionunit="CENTIMETER", **PLAIN),
        UM, STACK,
    ),
    "TIFF, whole well": Kind(
        per_field("{well}_{site}.tif", **PLAIN), channels=STACK
    ),
    "RGB of 8 bits": Kind(samples(False), channels=("C1", "C2", "C3"), scenes=BYTES),
    "RGB of 8 bits, planar": Kind(samples(True), channels=("C1", "C2", "C3"), scenes=BYTES),
    "ImageJ, channels": Kind(imagej("CYX"), UM, BOTH),
    "ImageJ, focal planes": Kind(imagej("ZCYX"), UM, BOTH),
    "ImageJ, times": Kind(imagej("TCYX"), UM, BOTH),
    "ImageJ, times and focal planes": Kind(imagej("TZCYX"), UM, BOTH),
    "OME-TIFF": Kind(per_field(KEY + ".ome.tif", **OME_FIELD), UM, BOTH),
    "OME-TIFF, upper case": Kind(per_field(KEY + ".OME.TIFF", ome=True, **OME_FIELD), UM, BOTH),
    "OME-TIFF, a series per field": Kind(ome_series, UM, BOTH),
    "OME-TIFF, a plate with wells": Kind(ome_plate, UM, BOTH),
    "OME-TIFF, a file per channel": Kind(
        ome_set(
            [f"{split(k)['well']}_s{k[-1]}_c{c}_z0.ome.tif" for k in FIELDS for c in (0, 1)],
            {(i, c): (2 * i + c, 0) for i in range(4) for c in range(2)},
        ),
        UM, BOTH,
    ),
    "OME-TIFF, companion file": Kind(
        ome_set(
            [f"{key}.ome.tif" for key in FIELDS],
            {(i, c): (i, c) for i in range(4) for c in range(2)}, master="plate.companion.ome",
        ),
        UM, BOTH,
    ),
    "nd2 per field": Kind(nd2_per_field(), UM, BOTH),
    "nd2, focal planes": Kind(nd2_per_field("ZCYX"), UM, BOTH),
    "nd2, times and focal planes": Kind(nd2_per_field("TZCYX"), UM, BOTH),
    "nd2, a plate by names of positions": Kind(nd2_plate, UM, BOTH),
    "nd2, a well with positions, times, focal planes": Kind(nd2_per_well, UM, BOTH),
    "ImageXpress": Kind(metamorph, UM, STACK),
    "ImageXpress, planes": Kind(per_plane("exp_{well}_s{site}_w{c}_z{z}.tif"), None, STACK),
    "ImageXpress, planes and times": Kind(
        per_plane("exp_{well}_s{site}_w{c}_z{z}_t{t}.TIF", times=2), None, STACK
    ),
    "Harmony, planes and its index": Kind(harmony, UM, ("GFP", "HOECHST 33342")),
    "CellVoyager": Kind(
        per_plane("P_{well}_T{t:04d}F{site:03d}L01A01Z{z:02d}C{c:02d}.tif", times=2), None, STACK
    ),
    "IN Cell": Kind(
        per_channel("{row} - {column:02d}(fld {site} wv {name} - {name})"), None, ("DAPI", "GFP")
    ),
    "Bio-Formats, a file per plane": Kind(
        per_plane("P_{well}_s{site}_c{c}_z{z}_t{t}.tif", first=0, times=2), None, ("C0", "C1")
    ),
    "channel first": Kind(channel_first, None, STACK),
    "PNG of 16 bits": Kind(png("uint16"), None, ("DAPI", "GFP")),
    "PNG of 8 bits": Kind(png("uint8"), None, ("DAPI", "GFP"), scenes=BYTES),
    "names of one's own": Kind(
        per_channel("Zelle {row}{column} Bild{site} {name}"), None, ("DAPI", "GFP")
    ),
    "subfolders": Kind(subfolders, None, STACK, ("--recursive",)),
    "Zeiss .czi, a plate by scenes": Kind(czi, UM, BOTH),
    "Leica .lif, several images": Kind(lif, UM, BOTH),
    "litter among them": Kind(litter, None, STACK),
}  # fmt: skip


def run(*words):
    assert run_app(build_app(), [str(word) for word in words]) == 0


@pytest.mark.parametrize("name", KINDS)
def test_from_init_to_features(name, tmp_path, capsys):
    kind = KINDS[name]
    folder = tmp_path / "CP"
    folder.mkdir()
    kind.write(folder)
    path = tmp_path / "project.toml"
    run("init", "--cp", folder, *kind.flags, "--output", path)
    commands = [line[6:] for line in capsys.readouterr().out.splitlines() if line[:6] == "Next: "]
    assert commands[-2:] == [f"nucprof doctor {path}", f"nucprof run-all {path}"]
    for command in commands[:-2]:
        run(*shlex.split(command)[1:])
    for stage in ("rename", "segment", "features"):
        more = ("--backend", "watershed") if stage == "segment" else ()
        run(stage, path, *more, "--workers", 1)
    channels = load_project(path).channels
    assert tuple(channels.cell_painting) == kind.channels
    index = ImageIndex.read(tmp_path / "results" / "images.csv")
    assert tuple(key for _, key in index.fields("CP")) == fields_of(name)
    order = [1, 0] if kind.channels[0] == "DAPI" else [0, 1]
    for plate, key in index.fields("CP"):
        image = read_channels(index.sources(plate, key, "CP", channels.cell_painting))
        expected = kind.scenes[key][order] if key in kind.scenes else None
        if expected is not None:
            np.testing.assert_array_equal(image[:2], expected)
    sizes = {source.pixel_size_um for held in index.channels.values() for source in held.values()}
    assert list(sizes) == [pytest.approx(kind.um) if kind.um else None]
    assert channels.cell_painting.index(channels.nuclei) == order.index(1)
    table = read_table(tmp_path / "results" / "features" / "CP.parquet")
    assert len(table) == 4 * len(fields_of(name))
    if kind.um:
        area = table["Nuclei_AreaShape_Area"] * kind.um**2
        np.testing.assert_allclose(table["Nuclei_AreaShape_Area_um2"], area, rtol=1e-6)
    else:
        assert not [column for column in table.columns if column.endswith(("_um", "_um2"))]


def fields_of(name):
    """The fields of a kind of input; channel-first names have no site."""
    return ("B-02-01", "C-11-01") if name == "channel first" else FIELDS


def test_there_are_at_least_25_kinds():
    assert len(KINDS) >= 25
