"""The table of what the images hold besides our own code, with licences as makers state them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "locks"))

from resolve import BASES, LOCKS, environments, pins, tools_apart  # noqa: E402

_EMPTY = ("cuda-toolkit",)
_BUILT_BY_USERS = ("ray",)  # nothing of it is in the environment of the documentation
_CLASSIFIER = "License :: "
# What two makers call the same, by the names of the SPDX list.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
}


def licences_table() -> str:
    """Every distribution in an image: version, licence, and the images that have it.

    Raises:
        SystemExit: the environment has another version than the locks.
    """
    no_images = (*BASES, *_BUILT_BY_USERS, *tools_apart())
    images = [name for name in environments() if name not in no_images]
    found: dict[tuple[str, str], list[str]] = {}
    for image in images:
        for pin in pins((LOCKS / f"{image}.txt").read_text()).items():
            found.setdefault(pin, []).append(image)
    lines = ["| distribution | version | licence | images |", "|---|---|---|---|"]
    for (name, version), where in sorted(found.items()):
        if (installed := metadata.version(name)) != version:
            sys.exit(f"{name}: locks have {version}, this environment {installed}: `make setup`")
        holders = "all" if where == images else ", ".join(where)
        lines.append(f"| {name} | {version} | {licence_of(name)} | {holders} |")
    return "\n".join(lines)


def licence_of(name: str) -> str:
    """What a distribution says about its licence: expression, classifier or free text.

    Raises:
        SystemExit: it says nothing, and neither do we.
    """
    if name in _EMPTY:
        return "none stated; only names others, has no files"
    about = metadata.metadata(name)
    stated = [about["License-Expression"]] if "License-Expression" in about else []
    classifiers = about.get_all("Classifier") or []
    stated += [c.rpartition(" :: ")[2] for c in classifiers if c.startswith(_CLASSIFIER)]
    if "License" in about and (not stated or stated[0].startswith("Other/")):
        stated = [about["License"].splitlines()[0].partition(",")[0].removesuffix(" licensed")]
    if not stated:
        sys.exit(f"{name}: expected its metadata to state a licence, found none")
    return _SPDX.get(stated[0], stated[0])


TABLES: Mapping[str, Callable[[], str]] = {"licences": licences_table}
