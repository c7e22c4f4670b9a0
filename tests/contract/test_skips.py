"""In CI a test that does not run is a failure, except where a machine cannot have what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
INI = """
[pytest]
addopts = -p no:cacheprovider --import-mode=importlib --strict-markers -q
markers =
    gpu: x
    official_weights: x
    browser: x
    compose: x
"""
SKIPPED = "import pytest\n@pytest.mark.{mark}\ndef test_it():\n    pytest.skip('because')\n"
PLAIN = "def test_it():\n    pass\n"
XFAIL = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
MODULE = "import pytest\npytest.skip('because', allow_module_level=True)\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tests folder with our conftest and nothing else."""
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    return tmp_path


def run(tree: Path, file: str, text: str, *, ci: bool, select: str = "") -> tuple[int, str]:
    """Exit status and output of pytest on one file."""
    path = tree / "tests" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    environment = {
        **os.environ,
        "CI": "true" if ci else "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer than the test
    }
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "tests", "-m", select]
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "text", "passes"),
    [
        ("unit/test_a.py", SKIPPED.format(mark="browser"), False),
        ("unit/test_a.py", MODULE, False),
        ("unit/test_a.py", SKIPPED.format(mark="official_weights"), True),
        ("gpu/test_a.py", SKIPPED.format(mark="filterwarnings('error')"), True),
        ("unit/test_a.py", XFAIL, True),
    ],
    ids=["skip", "module", "official-weights", "gpu-folder", "xfail"],
)
def test_a_skip_fails_in_ci_only(tree: Path, file: str, text: str, passes: bool) -> None:
    status, output = run(tree, file, text, ci=True)
    assert (status == 0) is passes, output
    assert ("because" in output) is not passes, output
    status, output = run(tree, file, text, ci=False)
    assert status in (0, 5), output


@pytest.mark.parametrize("folder", ["gpu", "browser", "compose"])
def test_a_folder_marks_its_tests(tree: Path, folder: str) -> None:
    (tree / "tests" / "test_other.py").write_text(PLAIN)
    status, output = run(tree, f"{folder}/test_a.py", PLAIN, ci=True, select=f"not {folder}")
    assert status == 0, output
    assert "1 passed, 1 deselected" in output
