"""Which wells of which plate are reference wells."""

import pytest

from nucprof.errors import UserError
from nucprof.plate.keys import WellKey
from nucprof.plate.layout import Layout
from nucprof.plate.references import UNNAMED, reference_wells

B02, C02, D02 = (WellKey.parse(text) for text in ("B02", "C02", "D02"))
LAYOUTS = {
    "rep1": Layout({B02: "astro", C02: "neuro", D02: "co-culture"}),
    "rep2": Layout({B02: "neuro"}),
    "rep3": None,
}


def find(**chosen):
    return reference_wells(LAYOUTS, mixed_culture="co-culture", **chosen)


def test_the_monocultures_of_each_plate_are_the_default():
    assert find() == {"rep1": {B02: "astro", C02: "neuro"}, "rep2": {B02: "neuro"}, "rep3": {}}


def test_cultures_may_be_named():
    assert find(culture=["neuro"]) == {"rep1": {C02: "neuro"}, "rep2": {B02: "neuro"}, "rep3": {}}
    assert find(culture=["co-culture"])["rep1"] == {D02: "co-culture"}


def test_wells_may_be_named_with_or_without_their_plate():
    assert find(wells=["b2", "rep1/D02"]) == {
        "rep1": {B02: "astro", D02: "co-culture"}, "rep2": {B02: "neuro"}, "rep3": {B02: UNNAMED},
    }  # fmt: skip


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UserError, match=r"holds glia; there are: astro, co-culture, neuro"):
        find(culture=["glia"])
    with pytest.raises(UserError, match="both wells and culture"):
        find(culture=["astro"], wells=["B02"])
    with pytest.raises(UserError, match="'astro' is not a well"):
        find(wells=["astro"])
    for well in ("rep9/B02", "rep2/C02"):
        with pytest.raises(UserError, match=f"no plate has a well '{well}' in its layout"):
            find(wells=[well])
    assert find(wells=["G07"])["rep3"]  # a plate without a layout may hold any well
