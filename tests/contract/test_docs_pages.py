"""The documentation is whole: pages are there, generated tables are current, named files exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documentation import DOCS, PAGES, ROOT

import diptych

MAX_README_BYTES = 9_000
MAX_DECISIONS = 30
WANTED = {
    *("index", "python", "command-line", "video", "page", "models", "http", "grpc", "errors"),
    *(
        "deploy",
        "kubernetes",
        "settings",
        "security",
        "performance",
        "evaluation",
        "design",
        "changelog",
    ),
    *("extend/model", "extend/rpc", "extend/export-format", "extend/option", "extend/page-view"),
    *("api/diptych", "api/engine", "decisions/index"),
}
# Files that a reader of these pages will make.
TO_BE_MADE = re.compile(r"lraspp|counts")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
A_PATH = re.compile(r"`(\.?\w(?:[\w.-]*/)+[\w.-]*)`")
MADE = (
    "certs/",
    "demo-out/",
    ".tools/",
    ".venv/",
    "benchmarks/results/",
    "results/",
    "services/ID",
    "site/",
)
# Tables that begin by naming one of these folders leave it out afterwards.
FOLDERS = (
    *("client/src/diptych", "gateway/src/diptych_gateway", "gateway/src/diptych_gateway/page/js"),
    *("services/runtime/src/diptych_runtime", "tests/unit", "docs", "benchmarks"),
)
TOP_TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "client/README.md")


def nav_pages(entries: list[object]) -> list[str]:
    """Every page of the navigation."""
    found: list[str] = []
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += nav_pages(value) if isinstance(value, list) else [str(value)]
    return found


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= MAX_README_BYTES


def test_every_page_is_there_and_in_the_navigation() -> None:
    pages = [str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)]
    assert {f"{name}.md" for name in WANTED} <= set(pages)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert sorted(nav_pages(config["nav"])) == sorted(pages)


def test_generated_tables_are_current() -> None:
    command = [sys.executable, "docs/tools/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "api" / "diptych.md").read_text()
    shown = re.findall(r"^::: diptych\.(\w+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(diptych.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = A_PATH.findall(FENCED.sub("", page.read_text()))
    ours = [path for path in named if not path.startswith(MADE) and not TO_BE_MADE.search(path)]
    assert [path for path in ours if not exists(path)] == []


def exists(path: str) -> bool:
    """Whether a file of ours is there; what begins with no folder of ours is somebody else's."""
    first = path.partition("/")[0]
    within = [ROOT / folder for folder in ("", *FOLDERS) if (ROOT / folder / first).exists()]
    return not within or any((folder / path).exists() for folder in within)


def test_a_missing_file_would_be_found() -> None:
    assert exists("configs/sam2.1/sam2.1_hiera_t.yaml")
    assert exists("common/api.js")
    assert not exists("common/no.js")
    assert not exists("client/src/diptych/no.py")
    assert A_PATH.findall("see `docs/page.md` and `make docs`, `Makefile`") == ["docs/page.md"]


@pytest.mark.parametrize("name", TOP_TEXTS)
def test_linked_files_exist(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_are_few_and_whole() -> None:
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [path.name[:4] for path in decisions] == [
        f"{n:04}" for n in range(1, len(decisions) + 1)
    ]
    assert len(decisions) <= MAX_DECISIONS
    index = (DOCS / "decisions" / "index.md").read_text()
    for path in decisions:
        parts = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert parts == ["Context", "Decision", "Rejected", "Consequences"], path.name
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        assert f"- [{path.name[:4]}]({path.name}) {title}\n" in index


def test_nothing_of_the_site_is_loaded_from_elsewhere() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert not re.findall(r"https?://", config)
    images = [
        link for page in PAGES for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())
    ]
    assert len(images) >= 7
    assert [link for link in images if "://" in link] == []
