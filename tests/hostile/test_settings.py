"""Settings that cannot be meant: refused where they enter, by name, with exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from edits import put, remove, swap

from hostile import Case, ids


def exclude(*names: str):
    """Leave fields out in the project file."""
    listed = ", ".join(f'"{name}"' for name in names)
    return swap("project.toml", 'output = "results"', f'output = "results"\nexclude = [{listed}]')


def toml(old: str, new: str):
    """Change the project file."""
    return swap("project.toml", old, new)


PROJECTS = [
    ("plate climbs", "lost", toml('"demo"\ncell', '"../x"\ncell'), "plates[1].name", "letters"),
    ("plate is a device", "lost", toml('"demo"\ncell', '"aux"\ncell'), "plates[1].name", "device"),
    ("channel climbs", "lost", toml('"Cy5"]', '"../Cy5"]'), "channels.cell_painting[4]", "letters"),
    ("a channel twice", "silent", toml('"Cy5"]', '"Cy3"]'), "cell_painting", "listed twice"),
    ("a round is CP", "silent", toml("EdU_BrdU", "CP"), "a round cannot be called 'CP'"),
    ("a round is cp", "lost", toml("EdU_BrdU", "cp"), "differ in case only"),
    ("round in the folder of CP", "silent", toml('"GT"', '"CP"'), "is used twice"),
    ("output is the images", "lost", toml('"results"\n\n', '"CP"\n\n'), "overlap"),
    ("output above the images", "lost", toml('"results"\n\n', '"."\n\n'), "overlap"),
    (
        "pattern of no round",
        "silent",
        toml("[segment]", '[rename.pattern]\nEdU = "auto"\n[segment]'),
        "rename.pattern: unknown round 'EdU'",
        "did you mean 'EdU_BrdU'",
    ),
    (
        "plane of no round",
        "silent",
        toml("[segment]", "[rename]\nprojection = {GT = 1}\n[segment]"),
        "rename.projection: unknown round 'GT'",
    ),
    (
        "seed is true",
        "silent",
        toml("[[plates]]", "seed = true\n[[plates]]"),
        "'project.seed' = True",
        "true and false are no value of this key",
    ),
    (
        "a long value",
        "unclear",
        toml('"results"\n\n', '"results"\nseed = "' + "x" * 5000 + '"\n'),
        "'project.seed' = 'xxx",
        "xxx ...",
    ),
    ("a misspelt table", "unclear", toml("[[plates]]", "[[plate]]"), "did you mean 'plates'?"),
    ("not TOML", "unclear", put("project.toml", "[project\n"), "not valid TOML"),
    ("empty", "unclear", put("project.toml", ""), "'project' is missing"),
    ("UTF-16", "unclear", put("project.toml", b"\xff\xfe[\x00"), "cannot be read", "utf-8"),
]
FLAGS = [
    ("silent", "gate", "--cutoff EdU=nan", "gate.cutoffs.EdU", "finite number"),
    ("silent", "gate", "--cutoff EdU=inf", "gate.cutoffs.EdU", "finite number"),
    ("silent", "gate", "--cutoff EdU=-inf", "gate.cutoffs.EdU", "finite number"),
    ("silent", "gate", "--cutoff EdU=1e400", "gate.cutoffs.EdU", "finite number"),
    ("unclear", "gate", "--cutoff EdU=many", "gate.cutoffs.EdU", "valid number"),
    ("unclear", "gate", "--cutoff EdU", "--cutoff EdU", "expected KEY=VALUE"),
    ("unclear", "gate", "--cutoff EdO=3", "gate.cutoffs", "did you mean 'EdU'"),
    ("silent", "gate", "--class astro=EdU --class neuro=EdU", "gate.classes", "the same marker"),
    ("silent", "gate", "--class 'a=!EdU' --class 'b=!BrdU'", "gate.classes", "without a marker"),
    (
        "silent",
        "gate",
        "--class undefined=EdU --class b=BrdU",
        "cannot be called 'undefined'",
        "rename it",
    ),
    ("silent", "gate", "--class uncertain=EdU --class b=BrdU", "cannot be called 'uncertain'", ""),
    ("silent", "gate", "--class Undefined=EdU --class b=BrdU", "cannot be called 'Undefined'", ""),
    ("unclear", "gate", "--class a=EdO --class b=BrdU", "gate.classes", "did you mean 'EdU'"),
    ("silent", "gate", "--filter Nuclei_AreaShape_Area=9:1", "gate.filters", "above the upper"),
    ("silent", "gate", "--filter Nuclei_AreaShape_Area=nan:", "gate.filters", "finite number"),
    ("unclear", "gate", "--filter Nuclei_AreaShape_Aria=1:", "no feature", "Nuclei_AreaShape_Area"),
    ("unclear", "gate", "--mixed-culture undefined", "gate.mixed_culture", "nucprof's name"),
    ("silent", "train rf", "--targets astro --targets astro", "train.targets", "listed twice"),
    (
        "silent",
        "train rf",
        "--targets undefined --targets astro",
        "train.targets",
        "nucprof's name",
    ),
    ("silent", "train rf", "--seeds 1 --seeds 1", "train.seeds", "listed twice"),
    ("traceback", "train rf", "--seeds=-1", "train.seeds[1]", "greater than or equal to 0"),
    ("traceback", "train rf", "--seeds 99999999999", "train.seeds[1]", "less than"),
    ("traceback", "train rf", "--sample=-5", "train.sample", "greater than or equal to 1"),
    ("unclear", "train rf", "--sample 0", "train.sample", "greater than or equal to 1"),
    ("unclear", "train rf", "--scaling other", "train.rf.scaling", "'none', 'plate' or 'well'"),
    ("silent", "train cnn", "--learning-rate nan", "train.cnn.learning_rate", "finite number"),
    ("silent", "train cnn", "--learning-rate inf", "train.cnn.learning_rate", "finite number"),
    ("silent", "train cnn", "--learning-rate=-1", "train.cnn.learning_rate", "greater than 0"),
    ("silent", "train cnn", "--weight-decay nan", "train.cnn.weight_decay", "finite number"),
    ("traceback", "train cnn", "--batch-size 0", "train.cnn.batch_size", "equal to 1"),
    ("traceback", "train cnn", "--epochs 0", "train.cnn.epochs", "equal to 1"),
    ("silent", "segment", "--workers 0", "execution.workers", "greater than or equal to 1"),
    ("silent", "segment", "--workers=-2", "execution.workers", "greater than or equal to 1"),
    ("unclear", "segment", "--workers 1.5", "execution.workers", "valid integer"),
    ("unclear", "segment", "--device gpu", "execution.device", "gpu"),
    ("silent", "segment", "--scale=-1", "segment.scale", "greater than 0"),
    ("silent", "segment", "--scale 0", "segment.scale", "greater than 0"),
    ("silent", "segment", "--scale nan", "segment.scale", "finite number"),
    ("hang", "segment", "--scale inf", "segment.scale", "finite number"),
    ("hang", "segment", "--scale 1e6", "segment.scale", "less than or equal to 32"),
    ("silent", "segment", "--diameter=-3", "segment.diameter", "greater than 0"),
    ("silent", "segment", "--diameter nan", "segment.diameter", "finite number"),
    ("silent", "segment", "--min-contrast nan", "segment.min_contrast", "finite number"),
    ("silent", "segment", "--min-contrast 1.5", "segment.min_contrast", "less than 1"),
    ("silent", "segment", "--backend stardist --pmin 90 --pmax 10", "segment.pm", "pmin"),
    ("unclear", "segment", "--backend stardust", "segment.backend", "'stardist'"),
    ("silent", "align", "--max-shift-px nan", "align.max_shift_px", "finite number"),
    ("hang", "align", "--max-shift-px inf", "align.max_shift_px", "finite number"),
    ("silent", "align", "--min-overlap nan", "align.min_overlap", "finite number"),
    ("silent", "align", "--lost-ratio nan", "align.lost_ratio", "finite number"),
    ("traceback", "crop", "--patch-size=-3", "crop.patch_size", "greater than or equal to 4"),
    ("silent", "predict", "--confidence nan", "predict.confidence", "finite number"),
    ("silent", "predict", "--confidence 1.5", "predict.confidence", "less than 1"),
    ("lost", "embed", "--model ../x", "embed.model", "letters, digits"),
    ("lost", "gradcam", "--model ../../x", "gradcam.model", "letters, digits"),
    ("lost", "gradcam", "--model /tmp/x", "gradcam.model", "letters, digits"),
]
CASES = (
    [
        Case(
            name=f"{command} {flags}",
            kind=kind,
            command=f"{command} {{p}}/project.toml {flags}",
            says=tuple(filter(None, told)),
            plate="processed" if "Aria" in flags else "raw",
        )
        for kind, command, flags, *told in FLAGS
    ]
    + [
        Case(
            name=f"project.toml: {name}",
            kind=kind,
            command="rename {p}/project.toml",
            prepare=prepare,
            says=("{p}/project.toml", *told),
            plate="raw",
        )
        for name, kind, prepare, *told in PROJECTS
    ]
    + [
        Case(
            name="two plates that differ in case only",
            kind="lost",
            command="rename {p}/project.toml",
            settings='\n[[plates]]\nname = "Demo"\ncell_painting = "GT2"\n',
            prepare=put("GT2/x.tif", "x"),
            plate="raw",
            says=("plates.name: 'demo' and 'Demo' differ in case only",),
        ),
        Case(
            name="project.toml with a BOM",
            kind="unclear",
            command="rename {p}/project.toml",
            prepare=lambda folder: put(
                "project.toml", b"\xef\xbb\xbf" + (folder / "project.toml").read_bytes()
            )(folder),
            plate="raw",
            says=("demo/CP: 7 fields",),
            status=0,
        ),
        *(
            Case(
                name=f"project.exclude names nothing: {name}",
                kind="silent",
                command="rename {p}/project.toml",
                prepare=exclude("B02", name),
                plate="raw",
                says=(f"project.exclude: no field fits {name}", "demo/CP: 6 fields"),
                status=0,
            )
            for name in ("Z99", "Z-99-01", "demo/Z99", "other/B02")
        ),
        Case(
            name="project.exclude is no well",
            kind="unclear",
            command="rename {p}/project.toml",
            prepare=exclude("everything"),
            plate="raw",
            says=("{p}/project.toml: project.exclude: 'everything' is not a well",),
        ),
        Case(
            name="project.exclude leaves nothing",
            kind="unclear",
            command="rename {p}/project.toml",
            prepare=exclude("B02", "B03", "C02", "C03", "D02", "D03", "D04"),
            plate="raw",
            says=("project.exclude leaves out all 7 fields",),
        ),
        Case(
            name="predict without a model",
            kind="unclear",
            command="predict {p}/project.toml",
            prepare=swap("project.toml", 'model = "results/train/rf/default"\n', ""),
            says=("predict needs a model: nucprof predict PROJECT --model DIR",),
            keeps=("results/predict",),
        ),
        Case(
            name="run-all without a model to predict",
            kind="unclear",
            command="run-all {p}/project.toml --from predict --until predict",
            prepare=swap("project.toml", 'model = "results/train/rf/default"\n', ""),
            says=(
                "predict: not needed (predict.model names no model, e.g. results/train/rf/default)",
            ),
            status=0,
        ),
        *(
            Case(
                name=f"{command} --force prints no false line",
                kind="unclear",
                command=f"{command} {{p}}/project.toml --force",
                says=(f"{command}: 7 of 7 to do: forced",),
                silent_on=("not up to date",),
                status=0,
            )
            for command in ("segment", "align", "crop", "features")
        ),
        *(
            Case(
                name=f"--fields {name}",
                kind="silent",
                command=f"crop {{p}}/project.toml --force --fields {name}",
                says=("--fields", told),
                keeps=("results/crops",),
            )
            for name, told in (
                ("Z99", "no such well or field here"),
                ("other/B02", "no such well or field here"),
                ("B-02-77", "no such well or field here"),
            )
        ),
        Case(
            name="--fields of a stage that has none",
            kind="silent",
            command="gate {p}/project.toml --force --fields Z99",
            says=("gate works on the whole project; --fields does not limit it",),
            status=0,
        ),
        Case(
            name="the project file is missing",
            kind="unclear",
            command="run-all {p}/other.toml",
            says=("There is no project file {p}/other.toml", "nucprof init"),
        ),
        Case(
            name="the layout is missing",
            kind="unclear",
            command="run-all {p}/project.toml",
            prepare=lambda folder: (folder / "layout.xlsx").rename(folder / "gone.xlsx"),
            plate="raw",
            says=("plates.layout (plate demo): there is no file {p}/layout.xlsx",),
        ),
    ]
)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("lost")
@pytest.mark.parametrize("word", ["deleted", "elsewhere"])
def test_the_old_names_of_moved_files_are_kept_twice(plate_of, capsys, word):
    """The microscope's names come back when the results, or one list, are gone."""
    from hostile import nucprof

    folder: Path = plate_of("raw")
    names = sorted(path.name for path in (folder / "CP").iterdir())
    project = folder.as_posix() + "/project.toml"
    assert nucprof(f"rename {project} --mode move") == 0
    assert sorted(path.name for path in (folder / "CP").glob("*.tif")) != names
    if word == "deleted":
        remove("results/raw/moved.json")(folder)
    else:
        put("results/raw/moved.json", b"{}")(folder)
    assert nucprof(f"rename {project} --undo --mode move") == 0
    assert sorted(path.name for path in (folder / "CP").iterdir()) == names
