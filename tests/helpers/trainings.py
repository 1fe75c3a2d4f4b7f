"""What a project says of trainings, for tests that call the classifiers themselves."""

from __future__ import annotations

from typing import Any

from nucprof.config.models import TrainSettings
from nucprof.learn.cells import Training


def training(**changed: Any) -> Training:
    """`[train]` with these keys, all others at their defaults."""
    return Training.of(TrainSettings(**changed), gated=True, mixed_name="co-culture")
