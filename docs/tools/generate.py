"""Write the tables and files of the documentation that say what the code says, or check them.

    python docs/tools/generate.py            # rewrite them
    python docs/tools/generate.py --check    # exit 1 and name those that differ

A page marks the place of a table with two comments, ``<!-- generated: NAME -->`` and
``<!-- end -->``. Run it in the environment that has our packages.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import answers_schema
import errors_table
import licences_table
import metrics_tables
import settings_tables

DOCS = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
TABLES: Mapping[str, Callable[[], str]] = {
    **settings_tables.TABLES,
    **errors_table.TABLES,
    **licences_table.TABLES,
    **metrics_tables.TABLES,
    **answers_schema.TABLES,
}
FILES: Mapping[str, Callable[[], str]] = {**answers_schema.FILES}
"""Whole files, by their place in ``docs/``."""


def renewed(text: str) -> str:
    """A page with its tables made anew.

    Raises:
        KeyError: the page names a table that there is not.
    """
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[4]}", text)


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, name what is stale")
    check = parser.parse_args().check
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    shown = {name for text in pages.values() for _, name, *_ in BLOCK.findall(text)}
    if missing := set(TABLES) - shown:
        sys.exit(f"no page shows {', '.join(sorted(missing))}")
    stale = {path: new for path, text in pages.items() if (new := renewed(text)) != text}
    for name, make in FILES.items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != make():
            stale[path] = make()
    for path, text in stale.items():
        if check:
            print(f"stale: {path.relative_to(DOCS.parent)}; run `make docs-tables`")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
