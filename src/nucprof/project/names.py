"""Names chosen by `init`, and the table of what it read from file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nucprof.io.images import stem_of
from nucprof.plate.patterns import NamePattern
from nucprof.plate.words import several, some
from nucprof.raw.round_files import name_below

_SHOWN = 5


def safe_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names without characters that file names cannot have; equal names get a number."""
    safe = [re.sub(r"[^\w.\-+() ]+", "_", name).strip("_.- ") or "C" for name in names]
    return tuple(n if safe.count(n) == 1 else f"{n}_{i + 1}" for i, n in enumerate(safe))


def preview(folder: Path, paths: Sequence[Path], pattern: NamePattern) -> list[str]:
    """A table of what a pattern reads from file names, with fields, gaps and duplicates.

    Parameters
    ----------
    folder : Path
        The folder of the round.
    paths : sequence of Path
        The files in it or below it; a few, evenly spaced, are shown.
    pattern : NamePattern
        The pattern.
    """
    deep = pattern.with_folders
    read = {p: pattern.parse(name_below(p, folder) if deep else stem_of(p)) for p in paths}
    step = max(1, len(paths) // _SHOWN)
    rows = [("file", "well", "site", "channel", "z", "t")]
    for path in list(paths)[::step][:_SHOWN]:
        parsed = read[path]
        name = path.relative_to(folder).as_posix() if deep else path.name
        rows.append(
            (name, "not read", "", "", "", "")
            if parsed is None
            else (
                name,
                str(parsed.key.well),
                str(parsed.key.site),
                parsed.channel or "-",
                str(parsed.z),
                str(parsed.t),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    padded = ([text.ljust(w) for text, w in zip(row, widths, strict=True)] for row in rows)
    lines = ["  ".join(row).rstrip() for row in padded]
    found = [parsed for parsed in read.values() if parsed is not None]
    images = Counter((p.key, p.channel, p.z, p.t) for p in found)
    fields = {p.key for p in found}
    sites = Counter(key.well for key in fields)
    most = max(sites.values(), default=0)
    channels = ", ".join(sorted({p.channel for p in found if p.channel})) or "in the files"
    where = f"{several(len(fields), 'field')} in {several(len(sites), 'well')}"
    lines.append(f"{where}, channels: {channels}")
    gaps = [f"{well} ({n} of {most})" for well, n in sorted(sites.items()) if n < most]
    doubles = [f"{key} ({n} files)" for (key, *_), n in images.items() if n > 1]
    unread = [path.name for path, parsed in read.items() if parsed is None]
    for what, names in (("gaps", gaps), ("doubles", doubles), ("not read", unread)):
        if names:
            lines.append(f"{what}: {some(names)}")
    return lines
