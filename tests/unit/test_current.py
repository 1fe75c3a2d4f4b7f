"""Which finished jobs are current after an earlier stage has changed."""

from __future__ import annotations

from nucprof.run.current import current_jobs
from nucprof.stages.base import WHOLE, Entry, Stage, needs


def made(name, *before):
    """A stage of which only the name and what it needs count."""
    return Stage(name, "", (), needs(*before), (), plan=None, work=None, finish=None)


ONE, TWO = ("p", "A-01-01"), ("p", "A-01-02")
STAGES = (
    made("segment", "rename"),
    made("align", "segment"),
    made("features", "segment", "align"),
    made("gate", "features"),
)


def entry(key, inputs=(), outputs=(), status="done"):
    """A job that read and wrote files, given as ``path=hash``."""

    def prints(files):
        return {name: [1, 2, digest] for name, digest in (f.split("=") for f in files)}

    return Entry(*key, status, "", inputs=prints(inputs), outputs=prints(outputs))


def world():
    journals = {
        "segment": {key: entry(key, [f"raw{key[1]}=r"], [f"mask{key[1]}=m"]) for key in (ONE, TWO)},
        "align": {
            key: entry(key, [f"mask{key[1]}=m"], [f"aligned{key[1]}=a"]) for key in (ONE, TWO)
        },
        "features": {
            key: entry(key, [f"aligned{key[1]}=a"], [f"part{key[1]}=f"]) for key in (ONE, TWO)
        },
        "gate": {WHOLE: entry(WHOLE, ["CP.parquet=t"])},
    }
    return journals, {"features": {"CP.parquet": [1, 2, "t"]}}


def keys(journals, tables):
    return {name: set(journal) for name, journal in current_jobs(STAGES, None, journals, tables)}


def test_all_are_current():
    both = {ONE, TWO}
    expected = {"segment": both, "align": both, "features": both, "gate": {WHOLE}}
    assert keys(*world()) == expected


def test_a_field_segmented_anew_takes_its_later_jobs_and_those_about_everything():
    journals, tables = world()
    journals["segment"][ONE] = entry(ONE, ["rawA-01-01=r"], ["maskA-01-01=NEW"])
    expected = {"segment": {ONE, TWO}, "align": {TWO}, "features": {TWO}, "gate": set()}
    assert keys(journals, tables) == expected


def test_the_same_result_again_changes_nothing():
    journals, tables = world()
    journals["segment"][ONE] = entry(ONE, ["rawA-01-01=OTHER"], ["maskA-01-01=m"])
    assert keys(journals, tables) == keys(*world())


def test_a_table_written_anew_takes_what_was_made_from_it():
    journals, tables = world()
    tables["features"]["CP.parquet"] = [1, 2, "NEW"]
    found = keys(journals, tables)
    assert found["features"] == {ONE, TWO}
    assert found["gate"] == set()


def test_a_stage_that_the_project_does_not_need_is_passed_over():
    journals, tables = world()
    without = [stage for stage in STAGES if stage.name != "align"]
    journals["features"] = {ONE: entry(ONE, ["maskA-01-01=m"])}
    found = dict(current_jobs(without, None, journals, tables))
    assert set(found["features"]) == {ONE}
    assert "align" not in found


def test_failed_and_excluded_jobs_are_current():
    journals, tables = world()
    journals["align"][ONE] = entry(ONE, status="failed")
    journals["align"][TWO] = entry(TWO, ["maskA-01-02=m"], status="excluded")
    assert keys(journals, tables)["align"] == {ONE, TWO}
