"""The recorded state of a project's results: manifest, journals, and index of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.files import Fingerprint
from nucprof.io.results import Results
from nucprof.plate.names import check_name
from nucprof.report.records import StageRun
from nucprof.run import journal
from nucprof.run.manifest import Manifest
from nucprof.run.places import Places
from nucprof.stages import STAGES
from nucprof.stages import stage as find_stage
from nucprof.stages.base import Entry, Job, Stage

if TYPE_CHECKING:  # numpy is slow to import
    from nucprof.raw.index import ImageIndex


class RunState:
    """The recorded results of a project; read only.

    Parameters
    ----------
    project : Project
    name : str
        Name under which a classifier is trained or applied (``--name``).
    out : Path, optional
        Folder that gets what a stage writes, in place of the results (``--out``).

    Raises
    ------
    UserError
        The name cannot be a folder, or a state file is damaged.
    """

    def __init__(self, project: Project, *, name: str = "default", out: Path | None = None) -> None:
        check_name(name, "--name")
        self.project = project
        self.name = name
        self.results = Results(project.project.output)
        self.written = self.results if out is None else Results(out)
        self.manifest = Manifest.read(self.results.manifest)
        #: Stages whose old results are used although they are not up to date.
        self.outdated: tuple[str, ...] = ()
        self.places = Places(project.root, self.results.root)
        self._journals: dict[str, journal.Journal] = {}
        if self.manifest.fault:
            self.note(
                f"{self.results.manifest} is damaged ({self.manifest.fault}); it is made again "
                "from the journals, without the flags of earlier commands"
            )

    def note(self, text: str) -> None:
        """Take note of damage that is mended without asking; overridden where someone reads it."""

    @cached_property
    def images(self) -> ImageIndex:
        """Which file holds which channel, from ``images.csv``."""
        from nucprof.raw.index import ImageIndex

        listed = next(iter(self.entries("rename").values()), None)
        moved = None
        if listed is not None and listed.record is not None:
            moved = Path(listed.record.root), self.project.root
            known = listed.outputs.get(str(self.results.images))
            # fields that are missing in a cut table would be taken for fields that left the project
            if known is not None and not Fingerprint(*known).matches(self.results.images):
                raise UserError(
                    f"{self.results.images} is missing, damaged or edited; 'rename' makes it "
                    "again: nucprof rename PROJECT (or nucprof run-all PROJECT)."
                )
        return ImageIndex.read(self.results.images, moved)

    def entries(self, stage: str) -> dict[tuple[str, str], Entry]:
        """Finished jobs of a stage, from its journal."""
        return self._journal(stage).entries

    def damaged(self, stage: Stage) -> bool:
        """Whether the journal of a stage has lines that do not fit."""
        return bool(self._journal(stage.name).faults)

    def forget_faults(self, stage: Stage) -> None:
        """The journal of a stage was written again, without the lines that did not fit."""
        self._journal(stage.name).faults.clear()

    def _journal(self, stage: str) -> journal.Journal:
        if stage not in self._journals:
            declared = find_stage(stage)
            path = self.results.journal(self.record_name(declared))
            found = self._journals[stage] = journal.read(path, declared.record, self.places)
            if found.faults:
                self.note(
                    f"{path} has {len(found.faults)} lines that do not fit, which are done again "
                    f"where needed: {'; '.join(found.faults[:3])}"
                )
        return self._journals[stage]

    @property
    def runs(self) -> list[StageRun]:
        """What the manifest records of every stage, in the order of the stages."""
        known = {stage.name: number for number, stage in enumerate(STAGES)}
        names = [n for n in self.manifest.stages if n.partition("@")[0] in known]
        names.sort(key=lambda name: (known[name.partition("@")[0]], name))
        return [self.manifest.stages[name].as_run(name) for name in names]

    def record_name(self, stage: Stage) -> str:
        """The name of a stage's record; results stored under a name have a separate record."""
        own = stage.named and self.name != "default"
        return f"{stage.name}@{self.name}" if own else stage.name

    def require_needs(self, stage: Stage) -> None:
        """Raise an error that names the first earlier stage that must run and has not."""
        needed = set(stage.needs(self.project))
        for earlier in reversed(STAGES):
            if earlier.name in needed:
                needed |= set(earlier.needs(self.project))
        for earlier in STAGES:
            if earlier.name not in needed or earlier.skip(self.project):
                continue
            # a field whose line is lost would be taken for one that left the project
            if self.damaged(earlier):
                raise UserError(
                    f"the journal of '{earlier.name}' is damaged; run: nucprof {earlier.command} "
                    "PROJECT (or nucprof run-all PROJECT), which does again what it lost."
                )
            if not self.entries(earlier.name):
                raise UserError(
                    f"'{earlier.name}' has not run yet; run: nucprof {earlier.command} PROJECT "
                    "(or nucprof run-all PROJECT)."
                )

    def refuse_altered(self, stage: str, paths: Iterable[Path]) -> None:
        """Refuse files that are not as a stage wrote them: half a table is no table."""
        for path in self.altered(stage, paths):
            raise UserError(
                f"{path} is not as '{stage}' wrote it: missing, damaged or edited. Make it "
                f"again: nucprof {find_stage(stage).command} PROJECT (or nucprof run-all "
                "PROJECT)."
            )

    def altered(self, stage: str, paths: Iterable[Path]) -> list[Path]:
        """Those of the files that a stage wrote and that are not as it wrote them."""
        made = self._made_by(stage)
        return [p for p in paths if p in made and not Fingerprint(*made[p]).matches(p)]

    def _made_by(self, stage: str) -> dict[Path, Sequence[Any]]:
        """Every file that a stage wrote, under all names, with its fingerprint."""
        made: dict[Path, Sequence[Any]] = {}
        for name, record in self.manifest.stages.items():
            if name.partition("@")[0] == stage:
                made |= {self.results.absolute(p): known for p, known in record.outputs.items()}
        for entry in self.entries(stage).values():
            made |= {Path(path): known for path, known in entry.outputs.items()}
        if find_stage(stage).ledger and self.manifest.cells:
            made[self.results.cells] = self.manifest.cells
        return made

    def require_unaltered(self, stage: Stage, jobs: Sequence[Job]) -> None:
        """Refuse inputs of jobs that are not as an earlier stage wrote them."""
        inputs = {path for job in jobs for path in job.inputs}
        for earlier in (*stage.needs(self.project), *stage.uses):
            self.refuse_altered(earlier, inputs)
