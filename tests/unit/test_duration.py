"""Times for people."""

import pytest

from nucprof.duration import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (99, "1 min 39 s"),
        (720, "12 min"),
        (3599.6, "1 h"),
        (18_360, "5 h 6 min"),
    ],
)
def test_a_time_in_its_two_largest_units(seconds, text):
    assert duration(seconds) == text
