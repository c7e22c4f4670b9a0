"""Write what is installed where, with the hashes of all files that it may come as.

    python locks/lock.py            # write; asks the index that pip is set to
    python locks/lock.py --check    # say what does not agree with constraints.txt; asks nobody

Versions are those of constraints.txt; what belongs to what is read from the installed
distributions, so it runs in the environment that `make setup` makes. Hashes are those that the
index states for Python 3.11 on Linux, x86_64 and aarch64.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "locks"
CONSTRAINTS = ROOT / "constraints.txt"
MACHINES = ("x86_64", "aarch64")
_OURS = re.compile(r"diptych(-.*)?")
_PINNED = re.compile(r"^([\w.-]+)==(\S+)(?: ; .*?)? \\\n    --hash=sha256:[0-9a-f]{64}", re.M)
_INDEX = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
_TOOLS = FOLDER / "tools.in"
_HEAD = "# Written by `python locks/lock.py` from constraints.txt. Install with --require-hashes.\n"


@dataclass(frozen=True)
class Lock:
    """A file of ``locks/``: what is installed with these, but for what other locks hold."""

    wanted: tuple[str, ...]
    without: tuple[str, ...] = ()


def locks() -> dict[str, Lock]:
    """The locks by name: one for each stage of the images, and ``dev``, what else `make setup` and
    so CI install."""
    tools = [line.split("#")[0].strip() for line in _TOOLS.read_text().splitlines()]
    models = tomllib.loads((ROOT / "services" / "services.toml").read_text())["models"]
    return {
        "build": Lock(("hatchling", "editables", "setuptools", "wheel")),
        "gateway": Lock(("diptych-gateway",)),
        "torch": Lock(("torch", "torchvision")),
        "dev": Lock(tuple(filter(None, tools)), ("build", "torch", "sam-2")),
        **{name: Lock((f"diptych-{name.replace('-', '')}",), ("torch",)) for name in models},
    }


def versions() -> dict[str, str]:
    """Versions by name, as constraints.txt pins them."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text().splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {canonicalize_name(name): version for name, version in pairs}


def contents(lock: Lock) -> list[str]:
    """Names of what a lock installs, ours left out."""
    below = {name for other in lock.without for name in contents(locks()[other])}
    found = {name for wanted in lock.wanted for name in _closure(wanted)}
    return sorted(name for name in found - below if not _OURS.fullmatch(name))


def _closure(wanted: str) -> set[str]:
    found: set[tuple[str, str]] = set()
    first = Requirement(wanted)
    left = [(canonicalize_name(first.name), extra) for extra in ("", *first.extras)]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += _needed(*one)
    return {name for name, _ in found}


def _needed(name: str, extra: str) -> Iterator[tuple[str, str]]:
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        raise SystemExit(f"{name} is not installed here: run `make setup` first") from None
    for requirement in map(Requirement, lines):
        if _applies(requirement, extra):
            needed = canonicalize_name(requirement.name)
            yield needed, ""
            yield from ((needed, other) for other in requirement.extras)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra, "platform_machine": machine})
        for machine in MACHINES
    )


def hashes(name: str, version: str) -> dict[str, list[str]]:
    """SHA-256 digests of a version's files, by the machine that they are for."""
    request = urllib.request.Request(  # noqa: S310 - the index that pip itself is set to
        f"{_INDEX.rstrip('/')}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    of_version = [(file["filename"], file["hashes"]["sha256"]) for file in files]
    found = {
        machine: sorted(digest for file, digest in of_version if _fits(file, version, machine))
        for machine in MACHINES
    }
    if not found[MACHINES[0]]:
        raise SystemExit(f"{_INDEX} has no file of {name} {version} for Python 3.11")
    return found


def _fits(file: str, version: str, machine: str) -> bool:
    try:
        if not file.endswith(".whl"):
            return file.endswith(".tar.gz") and str(parse_sdist_filename(file)[1]) == version
        _, found, _, tags = parse_wheel_filename(file)
    except ValueError:  # names from before there was a rule
        return False
    return str(found) == version and any(
        _python(tag.interpreter, tag.abi)
        and (tag.platform == "any" or ("linux" in tag.platform and tag.platform.endswith(machine)))
        for tag in tags
    )


def _python(interpreter: str, abi: str) -> bool:
    older = re.fullmatch(r"cp3(\d+)", interpreter)
    return (
        interpreter in ("py3", "py311", "cp311")
        or (interpreter.startswith("py3") and abi == "none")
        or (older is not None and abi == "abi3" and int(older[1]) <= 11)
    )


def written(names: Iterable[str]) -> str:
    """The text of a lock."""
    pinned = versions()
    blocks = []
    for name in names:
        of_machine = hashes(name, pinned[name])
        digests = sorted({digest for found in of_machine.values() for digest in found})
        only = "" if of_machine["aarch64"] else ' ; platform_machine == "x86_64"'
        lines = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
        blocks.append(f"{name}=={pinned[name]}{only} \\\n{lines}\n")
    return _HEAD + "".join(blocks)


def read(text: str) -> dict[str, str]:
    """Versions by name, as a lock pins them; each has a hash."""
    return dict(_PINNED.findall(text))


def main() -> int:
    """Write or check; returns the exit status."""
    pinned, stale = versions(), []
    for name, lock in locks().items():
        path, names = FOLDER / f"{name}.txt", contents(lock)
        if "--check" in sys.argv[1:]:
            held = read(path.read_text()) if path.exists() else {}
            if held != {one: pinned.get(one) for one in names}:
                stale.append(path)
        else:
            path.write_text(written(names))
            sys.stdout.write(f"{path.relative_to(ROOT)}: {len(names)}\n")
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} is not current: run `make locks`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
