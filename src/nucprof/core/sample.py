"""Evenly spaced samples of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Take `count` items, evenly spaced from the first to the last; all where there are fewer."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    last = len(items) - 1
    return [items[(2 * k * last + count - 1) // (2 * (count - 1))] for k in range(max(count, 0))]
