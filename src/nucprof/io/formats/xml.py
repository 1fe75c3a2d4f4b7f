"""XML inside image files and beside them: parsed only if it declares no entities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

_PROLOGUE = 1 << 16  # bytes; declarations come before the first element


def read_xml(text: str) -> ElementTree.Element:
    """Parse XML; raises :class:`ValueError` if it is broken or declares entities."""
    _refuse_entities(text.encode("utf-8", "replace"))
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - it declares no entities
    except ElementTree.ParseError as error:
        raise ValueError(f"its XML is broken ({error})") from None


def elements(path: Path) -> Iterator[ElementTree.Element]:
    """Every element of a large file as it ends; raises like :func:`read_xml`."""
    with path.open("rb") as file:
        _refuse_entities(file.read(_PROLOGUE))
    try:
        for _, element in ElementTree.iterparse(path):  # noqa: S314 - it declares no entities
            yield element
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from None


def _refuse_entities(data: bytes) -> None:
    """Entities can grow without limit, or name other files; no microscope declares any."""
    plain = data.replace(b"\0", b"")  # UTF-16
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("its XML declares a document type, which no microscope writes")
