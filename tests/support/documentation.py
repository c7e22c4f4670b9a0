"""README and the pages of the documentation, as tests read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(language: str, pages: Sequence[Path] = PAGES) -> list[tuple[str, str]]:
    """Code blocks of a language, each once, with the page that they are on.

    ``python`` and ``shell`` are run by tests; what is only shown is marked ``py`` or ``text``.
    """
    found: dict[str, str] = {}
    for page in pages:
        pattern = rf"^ *```{language}\n(.*?)^ *```$"
        for block in re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL):
            found.setdefault(block, str(page.relative_to(ROOT)))
    return [(block, page) for block, page in found.items()]


def shell_lines(pages: Sequence[Path] = PAGES) -> list[str]:
    """Commands of all ``shell`` blocks, each once, on one line, without their comments."""
    lines = [
        line.partition(" #")[0].strip()
        for block, _ in blocks("shell", pages)
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if line))
