"""The fixed pattern of camera and plate in every image, found once and stored in a file.

Fields are sampled evenly from the image index, so that the file depends only on the plate: not on
the fields that were run before, nor on the number of workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.core.sample import evenly_spaced
from nucprof.errors import NucprofError
from nucprof.io.digest import sha256
from nucprof.io.files import write_json
from nucprof.io.state import StateFile, find_state, read_state
from nucprof.plate.keys import FieldKey
from nucprof.plate.sources import Source

if TYPE_CHECKING:
    import numpy as np

    from nucprof.core.pattern import Pattern

#: Fields sampled on a plate, and at least per site of its wells.
FIELDS, FIELDS_PER_SITE = 16, 6
#: Rounds of other wells in a field's null distribution.
OTHERS = 6


@dataclass(frozen=True)
class Pair:
    """The channels of a field used for registration: of Cell Painting and of a round."""

    painted: tuple[Source, ...]
    imaged: tuple[Source, ...]


class PatternFile(StateFile):
    """The file beside the arrays.

    ``definition``: identity of the images; ``arrays``: hash of the file of arrays.
    """

    definition: dict[str, list[list[Any]]]
    arrays: str = ""
    fields: list[str]
    copies: list[str]
    hidden: float


def sample_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """Choose fields evenly from a plate, site by site; none if there is only one well."""
    sites: dict[int, list[str]] = defaultdict(list)
    for field in sorted(fields):
        sites[FieldKey.parse(field).site].append(field)
    if len({_well(field) for field in fields}) < 2:
        return ()
    count = max(FIELDS_PER_SITE, -(-FIELDS // len(sites)))
    return tuple(field for held in sites.values() for field in evenly_spaced(held, count))


def ensure_pattern(path: Path, pairs: Mapping[str, Pair]) -> None:
    """Find the pattern of a plate and round, unless the file contains it already.

    Parameters
    ----------
    path : Path
        The file of the arrays; their sources are listed in a ``.json`` file next to it.
    pairs : mapping
        Sampled field -> its images.
    """
    definition = {field: _identity(pair) for field, pair in pairs.items()}
    about = path.with_suffix(".json")
    held = find_state(about, PatternFile) if path.is_file() else None
    if held is not None and held.definition == definition and held.arrays == sha256(path):
        return
    found = _measure(path, pairs)
    write_json(about, {"definition": definition, "arrays": sha256(path), **found})


def describe_pattern(path: Path, where: tuple[str, str]) -> tuple[list[str], list[str]]:
    """Describe the pattern of a plate and round: summary lines, and warnings."""
    held = read_state(path.with_suffix(".json"), PatternFile, "run: nucprof align PROJECT --force")
    name = f"plate {where[0]}, {where[1]}"
    lines, warnings = [], []
    if held.hidden > 0:
        lines.append(
            f"{name}: {held.hidden:.1%} of the image is the same in {len(held.fields)} "
            "fields (dust, specks, an edge) and is left out of the registration"
        )
    if held.copies:
        warnings.append(
            f"{name}: another field shows the same scene as {', '.join(held.copies)}; if this is "
            "not intended, check whether files were copied under several names"
        )
    return lines, warnings


def read_pattern(path: Path, field: str) -> Pattern:
    """Read the pattern for one field: rounds of other wells, of the same site if possible."""
    from nucprof.core.pattern import Pattern
    from nucprof.core.registration import FEWEST_OTHERS
    from nucprof.io.arrays import read_arrays

    used, fixed, moving = read_arrays(path, ["fields", "hidden-fixed", "hidden-moving"])
    others = [name for name in used.tolist() if _well(name) != _well(field)]
    same_site = [n for n in others if FieldKey.parse(n).site == FieldKey.parse(field).site]
    chosen = evenly_spaced(same_site if len(same_site) >= FEWEST_OTHERS else others, OTHERS)
    scenes, rounds = (
        tuple(
            plane.astype("float32") for plane in read_arrays(path, [f"{kind}-{n}" for n in chosen])
        )
        for kind in ("scene", "round")
    )
    return Pattern(fixed, moving, scenes, rounds)


def _measure(path: Path, pairs: Mapping[str, Pair]) -> dict[str, Any]:
    import numpy as np

    from nucprof.core import pattern
    from nucprof.io.arrays import write_arrays

    scenes: dict[str, np.ndarray] = {}
    painted: dict[str, np.ndarray] = {}
    imaged: dict[str, np.ndarray] = {}
    copies = []
    for field, pair in pairs.items():
        planes = _planes(pair)
        if planes is None or any(p.shape != planes[0].shape for p in painted.values()):
            continue
        if any(p.shape != planes[1].shape for p in imaged.values()):
            continue
        scene = pattern.signature(planes[0])
        if any(pattern.same_scene(scene, other) for other in scenes.values()):
            copies.append(field)
            continue
        scenes[field], painted[field], imaged[field] = scene, *planes
    hidden = {
        "hidden-fixed": pattern.common(painted.values()),
        "hidden-moving": pattern.common(imaged.values()),
    }
    kept = {f"scene-{field}": scene for field, scene in scenes.items()}
    kept |= {f"round-{field}": plane for field, plane in imaged.items()}
    half = {name: plane.astype("float16") for name, plane in kept.items()}
    write_arrays(path, {"fields": np.array(list(scenes), dtype="U"), **hidden, **half})
    return {
        "fields": list(scenes),
        "copies": copies,
        "hidden": round(max(float(mask.mean()) for mask in hidden.values()), 4),
    }


def _planes(pair: Pair) -> tuple[np.ndarray, np.ndarray] | None:
    """Reduced planes of a field; None if there are none (the field's own job says why)."""
    from nucprof.core.pattern import reduced
    from nucprof.io.images import read_channels

    try:
        painted, imaged = (
            read_channels(sources).max(axis=0) for sources in (pair.painted, pair.imaged)
        )
    except (NucprofError, OSError):
        return None
    first, second = reduced(painted, imaged.shape), reduced(imaged, painted.shape)
    return None if first is None or second is None else (first, second)


def _identity(pair: Pair) -> list[list[Any]]:
    """Identity of the files of a field and of the planes read, to detect changes."""
    found: list[list[Any]] = []
    for source in (*pair.painted, *pair.imaged):
        part = [source.plane, source.position, source.time, source.projection, source.zoom]
        for path in source.files:
            state = path.stat() if path.is_file() else None
            found.append([path.name, *part, *([state.st_size, state.st_mtime_ns] if state else [])])
    return found


def _well(field: str) -> str:
    return str(FieldKey.parse(field).well)
