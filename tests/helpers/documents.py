"""What the documentation says, taken out of its Markdown: commands, project files, keys."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer.main

from nucprof.cli.app import build_app
from nucprof.config import Project

REPOSITORY = Path(__file__).parents[2]
#: Every page that a user reads.
PAGES = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "examples" / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
    ]
)
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", flags=re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[a-z]")


def exists(dotted: str) -> bool:
    """Whether a dotted key is one of the project file's."""
    model: Any = Project
    for part in dotted.split("."):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return False
        annotation = fields[part].annotation
        model = next(iter(get_args(annotation)), annotation)
    return True


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The code blocks of a page in some languages."""
    for _, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield textwrap.dedent(text)


def commands(page: Path) -> list[list[str]]:
    """Every nucprof command of a page, as words without ``nucprof``."""
    lines = [line for block in blocks(page, "sh", "powershell") for line in block.splitlines()]
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    lines += re.findall(r"`(nucprof [^`\n]+)`", prose)
    found = []
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if "cluster.py" in words:
                found.append(words[words.index("--") + 1 :])
            elif "docker" in words or "apptainer" in words:
                found += [words[words.index("run-all") :]] if "run-all" in words else []
            elif words[:1] == ["nucprof"] and _WORD.match("".join(words[1:2])):
                found.append(words[1:])
    return found


def parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command by the real command line; its name, and its values.

    Raises what the parser raises for a wrong command or flag.
    """
    command, name = typer.main.get_command(build_app()), []
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        name.append(words[0])
        words = words[1:]
    if not words:  # a command that is only named
        return " ".join(name), {}
    return " ".join(name), command.make_context(name[-1], list(words)).params
