"""The project file: read, checked, merged; example and help texts say what its models say."""

from __future__ import annotations

import inspect
import pickle
import re
import sys
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from nucprof.config import Project, load_project
from nucprof.config.example import example
from nucprof.config.load import merge
from nucprof.config.setting import Section
from nucprof.errors import ProjectError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
MINIMAL = """\
[project]
name = "p"

[[plates]]
name = "rep1"
cell_painting = "rep1/CP"
layout = "layout.csv"
[plates.ground_truth]
EdU_BrdU = "rep1/GT"

[channels]
cell_painting = ["DAPI", "FITC"]
nuclei = "DAPI"
[channels.ground_truth]
EdU_BrdU = ["EdU", "BrdU"]
"""


@pytest.fixture
def path(tmp_path):
    for folder in ("rep1/CP", "rep1/GT", "rep2/CP"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "layout.csv").write_text(",1\nA,x\n")
    return tmp_path / "project.toml"


@pytest.fixture
def load(path):
    def read(more="", flags=None, text=MINIMAL, **options):
        path.write_text(text + more, encoding="utf-8")
        return load_project(path, flags, **options)

    return read


@pytest.fixture
def refused(load, path):
    """The message of a project file that is refused."""

    def read(more="", flags=None, text=MINIMAL):
        before = set(path.parent.rglob("*")) | {path}
        with pytest.raises(ProjectError) as caught:
            load(more, flags, text)
        assert set(path.parent.rglob("*")) == before  # nothing was written
        assert caught.value.exit_status == 2
        return str(caught.value)

    return read


class TestLoading:
    def test_the_three_sections_that_are_required_run(self, load, path):
        project = load()
        root = path.parent
        assert project.project.output == root / "results"
        assert project.plates[0].cell_painting == root / "rep1" / "CP"
        assert project.plates[0].ground_truth == {"EdU_BrdU": root / "rep1" / "GT"}
        assert project.segment.pmax == 99
        assert project.rounds == ["EdU_BrdU"]
        assert project.round_channels("CP") == ["DAPI", "FITC"]
        assert project.round_channels("EdU_BrdU") == ["EdU", "BrdU"]

    @pytest.mark.parametrize("section", ["project", "plates", "channels"])
    def test_a_required_section_is_missing(self, refused, path, section):
        values = re.split(r"(?m)^(?=\[(?:project|\[plates|channels\]))", MINIMAL)
        text = "".join(part for part in values if not part.lstrip("[").startswith(section))
        message = refused(text=text)
        assert f"{path}: '{section}' is missing" in message

    def test_relative_paths_are_relative_to_the_file(self, load, path, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path / "rep2")
        (tmp_path / "m").mkdir()
        project = load(
            '[segment]\nbackend = "labels"\npath = "rep1/../m"\n[execution]\nmodels_dir = "m"\n'
        )
        assert project.segment.path == path.parent / "m"
        assert project.execution.models_dir == path.parent / "m"

    def test_absolute_and_home_paths_stay(self, load, path, monkeypatch):
        monkeypatch.setenv("HOME", str(path.parent / "home"))
        monkeypatch.setenv("USERPROFILE", str(path.parent / "home"))
        absolute = (path.parent / "elsewhere").as_posix()
        assert load(f'[predict]\nmodel = "{absolute}"\n').predict.model == Path(absolute)
        assert load('[predict]\nmodel = "~/m"\n').predict.model == path.parent / "home" / "m"

    def test_a_round_that_no_plate_has_is_no_round(self, load):
        text = MINIMAL.replace('[plates.ground_truth]\nEdU_BrdU = "rep1/GT"\n', "")
        project = load(text=text)
        assert project.rounds == []
        assert not project.has_ground_truth

    def test_frozen(self, load):
        project = load()
        with pytest.raises(ValidationError, match="frozen"):
            project.segment.pmin = 3
        with pytest.raises(ValidationError, match="frozen"):
            project.segment = None

    def test_it_goes_to_worker_processes(self, load):
        project = load("[segment]\npmin = 3\n")
        assert pickle.loads(pickle.dumps(project)) == project  # noqa: S301

    @pytest.mark.parametrize("name", ["segment", "train", "train.rf", "train.cnn"])
    def test_sections_by_dotted_name(self, load, name):
        assert isinstance(load().section(name), Section)


class TestPrecedence:
    FILE = "[segment]\npmin = 2\npmax = 90\n"

    def test_the_file_wins_over_the_default(self, load):
        assert load(self.FILE).segment.pmin == 2

    def test_the_environment_wins_over_the_file(self, load, monkeypatch):
        monkeypatch.setenv("NUCPROF_SEGMENT__PMIN", "3")
        segment = load(self.FILE).segment
        assert (segment.pmin, segment.pmax) == (3, 90)

    def test_a_flag_wins_over_the_environment(self, load, monkeypatch):
        monkeypatch.setenv("NUCPROF_SEGMENT__PMIN", "3")
        segment = load(self.FILE, {"segment": {"pmin": "4"}}).segment
        assert (segment.pmin, segment.pmax) == (4, 90)

    def test_deeper_sections(self, load, monkeypatch):
        monkeypatch.setenv("NUCPROF_TRAIN__CNN__EPOCHS", "7")
        train = load(
            "[train.cnn]\nbatch_size = 5\n", {"train": {"cnn": {"image_size": "64"}}}
        ).train
        assert (train.cnn.epochs, train.cnn.batch_size, train.cnn.image_size) == (7, 5, 64)

    def test_lists_and_mappings_from_the_environment(self, load, monkeypatch):
        monkeypatch.setenv("NUCPROF_TRAIN__SEEDS", "[1, 2]")
        monkeypatch.setenv("NUCPROF_GATE__CUTOFFS", '{"EdU": 600}')
        project = load()
        assert project.train.seeds == [1, 2]
        assert project.gate.cutoffs == {"EdU": 600.0}

    def test_an_environment_variable_that_is_wrong_is_named(self, refused, monkeypatch):
        monkeypatch.setenv("NUCPROF_SEGMENT__PMIN", "low")
        message = refused()
        assert "environment variable NUCPROF_SEGMENT__PMIN: 'segment.pmin' = 'low'" in message

    def test_an_environment_variable_of_no_key_is_named(self, refused, monkeypatch):
        monkeypatch.setenv("NUCPROF_SEGMENT__PMINN", "1")
        message = refused()
        assert "environment variable NUCPROF_SEGMENT__PMINN" in message
        assert "did you mean 'pmin'?" in message

    def test_an_environment_variable_that_is_no_list(self, refused, monkeypatch):
        monkeypatch.setenv("NUCPROF_TRAIN__SEEDS", "one")
        assert "NUCPROF_TRAIN__SEEDS" in refused()

    def test_a_flag_that_is_wrong_is_named(self, refused):
        message = refused(flags={"segment": {"pmin": "low"}})
        assert message.startswith("command line: 'segment.pmin' = 'low': ")

    def test_models_dir_has_a_variable_of_its_own(self, load, monkeypatch):
        # it names where models lie for all projects, not a key
        monkeypatch.setenv("NUCPROF_MODELS_DIR", "/models")
        assert load().execution.models_dir is None

    def test_merging_keeps_what_is_not_named(self):
        file, flags = {"a": {"x": 1, "y": [1]}, "b": 2}, {"a": {"y": [2]}}
        assert merge(file, flags) == {"a": {"x": 1, "y": [2]}, "b": 2}
        assert file == {"a": {"x": 1, "y": [1]}, "b": 2}


class TestMistakes:
    @pytest.mark.parametrize(
        ("more", "key", "near"),
        [
            ("[segment]\npmn = 1\n", "segment.pmn", "pmin"),
            ("[segement]\npmin = 1\n", "segement", "segment"),
            ("[train.rf]\nevalution = 'cv'\n", "train.rf.evalution", "evaluation"),
            (
                "[[plates]]\nname = 'x'\ncell_paintng = 'rep2/CP'\n",
                "plates[2].cell_paintng",
                "cell_painting",
            ),
        ],
    )
    def test_an_unknown_key_names_file_key_and_the_nearest(self, refused, path, more, key, near):
        message = refused(more)
        assert f"{path}: unknown key '{key}'; did you mean '{near}'?" in message

    def test_an_unknown_key_like_no_other_lists_the_known(self, refused):
        assert "known keys here: cp_channels, gt_channels, max_shift_px" in refused(
            "[align]\nqqq = 1\n"
        )

    def test_all_mistakes_are_told_at_once(self, refused):
        message = refused("[segment]\npmn = 1\npmax = 'x'\n[align]\nmin_overlap = 3\n")
        assert [key in message for key in ("segment.pmn", "segment.pmax", "align.min_overlap")] == [
            True, True, True,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (
                "[segment]\npmax = 101\n",
                "'segment.pmax' = 101: Input should be less than or equal to 100",
            ),
            ("[segment]\nscale = 'big'\n", "'segment.scale"),
            ("[segment]\nbackend = 'cellprofiler'\n", "'segment.backend' = 'cellprofiler'"),
            ("[train]\nseeds = []\n", "'train.seeds' = []"),
            ("[train]\nsample = 'some'\n", "'train.sample"),
            ("[execution]\ndevice = 'gpu'\n", "'execution.device' = 'gpu'"),
            ("[crop]\npatch_size = 60.5\n", "'crop.patch_size"),
            ("[gate.filters]\nArea = ['a', 1]\n", "'gate.filters.Area[1]' = 'a'"),
        ],
    )
    def test_a_wrong_value_names_file_key_and_value(self, refused, path, more, told):
        message = refused(more)
        assert f"{path}: {told}" in message

    def test_no_file(self, tmp_path):
        with pytest.raises(
            ProjectError, match=r"There is no project file .* nucprof init --cp FOLDER"
        ):
            load_project(tmp_path / "none.toml")

    def test_no_toml(self, refused, path):
        assert f"{path} is not valid TOML" in refused(text="[project\n")

    def test_no_text(self, path):
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ProjectError, match="cannot be read"):
            load_project(path)

    def test_a_folder_in_place_of_the_file(self, tmp_path):
        with pytest.raises(ProjectError, match="cannot be read"):
            load_project(tmp_path)


class TestNames:
    @pytest.mark.parametrize(
        ("more", "key", "name"),
        [
            ("[segment]\nchannels = ['DAPY']\n", "segment.channels", "DAPY"),
            ("[align]\ncp_channels = ['DAPY']\n", "align.cp_channels", "DAPY"),
            ("[align]\ngt_channels = ['DAPI']\n", "align.gt_channels", "DAPI"),
            ("[train.rf]\nchannels = ['EdU']\n", "train.rf.channels", "EdU"),
            ("[train.cnn]\nchannels = ['EdU']\n", "train.cnn.channels", "EdU"),
            ("[gate]\nclasses = {astro = 'EDU'}\n", "gate.classes", "EDU"),
            ("[gate.cutoffs]\nBrDU = 300\n", "gate.cutoffs", "BrDU"),
        ],
    )
    def test_an_unknown_channel_names_file_and_key(self, refused, path, more, key, name):
        message = refused(more)
        assert message.startswith(f"{path}: {key}: unknown channel '{name}'; ")

    def test_the_nearest_channel_is_named(self, refused):
        assert "did you mean 'DAPI'?" in refused("[segment]\nchannels = ['DAPY']\n")
        assert "known: DAPI, FITC." in refused("[segment]\nchannels = ['Q']\n")

    def test_the_nuclear_channel_is_one_of_them(self, refused):
        message = refused(text=MINIMAL.replace('nuclei = "DAPI"', 'nuclei = "Hoechst"'))
        assert "channels.nuclei: unknown channel 'Hoechst'" in message

    def test_a_round_without_channels(self, refused):
        text = MINIMAL.replace('EdU_BrdU = ["EdU", "BrdU"]', 'EdU_BrdV = ["EdU", "BrdU"]')
        message = refused(text=text)
        assert "plates.ground_truth (plate rep1): unknown round 'EdU_BrdU'" in message
        assert "did you mean 'EdU_BrdV'?" in message

    def test_a_round_called_cp(self, refused):
        assert "a round cannot be called 'CP'" in refused(text=MINIMAL.replace("EdU_BrdU", "CP"))

    def test_two_plates_of_one_name(self, refused):
        message = refused("[[plates]]\nname = 'rep1'\ncell_painting = 'rep2/CP'\n")
        assert "plates.name: two plates are called 'rep1'" in message

    @pytest.mark.parametrize(
        "name", ["a/b", "../up", "", ".hidden", "C:", "a ", "b.", 'a\\"b', "a*"]
    )
    def test_names_that_cannot_be_folders(self, refused, name):
        message = refused(text=MINIMAL.replace('name = "rep1"', f'name = "{name}"'))
        assert "'plates[1].name'" in message

    @pytest.mark.parametrize("name", ["Platte 1", "µ", "Zürich (Mai)", "a+b", "1.5 µM"])
    def test_names_with_spaces_and_umlauts(self, tmp_path, name):
        path = tmp_path / "project.toml"
        text = MINIMAL.replace('name = "rep1"', f'name = "{name}"')
        path.write_text(text, encoding="utf-8")
        assert load_project(path, check_folders=False).plates[0].name == name

    def test_a_channel_listed_twice(self, refused):
        message = refused(text=MINIMAL.replace('["EdU", "BrdU"]', '["EdU", "EdU"]'))
        assert "channels.ground_truth.EdU_BrdU: channel 'EdU' is listed twice" in message

    def test_a_marker_of_two_rounds(self, refused):
        message = refused('second = ["EdU", "pH3"]\n')
        assert "channels.ground_truth.EdU_BrdU and channels.ground_truth.second" in message
        assert "both have a channel 'EdU'" in message

    def test_every_round_may_repeat_the_nuclear_stain(self, load):
        text = MINIMAL.replace('["EdU", "BrdU"]', '["DAPI", "EdU"]')
        assert load('second = ["DAPI", "pH3"]\n', text=text).round_channels("second")[0] == "DAPI"

    def test_excluded_wells_are_wells(self, refused, path):
        text = MINIMAL.replace('name = "p"\n', 'name = "p"\nexclude = ["B02", "nowhere"]\n', 1)
        assert f"{path}: project.exclude: 'nowhere' is not a well" in refused(text=text)

    def test_percentiles_out_of_order(self, refused):
        assert "segment.pmin must be below segment.pmax" in refused(
            "[segment]\npmin = 50\npmax = 40\n"
        )

    def test_the_labels_backend_needs_a_folder(self, refused):
        assert "segment.path" in refused("[segment]\nbackend = 'labels'\n")

    def test_a_folder_of_labels_that_is_missing(self, refused, path):
        message = refused("[segment]\nbackend = 'labels'\npath = 'nowhere'\n")
        assert f"segment.path: there is no folder {path.parent / 'nowhere'}" in message


class TestFolders:
    @pytest.mark.parametrize(
        ("old", "new", "key"),
        [
            ("rep1/CP", "rep1/none", "plates.cell_painting (plate rep1)"),
            ("rep1/GT", "rep1/none", "plates.ground_truth.EdU_BrdU (plate rep1)"),
        ],
    )
    def test_a_missing_folder_names_file_and_key(self, refused, path, old, new, key):
        message = refused(text=MINIMAL.replace(old, new))
        assert message == f"{path}: {key}: there is no folder {path.parent / new}."

    def test_a_missing_layout(self, refused, path):
        message = refused(text=MINIMAL.replace("layout.csv", "none.xlsx"))
        assert (
            f"plates.layout (plate rep1): there is no file {path.parent / 'none.xlsx'}" in message
        )

    def test_corrections_that_are_missing(self, refused, path):
        message = refused('[gate]\ncorrections = "c.csv"\n')
        assert f"gate.corrections: there is no file {path.parent / 'c.csv'}; save it" in message

    @pytest.mark.parametrize(
        "output", ["rep1/CP", "rep1", ".", "rep1/GT/results", "rep1/../rep1/CP"]
    )
    def test_an_output_that_overlaps_the_images(self, refused, path, output):
        text = MINIMAL.replace('name = "p"\n', f'name = "p"\noutput = "{output}"\n', 1)
        message = refused(text=text)
        assert message.startswith(f"{path}: plates.")
        assert "project.output" in message
        assert "overlap" in message

    def test_an_output_that_is_a_file(self, refused, path):
        (path.parent / "results").write_text("")
        assert f"project.output: {path.parent / 'results'}" in refused()

    def test_a_folder_used_twice(self, refused):
        message = refused("[[plates]]\nname = 'rep2'\ncell_painting = 'rep1/GT'\n")
        assert "is used twice (plate rep1 and plate rep2)" in message

    def test_folders_need_not_exist_where_they_are_not_read(self, load):
        project = load(text=MINIMAL.replace("rep1/CP", "rep1/none"), check_folders=False)
        assert project.plates[0].cell_painting.name == "none"


def models(model=Project, prefix=""):
    """Every setting of every section by dotted name: its field."""
    for key, field in model.model_fields.items():
        name = f"{prefix}{key}"
        annotation = field.annotation
        inner = typing.get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from models(annotation, f"{name}.")
        elif inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            yield from models(inner[0], f"{name}.")
        else:
            yield name, field


FIELDS = dict(models())
BY_HAND = ("plates.", "channels.", "project.name")


class TestExample:
    def test_the_file_in_the_repository_is_the_generated_one(self):
        committed = (REPOSITORY / "nucprof.toml.example").read_text(encoding="utf-8")
        assert committed == example()

    def test_it_is_a_project(self, tmp_path):
        path = tmp_path / "project.toml"
        path.write_text(example(), encoding="utf-8")
        load_project(path, check_folders=False)

    def test_it_holds_every_key_with_its_default(self):
        parsed = tomllib.loads(example())
        for name, field in FIELDS.items():
            value = parsed["plates"][0] if name.startswith("plates.") else parsed
            *sections, key = name.removeprefix("plates.").split(".")
            for section in sections:
                value = value[section]
            default = field.get_default(call_default_factory=True)
            if name.startswith(BY_HAND):
                assert key in value, name
            elif default is None:  # TOML has no null
                assert key not in value, name
                assert re.search(rf"(?m)^# {key} =", example()), name
            else:
                shown = default.as_posix() if isinstance(default, Path) else default
                assert value[key] == shown, name

    def test_it_holds_no_other_key(self):
        parsed = tomllib.loads(example())
        keys = re.findall(r"(?m)^(?:# )?(\w+) =", example())
        sections = {"EdU_BrdU"}
        assert set(keys) <= {name.rpartition(".")[2] for name in FIELDS} | sections
        assert set(parsed) == set(Project.model_fields)

    def test_a_file_of_its_defaults_changes_nothing(self, tmp_path):
        path = tmp_path / "project.toml"
        path.write_text(example(), encoding="utf-8")
        whole = load_project(path, check_folders=False)
        path.write_text(example().split("\n# How raw file names")[0], encoding="utf-8")
        assert load_project(path, check_folders=False) == whole

    def test_lines_are_no_longer_than_the_screen(self):
        assert max(map(len, example().splitlines())) <= 100

    def test_every_setting_is_described(self):
        for name, field in FIELDS.items():
            assert field.description, name
            assert field.description in re.sub(r"\n# ", " ", example()) or name.startswith(
                BY_HAND
            ), name

    def test_pixels_and_percentiles_have_units(self):
        for name, field in FIELDS.items():
            if name.endswith("_px") or name.endswith(("patch_size", "image_size", "diameter")):
                assert field.json_schema_extra == {"unit": "px"}, name


def options(command):
    return {name for parameter in command.params for name in parameter.opts}


class TestFlags:
    @pytest.fixture
    def commands(self):
        import typer.main

        from nucprof.cli.app import build_app

        top = typer.main.get_command(build_app())
        found = dict(top.commands)
        found |= {
            f"train {name}": command for name, command in top.commands["train"].commands.items()
        }
        return found

    def test_every_stage_has_its_settings_as_flags(self, commands):
        from nucprof.stages import STAGES

        special = {"rename.channel_map": "--channel", "gate.classes": "--class"}
        special |= {"gate.cutoffs": "--cutoff", "gate.filters": "--filter"}
        special |= {"reference.wells": "--reference-wells"}
        special |= {"reference.culture": "--reference-culture"}
        special |= {"illumination.method": "--illumination-method"}
        special |= {"illumination.dark": "--illumination-dark"}
        for stage in STAGES:
            if stage.command not in commands:
                continue
            has = options(commands[stage.command])
            for section in stage.sections:
                for name in FIELDS:
                    inside, _, key = name.rpartition(".")
                    if inside == section:
                        flag = special.get(name, "--" + key.replace("_", "-"))
                        assert flag in has, f"{stage.command} {flag}"

    @pytest.mark.parametrize("name", ["segment", "rename", "features", "train rf"])
    def test_help_texts_say_what_the_models_say(self, commands, name):
        from nucprof.stages import stage

        texts = {
            opt: parameter.help for parameter in commands[name].params for opt in parameter.opts
        }
        for section in stage(name.replace(" ", "-")).sections:
            for dotted, field in FIELDS.items():
                inside, _, key = dotted.rpartition(".")
                extra = field.json_schema_extra or {}
                if inside == section and isinstance(extra, dict):
                    flag = "--" + extra.get("flag", key).replace("_", "-")
                    assert texts[flag].startswith(field.description)
                    assert f"({extra['unit']})" in texts[flag] if "unit" in extra else True

    def test_every_stage_command_has_the_common_flags(self, commands):
        from nucprof.stages import STAGES

        common = {"--fields", "--force", "--dry-run", "--workers", "-v", "--verbose", "--quiet"}
        for stage in STAGES:
            if stage.command in commands and stage.name != "report":
                assert common <= options(commands[stage.command]), stage.name
        assert common | {"--from", "--until", "--keep-going"} <= options(commands["run-all"])

    @pytest.mark.parametrize(
        ("flags", "section", "expected"),
        [
            (["--pmin", "2"], "segment", {"pmin": 2.0}),
            (
                ["--channels", "DAPI", "--channels", "FITC"],
                "segment",
                {"channels": ["DAPI", "FITC"]},
            ),
            (["--no-clear-border"], "segment", {"clear_border": False}),
            (["--scale", "1.5"], "segment", {"scale": 1.5}),
            (["--scale", "auto"], "segment", {"scale": "auto"}),
            (
                ["--cutoff", "EdU=600", "--cutoff", "BrdU=auto", "--class", "astro=EdU"],
                "gate",
                {"cutoffs": {"EdU": 600.0, "BrdU": "auto"}, "classes": {"astro": "EdU"}},
            ),
            (
                ["--filter", "Nuclei_AreaShape_Area=160:", "--filter", "x=:3"],
                "gate",
                {"filters": {"Nuclei_AreaShape_Area": (160.0, None), "x": (None, 3.0)}},
            ),
            (
                ["--sample", "500", "--seeds", "1", "--seeds", "2"],
                "train",
                {"sample": 500, "seeds": [1, 2]},
            ),
            (["--sample", "max"], "train", {"sample": "max"}),
            (["--evaluation", "split", "--workers", "2"], "train.rf", {"evaluation": "split"}),
            (["--channel", "1=DAPI"], "rename", {"channel_map": {"1": "DAPI"}}),
        ],
    )
    def test_what_a_flag_sets(self, load, path, monkeypatch, flags, section, expected):
        load()
        seen = []

        def run_stage_command(stage, call):
            seen.append(load_project(call.project, call.flags(stage.sections)))
            return 0

        monkeypatch.setattr("nucprof.cli.running.run_stage_command", run_stage_command)
        from nucprof.cli.app import build_app
        from nucprof.cli.boundary import run_app

        command = {"train": ["train", "rf"], "train.rf": ["train", "rf"]}.get(section, [section])
        assert run_app(build_app(), [*command, str(path), *flags]) == 0
        (project,) = seen
        settings = project.section(section)
        assert {key: getattr(settings, key) for key in expected} == expected
        if "--workers" in flags:
            assert project.execution.workers == 2

    def test_a_mapping_flag_without_value(self, load, path, capsys):
        from nucprof.cli.app import build_app
        from nucprof.cli.boundary import run_app

        load()
        assert run_app(build_app(), ["gate", str(path), "--cutoff", "EdU"]) == 2
        assert "--cutoff EdU: expected KEY=VALUE" in capsys.readouterr().err


def test_sections_are_frozen_and_forbid_unknown_keys():
    def sections(model):
        for field in model.model_fields.values():
            for found in (field.annotation, *typing.get_args(field.annotation)):
                if inspect.isclass(found) and issubclass(found, BaseModel):
                    yield found
                    yield from sections(found)

    found = {model.__name__ for model in sections(Project)}
    assert {"SegmentSettings", "ForestSettings", "PlateSection"} <= found
    for model in sections(Project):
        assert model.model_config["frozen"], model
        assert model.model_config["extra"] == "forbid", model


class TestClassesAndCutoffs:
    def test_a_cutoff_of_a_plate(self, refused):
        message = refused(flags={"gate": {"cutoffs": {"rep9/EdU": "600"}}})
        assert "gate.cutoffs: unknown plate 'rep9'" in message
        message = refused(flags={"gate": {"cutoffs": {"rep1/EdU": "auto"}}})
        assert "the cutoff of one plate (rep1/EdU) is a number, not auto" in message

    @pytest.mark.parametrize("flag", ["nan", "inf", "-inf"])
    def test_a_cutoff_that_is_no_number(self, refused, flag):
        message = refused(flags={"gate": {"cutoffs": {"EdU": flag}}})
        assert f"gate.cutoffs.EdU' = '{flag}" in message
        assert message.count("\n") == 0

    def test_two_classes_with_one_marker_are_both_named(self, refused):
        message = refused(flags={"gate": {"classes": {"A": "EdU", "B": "EdU"}}})
        for word in ("'A'", "'B'", "same marker EdU", "B=!EdU"):
            assert word in message
        assert message.count("\n") == 0

    def test_a_class_called_undefined(self, refused):
        assert "cannot be called 'undefined'" in refused('[gate.classes]\nundefined = "EdU"\n')

    def test_the_marker_of_a_line_without_it_must_exist(self, refused, load):
        project = load('[gate.classes]\nneuro = "EdU"\nastro = "!EdU"\n')
        assert project.gate.classes == {"neuro": "EdU", "astro": "!EdU"}
        assert "did you mean 'EdU'?" in refused('[gate.classes]\nastro = "!EDU"\n')

    def test_a_target_listed_twice(self, refused):
        message = refused('[train]\ntargets = ["a", "b", "a"]\n')
        assert "the class 'a' is listed twice" in message
        assert message.count("\n") == 0
