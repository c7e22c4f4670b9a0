"""Which files of the page a browser loads before anything is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import diptych_gateway

PAGE = Path(diptych_gateway.__file__).parent / "page"
_IMPORTED = re.compile(r"^(?:import|export)\b[^;]*?\bfrom \"(\.[^\"]+)\";", re.MULTILINE)
_NAMED = re.compile(r"(?:href|src)=\"((?:js/)?[\w/-]+\.(?:css|svg|js))\"")
_PRELOADED = re.compile(r"<link rel=\"modulepreload\" href=\"([^\"]+)\">")


def imported(start: Path) -> set[Path]:
    """List a module and all that it imports before it runs, and they in turn."""
    found: set[Path] = set()
    due = [start.resolve()]
    while due:
        module = due.pop()
        if module not in found:
            found.add(module)
            names = _IMPORTED.findall(module.read_text("utf-8"))
            due += [(module.parent / name).resolve() for name in names]
    return found


def first_files() -> set[Path]:
    """List what is loaded before anything is looked at: the page, what it names, its modules."""
    index = PAGE / "index.html"
    named = {(PAGE / name).resolve() for name in _NAMED.findall(index.read_text("utf-8"))}
    return {index.resolve()} | named | imported(PAGE / "js" / "main.js")


def preloaded() -> list[str]:
    """List the modules that the page names, in its order."""
    return _PRELOADED.findall((PAGE / "index.html").read_text("utf-8"))
