"""Removes one protection of the product at a time and demands that a named check turns red.

A mutant is a file ``NAME.patch`` in this folder: ``Removes:`` and a sentence, one or more
``Check:`` and a pytest node id, an empty line, a diff of the product. Each is tried in a copy of
the tree, so nothing here is touched:

    python tests/mutants/run.py [-j 2] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHECK_S = 40.0
"""Seconds of one test; one that hangs is red as well."""
_FAILED = 1  # what pytest ends with if a test failed; an import that breaks ends it otherwise
_LINKED = (".venv", ".tools", "node_modules")


@dataclass(frozen=True)
class Mutant:
    """One patch and the checks that must notice it."""

    path: Path
    removes: str
    checks: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def files(self) -> tuple[str, ...]:
        """What it changes, as paths from the root."""
        found = re.findall(r"^(?:---|\+\+\+) [ab]/(\S+)", self.path.read_text(), re.MULTILINE)
        return tuple(dict.fromkeys(found))


def read(path: Path) -> Mutant:
    """Read one patch.

    Raises:
        ValueError: its head says not what it removes, or names no check.
    """
    head = path.read_text().partition("\n\n")[0].splitlines()
    removes = [line.removeprefix("Removes: ") for line in head if line.startswith("Removes: ")]
    checks = [line.removeprefix("Check: ") for line in head if line.startswith("Check: ")]
    if len(removes) != 1 or not checks:
        raise ValueError(f"{path.name}: expected one line Removes: and some Check:, got {head}")
    return Mutant(path, removes[0], tuple(checks))


def mutants(names: Sequence[str] = ()) -> list[Mutant]:
    """All mutants, or those of these names."""
    paths = sorted(HERE.glob("*.patch"))
    unknown = set(names) - {path.stem for path in paths}
    if unknown:
        raise ValueError(f"no such mutants: {', '.join(sorted(unknown))}")
    return [read(path) for path in paths if not names or path.stem in names]


def copy_tree(target: Path) -> None:
    """Copy what git knows, with what is not committed yet; environments are linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    for name in _LINKED:
        if (ROOT / name).exists():
            (target / name).symlink_to(ROOT / name)
    # Some tests ask git what belongs to the tree, and `git apply` wants to know where it is.
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


def environment(tree: Path) -> dict[str, str]:
    """Python of the environment, with the sources of the copy before all others."""
    sources = [str(path) for path in sorted(tree.glob("**/src")) if ".venv" not in path.parts]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*sources, os.environ.get("PYTHONPATH", "")]).rstrip(":"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


def run_checks(tree: Path, checks: Sequence[str]) -> tuple[int, str]:
    """Exit code of pytest and the last it said; a run that hangs is red as well."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        f"--timeout={CHECK_S:g}",
        *checks,
    ]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment(tree),
            capture_output=True,
            text=True,
            timeout=10 * CHECK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _FAILED, "hung"
    return done.returncode, (done.stdout + done.stderr).strip()[-1500:]


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant."""

    mutant: Mutant
    caught: bool
    why: str
    seconds: float


def judge(mutant: Mutant) -> Verdict:
    """Apply one mutant to a copy and run each of its checks: every one must turn red, by itself."""
    began = time.monotonic()

    def verdict(caught: bool, why: str = "") -> Verdict:
        return Verdict(mutant, caught, why, time.monotonic() - began)

    with tempfile.TemporaryDirectory(prefix="mutant-") as temporary:
        tree = Path(temporary)
        copy_tree(tree)
        code, said = run_checks(tree, mutant.checks)
        if code != 0:
            return verdict(False, f"checks are red without it: {said}")
        applied = subprocess.run(
            ["git", "apply", str(mutant.path)],
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
        )
        if applied.returncode:
            return verdict(False, f"does not apply: {applied.stderr.strip()}")
        for check in mutant.checks:
            code, said = run_checks(tree, [check])
            # A test may also end its process by a signal: that is noticed well enough.
            if code != _FAILED and code >= 0:
                return verdict(False, f"{check} did not fail (status {code}): {said[-300:]}")
    return verdict(True)


def main() -> int:
    """Try mutants and print a table; 1 if one was not caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="several at once")
    arguments = parser.parse_args()
    chosen = mutants(arguments.only)
    missed = []
    with ThreadPoolExecutor(arguments.j) as pool:
        for verdict in pool.map(judge, chosen):
            word = "caught" if verdict.caught else "MISSED"
            line = f"{verdict.mutant.name:<32} {word:<7} {verdict.seconds:5.1f} s"
            print(f"{line}  {verdict.mutant.removes}", flush=True)
            if not verdict.caught:
                missed.append(verdict)
                print(f"    {verdict.why}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mutants were caught")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
