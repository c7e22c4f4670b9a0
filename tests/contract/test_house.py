"""The rules of the house: who may know whom, what is where, and how big it may get."""

from __future__ import annotations

import ast
import importlib
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_code import built_messages, circle_in, module_imports, private_names_of_client

ROOT = Path(__file__).resolve().parents[2]
SHARED = {
    "diptych": "client",
    "diptych_runtime": "services/runtime",
    "diptych_torch": "services/torch",
    "diptych_gateway": "gateway",
    "diptych_ray": "services/ray",
    "diptych_eval": "evaluation",
}
# Every other service is a model, so that a new one need not be named here.
MODELS = {
    next((folder / "src").glob("diptych_*")).name: f"services/{folder.name}"
    for folder in sorted((ROOT / "services").iterdir())
    if (folder / "pyproject.toml").exists() and f"services/{folder.name}" not in SHARED.values()
}
# So is every label tool; its package speaks to a gateway, as any client does.
INTEGRATIONS = {
    next((file.parent / "src").glob("diptych_*")).name: f"integrations/{file.parent.name}"
    for file in sorted((ROOT / "integrations").glob("*/pyproject.toml"))
}
FOLDERS = SHARED | MODELS | INTEGRATIONS
MAY_IMPORT = {
    "diptych": set(),
    "diptych_runtime": {"diptych"},
    "diptych_torch": {"diptych", "diptych_runtime"},
    "diptych_gateway": {"diptych", "diptych_runtime"},
    "diptych_ray": {"diptych", "diptych_runtime"},
    "diptych_eval": {"diptych"},
    **{model: {"diptych", "diptych_runtime", "diptych_torch"} for model in MODELS},
    **{package: {"diptych"} for package in INTEGRATIONS},
}
# Extras of a distribution that it never imports: they join its commands by an entry point.
BRINGS_COMMANDS = {"diptych": {"diptych_eval"}}
TORCH = {"torch", "torchvision", "sam2"}
WITH_TORCH = {"diptych_torch", *MODELS}
WITHOUT_TORCH = sorted(set(FOLDERS) - WITH_TORCH)
# What these import is installed for `make test-ray` and the like alone.
APART = {"diptych_ray", "diptych_label_studio", "diptych_cvat"}
TOP_FOLDERS = {
    *(
        "benchmarks",
        "client",
        "demo-weights",
        "deploy",
        "docs",
        "evaluation",
        "examples",
        "gateway",
        "integrations",
        "locks",
    ),
    *("proto", "services", "tests"),
}
SCRIPTS = ("benchmarks", "demo-weights", "docs", "examples", "locks", "proto")
GENERATED = ROOT / "client" / "src" / "diptych" / "segment"
MAX_CODE_LINES = 300
MAX_MODULES = 15
MAY_BUILD_MESSAGES = {
    "client/src/diptych/wire": "the codec",
    "services/runtime/src/diptych_runtime/wire": "checks fill in defaults; a card is TOML + facts",
    "gateway/src/diptych_gateway/cascade/card.py": "a card is made of two cards",
    "client/src/diptych/testing": "a fake server says what a test wants it to, right or wrong",
}
TEXT = {".py", ".pyi", ".md", ".toml", ".txt", ".proto", ".yaml", ".json", ".mjs", ""}


def source(package: str) -> Path:
    return ROOT / FOLDERS[package] / "src" / package


def written(folder: Path, pattern: str = "*.py") -> Iterator[Path]:
    """Files below a folder that a person wrote."""
    for path in sorted(folder.rglob(pattern)):
        made = path.is_relative_to(GENERATED) or "node_modules" in path.parts
        if path.is_file() and not made and "__pycache__" not in path.parts:
            yield path


def names_in(text: str) -> set[str]:
    """Top-level packages that a module imports or names as text, such as ``"torch:load"``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"\bdiptych_\w+(?=[.:]\w|$)", node.value))
    return found


def distribution(package: str) -> dict[str, Any]:
    project = tomllib.loads((ROOT / FOLDERS[package] / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project


def requirements(package: str) -> list[Requirement]:
    project = distribution(package)
    extras = project.get("optional-dependencies", {})
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [Requirement(line) for line in lines]


def code_lines(text: str) -> int:
    """Lines that hold more than a comment."""
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty and token.type != tokenize.ENDMARKER:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines)


def modules_of(package: str) -> dict[str, Path]:
    """Files of a package by the names of their modules."""
    root = source(package).parent
    found = {}
    for path in written(source(package)):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_the_measures_measure() -> None:
    assert names_in(
        "import torch.nn\nfrom diptych import x\nfrom . import y\nz = 'diptych_a.b:c'"
    ) == {
        "torch",
        "diptych",
        "diptych_a",
    }
    assert code_lines('# no\n\nx = 1  # yes\n"""two\nlines"""\n') == 3
    assert private_names_of_client(
        "import diptych._a\nfrom diptych import _b, c\nfrom diptych.d import __e__\ndiptych._f.g()"
    ) == {"diptych._a", "diptych._b", "diptych._f"}
    assert built_messages(
        "from diptych.segment import v1 as pb\nfrom google.rpc import status_pb2\n"
        "from google.protobuf.duration_pb2 import Duration\nimport google.rpc.code_pb2\n"
        "pb.Segment(score=pb.Task.Value('x'))\nstatus_pb2.Status()\nDuration()\n"
        "pb.SegmentServiceStub(x)\npb.Segment.FromString(b'')\ngoogle.rpc.code_pb2.Code.Name(1)"
    ) == ["pb.Segment", "status_pb2.Status", "Duration"]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", FOLDERS)
def test_the_arrow(package: str) -> None:
    forbidden = set(FOLDERS) - MAY_IMPORT[package] - {package}
    if package not in WITH_TORCH:
        forbidden |= TORCH
    files = list(written(source(package)))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := names_in(path.read_text()) & forbidden)
    }
    assert not wrong


@pytest.mark.parametrize("package", FOLDERS)
def test_dependencies_follow_the_arrow(package: str) -> None:
    names = {canonicalize_name(r.name) for r in requirements(package)}
    own = {name.replace("-", "_") for name in names if name.startswith("diptych")}
    assert own <= MAY_IMPORT[package] | BRINGS_COMMANDS.get(package, set())
    if package not in WITH_TORCH:
        assert not names & TORCH


@pytest.mark.parametrize("package", sorted(set(WITHOUT_TORCH) - APART))
def test_importing_every_module_loads_no_torch(package: str) -> None:
    program = f"""
import importlib, pkgutil, sys
import {package} as package
for module in pkgutil.walk_packages(package.__path__, "{package}."):
    importlib.import_module(module.name)
print(sorted({TORCH!r} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_models_are_known() -> None:
    assert {"diptych_maskrcnn", "diptych_sam2"} <= set(MODELS)


@pytest.mark.parametrize("package", MODELS)
def test_a_model_says_what_it_is(package: str) -> None:
    """What runs models finds them by this entry point, and names none."""
    model_id = FOLDERS[package].rpartition("/")[2]
    declared = distribution(package)["entry-points"]["diptych.models"]
    assert declared == {model_id: f"{package}.__main__:SPEC"}
    assert importlib.import_module(f"{package}.__main__").SPEC.model_id == model_id


@pytest.mark.parametrize(
    "module",
    [
        "diptych_torch.settings",
        *(f"{model}.{name}" for model in MODELS for name in ("__main__", "settings")),
    ],
)
def test_the_front_of_a_model_service_loads_no_torch(module: str) -> None:
    program = f"import sys, {module}; print(sorted({TORCH!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_import_diptych_loads_only_what_it_needs() -> None:
    program = "import sys, diptych; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "diptych" in loaded
    assert not loaded & {*TORCH, "matplotlib", "supervision", "click", "rich", "pydantic"}


def test_top_folders_are_those_of_the_house() -> None:
    ignored = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()}
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
    assert folders - ignored - {"__pycache__"} == TOP_FOLDERS


def test_only_packages_have_init_files() -> None:
    inside = [*(source(package) for package in FOLDERS), GENERATED]
    wrong = [
        str(path.relative_to(ROOT))
        for folder in TOP_FOLDERS
        for path in written(ROOT / folder, "__init__.py")
        if not any(path.is_relative_to(package) for package in inside)
    ]
    assert not wrong


@pytest.mark.parametrize("package", FOLDERS)
def test_distributions_are_typed_and_alone(package: str) -> None:
    assert (source(package) / "py.typed").exists()
    assert [p.name for p in source(package).parent.iterdir() if p.suffix != ".egg-info"] == [
        package
    ]


def test_distributions_have_one_version() -> None:
    versions = {str(distribution(package)["version"]) for package in FOLDERS}
    assert len(versions) == 1
    pins = {
        str(r.specifier)
        for package in FOLDERS
        for r in requirements(package)
        if r.name.startswith("diptych")
    }
    assert pins == {f"=={versions.pop()}"}


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins.values())
    for package in sorted(set(FOLDERS) - {"diptych_label_studio"}):  # its own lock chooses
        for requirement in requirements(package):
            if requirement.name.startswith("diptych"):
                continue
            version = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{package}: {requirement}"


def test_files_stay_small() -> None:
    folders = [source(package) for package in FOLDERS] + [ROOT / name for name in SCRIPTS]
    files = [path for folder in folders for path in written(folder)] + [*ROOT.glob("*.py")]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := code_lines(path.read_text())) > MAX_CODE_LINES
    }
    assert not long


@pytest.mark.parametrize("package", sorted(set(FOLDERS) - {"diptych"}))
def test_private_names_of_the_client_stay_inside(package: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in written(source(package))
        if (names := private_names_of_client(path.read_text()))
    }
    assert not wrong


def test_messages_are_built_by_the_codec_alone() -> None:
    allowed = [ROOT / place for place in MAY_BUILD_MESSAGES]
    wrong = {}
    needed = set()
    for path in (path for package in FOLDERS for path in written(source(package))):
        if built := built_messages(path.read_text()):
            places = [place for place in allowed if path.is_relative_to(place)]
            needed.update(places)
            if not places:
                wrong[str(path.relative_to(ROOT))] = built
    assert not wrong
    assert needed == set(allowed), "an exception that nothing needs any more"


@pytest.mark.parametrize("package", FOLDERS)
def test_no_import_circle(package: str) -> None:
    modules = modules_of(package)
    graph = {name: module_imports(name, path, modules) for name, path in modules.items()}
    assert any(graph.values())
    assert circle_in(graph) == []


def test_folders_stay_small() -> None:
    folders: dict[str, int] = {}
    for path in (path for package in FOLDERS for path in written(source(package))):
        folder = str(path.parent.relative_to(ROOT))
        folders[folder] = folders.get(folder, 0) + (path.name != "__init__.py")
    assert {name: count for name, count in folders.items() if count > MAX_MODULES} == {}


def test_nothing_points_outside_the_repository() -> None:
    outside = re.compile(r"\.\./shared\b|(?<![\w.])/work/|/root/")
    files = [path for folder in TOP_FOLDERS for path in written(ROOT / folder, "*")]
    # In a second work tree of git, .git is a file with a path.
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    wrong = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if path.suffix in TEXT and path != Path(__file__).resolve()
        for match in outside.finditer(path.read_text(errors="replace"))
    ]
    assert not wrong
