"""``docs/reliability.md`` counts the cases as they are."""

from __future__ import annotations

import pytest
from reliability import DOCUMENT, collected, table_of

from hostile import KINDS

pytestmark = pytest.mark.kind("frame")


def test_numbers_are_those_of_the_suite():
    counts = collected()
    assert set(counts) == set(KINDS)
    # a release is made with all cases right; `python tests/helpers/reliability.py` runs them
    assert table_of(counts, counts) in DOCUMENT.read_text(encoding="utf-8")
