"""The mutants of the product still fit it; ``make mutants`` shows that the checks notice them."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEWEST = 50
PRODUCT = ("client/src/", "services/", "gateway/src/", "integrations/", "deploy/")


def runner() -> ModuleType:
    path = ROOT / "tests" / "mutants" / "run.py"
    spec = importlib.util.spec_from_file_location("mutants_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    return module


MUTANTS = runner().mutants()


def names_of_tests(path: Path) -> set[str]:
    """Names of tests of a file, those of classes as ``Class::name``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inside = (
                n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
            )
            found |= {f"{node.name}::{one.name}" for one in inside}
    return found


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= FEWEST


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits(mutant: object) -> None:
    assert mutant.removes.endswith(".")  # type: ignore[attr-defined]
    for check in mutant.checks:  # type: ignore[attr-defined]
        name, _, test = check.partition("::")
        assert test.partition("[")[0] in names_of_tests(ROOT / name), check
    files = mutant.files  # type: ignore[attr-defined]
    assert files
    assert all(name.startswith(PRODUCT) and "/tests/" not in name for name in files)
    patch = str(mutant.path)  # type: ignore[attr-defined]
    applied = subprocess.run(
        ["git", "apply", "--check", patch], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert applied.returncode == 0, applied.stderr


def test_a_mutant_that_nothing_notices_is_told(tmp_path: Path) -> None:
    run = runner()
    patch = tmp_path / "comment.patch"
    patch.write_text("Removes: nothing.\nCheck: tests/a.py::test\n\n--- a/x/y.py\n+++ b/x/y.py\n")
    mutant = run.read(patch)
    assert (mutant.removes, mutant.checks, mutant.files) == (
        "nothing.",
        ("tests/a.py::test",),
        ("x/y.py",),
    )
    patch.write_text("Check: tests/a.py::test\n")
    with pytest.raises(ValueError, match="Removes"):
        run.read(patch)
