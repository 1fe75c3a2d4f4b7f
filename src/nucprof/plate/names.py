"""Names from users: checked here, once, where they enter."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nucprof.errors import UserError

LONGEST = 80
SAFE = (
    "a name is made of letters, digits, spaces and . _ - + ( ), begins with a letter or digit, "
    f"ends with neither space nor dot, and has at most {LONGEST} characters"
)
TAKEN = ("undefined", "uncertain")
"""What the gate and predict call cells without a class; no culture or class may be called so."""

_SAFE = re.compile(r"[^\W_](?:[\w.\-+() ]*[\w\-+)])?")
# Windows opens a device by these names, with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def fault_of_name(name: str) -> str:
    """What is wrong with a name that becomes a folder or file, on any system; empty: nothing."""
    if not _SAFE.fullmatch(name) or len(name) > LONGEST:
        return SAFE
    return f"'{name}' is a device on Windows; choose another" if _DEVICE.fullmatch(name) else ""


def check_name(name: str, what: str) -> None:
    """Raise a :class:`UserError` if a name cannot be a folder; ``what`` is its flag or key."""
    fault = fault_of_name(name)
    if fault:
        raise UserError(f"{what} {printable(name)!r}: {fault}.")


def fault_of_class(name: str) -> str:
    """What is wrong with the name of a culture or class, which is free text; empty: nothing."""
    if name.casefold() in TAKEN:
        return (
            f"a class or culture cannot be called '{name}', which is nucprof's name for cells "
            "without a class; rename it"
        )
    if not name.strip() or len(name) > LONGEST:
        return f"a name has 1 to {LONGEST} characters"
    if _CONTROL.search(name):
        return f"'{printable(name)}' has characters that cannot be printed; type it again"
    return ""


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are one folder on Windows and macOS, or None."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            return other, name
    return None


def is_text(name: object) -> bool:
    """Whether a name or path can be written into a text file.

    Linux allows any bytes in a name, also such as are not UTF-8 (from an old disk or archive).
    """
    try:
        str(name).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def require_text(name: object, what: str) -> None:
    """Raise a :class:`UserError` for a name that no text file can hold; ``what`` says whose."""
    if not is_text(name):
        raise UserError(
            f"{what} {name} has bytes that are not UTF-8. Rename that file or folder: nucprof "
            "writes every name into its records, which are text."
        )


def printable(text: str) -> str:
    """Text with control characters and broken characters written as escapes; lines stay lines.

    File names may hold any character: printed as they are, some move the cursor of a terminal,
    change its title, or reverse the direction of text.
    """
    shown = _CONTROL.sub(lambda m: m[0] if m[0] in "\n\t" else f"\\x{ord(m[0]):02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
