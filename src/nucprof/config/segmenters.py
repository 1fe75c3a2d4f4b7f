"""The section ``[segment]``: its own keys, and those of every installed segmentation backend.

A backend declares its keys in a settings model of its own. In the project file, the keys of
all backends are in ``[segment]``, and each backend reads its own. See docs/backends.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import create_model
from pydantic.fields import FieldInfo

from nucprof.config.models import SegmentBase
from nucprof.config.setting import Section

GROUP = "nucprof.segmenters"


S = TypeVar("S", bound=Section)


class Declaration(Protocol):
    """The part of a backend's declaration that this module needs."""

    name: str
    settings: type[Section]
    finds: Sequence[str]
    model: str | None
    check: Callable[[Any], str | None] | None
    folders: Callable[[Any], Sequence[Path]] | None


@dataclass(frozen=True)
class _Installed:
    """The usable backends, all their keys, and why other backends cannot be used."""

    segmenters: Mapping[str, Declaration]
    keys: Mapping[str, FieldInfo]
    broken: Mapping[str, str]


@cache
def _installed() -> _Installed:
    found: dict[str, Declaration] = {}
    keys: dict[str, FieldInfo] = {}
    broken: dict[str, str] = {}
    # Built-in backends first: a package that uses one of their names or keys is refused.
    points = set(entry_points(group=GROUP))
    for point in sorted(points, key=lambda p: (not p.value.startswith("nucprof."), p.name)):
        try:
            segmenter: Declaration = point.load()
            _refuse_other_meanings(segmenter, found, keys)
        except Exception as error:  # noqa: BLE001 - another package's code may raise anything
            broken[point.name] = (
                f"the backend '{point.name}' of the package {_package(point)} cannot be used "
                f"({type(error).__name__}: {error}); update or uninstall that package"
            )
            continue
        found[segmenter.name] = segmenter
        keys |= segmenter.settings.model_fields
    return _Installed(found, keys, broken)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _refuse_other_meanings(
    segmenter: Declaration, found: Mapping[str, Declaration], keys: Mapping[str, FieldInfo]
) -> None:
    if segmenter.name in found:
        raise ValueError(f"another package has a backend of the name '{segmenter.name}'")
    for key, info in segmenter.settings.model_fields.items():
        known = keys.get(key) or SegmentBase.model_fields.get(key)
        if known is not None and (known.annotation, known.default) != (
            info.annotation,
            info.default,
        ):
            raise ValueError(f"segment.{key} has another type or default in another backend")


def segmenters() -> Mapping[str, Declaration]:
    """Every installed backend that can be used, by name."""
    return _installed().segmenters


def broken_segmenters() -> Mapping[str, str]:
    """Why a backend that a package offers cannot be used, by name."""
    return _installed().broken


if TYPE_CHECKING:

    class SegmentSettings(SegmentBase):
        """How nuclei or whole cells are found; the backends' keys are made when it is loaded."""

        def __getattr__(self, name: str) -> Any: ...

else:
    _names = Literal[tuple(sorted([*segmenters(), *broken_segmenters()]))]
    SegmentSettings = create_model(
        "SegmentSettings",
        __base__=SegmentBase,
        __module__=__name__,
        __doc__=SegmentBase.__doc__,
        backend=(_names | None, SegmentBase.model_fields["backend"]),
        **{key: (info.annotation, info) for key, info in _installed().keys.items()},
    )


def own_settings(settings: SegmentSettings, model: type[S]) -> S:
    """The settings of one backend, from ``[segment]``."""
    return model(**{key: getattr(settings, key) for key in model.model_fields})


def unused_keys(settings: SegmentSettings, model: type[Section]) -> list[str]:
    """Keys of ``[segment]`` that are set, but belong to other backends."""
    return [
        key
        for key, info in type(settings).model_fields.items()
        if key not in SegmentBase.model_fields
        and key not in model.model_fields
        and getattr(settings, key) != info.default
    ]
