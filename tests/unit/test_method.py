"""docs/method.md: its links lead somewhere, its sections stay short, and it names what is told."""

import re
from pathlib import Path

import pytest

from nucprof.core.cutoffs import CutoffQuality, share_of
from nucprof.core.features import TEXTURES
from nucprof.core.gate import describe_cutoff
from nucprof.core.quality import RULES

TEXT = (Path(__file__).parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", TEXT, flags=re.S | re.M))


def test_links_lead_to_sections():
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in SECTIONS}
    links = re.findall(r"\(#([^)]+)\)", TEXT)
    assert links
    assert set(links) <= anchors
    assert len(SECTIONS) - len(set(links)) <= 2  # a section that nothing links to is not found


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_is_half_a_page_at_most(title):
    assert len(SECTIONS[title].split()) <= 260
    assert "**Where**" in SECTIONS[title]
    assert re.search(r"\*\*[^*]*(Do not|do not|Believe it where|nobody can say)", SECTIONS[title])


def test_the_numbers_of_the_gate_are_explained():
    nothing = share_of([], [])
    keys = describe_cutoff(1.0, CutoffQuality(nothing, nothing, None))
    for key in keys:
        word = re.sub(r"_(low|high)$|^n_", "", key)
        assert word in TEXT or word in ("positive", "negative"), key


def test_quality_figures_and_texture_sets_are_explained():
    for rule in RULES:
        assert f"`{rule.name}`" in TEXT
    for name in TEXTURES["published"]:
        assert name.lower() in TEXT.lower()
