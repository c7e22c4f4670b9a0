"""Write the locks: every file that an environment may install, by SHA-256.

    python locks/resolve.py            # resolve anew within constraints.txt, and write
    python locks/resolve.py --check    # say which lock does not fit its requirements, and fail

Versions are chosen in ``constraints.txt``; an environment names what it wants. A lock has its
whole closure with the hashes of all files of a version, so that it serves every platform.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
CONSTRAINTS = ROOT / "constraints.txt"
sys.path.insert(0, str(ROOT / "services"))

from render import read_list  # noqa: E402

BASES = ("build", "deploy", "dev", "docs", "proto", "release", "torch")
"""Locks that are no image's whole environment."""
APART = ("label-studio", "proto")
"""Environments whose versions are not those of constraints.txt: others' programs choose them."""
PYTHON = "3.11.5"  # the first that all of the documentation's tools take
_GROUPS = ("services", "integrations")
_SHARED = ("client", "services/runtime")
_TESTED_WITH_ALL = ("x-anylabeling",)  # its wire is HTTP: it brings nothing that others lack
# No environment of ours is for Windows.
_WINDOWS = re.compile(
    r"^[^\n]*; (?:os_name == 'nt'|sys_platform == 'win32')[^\n]*\n(?: +[^\n]*\n)*", re.M
)
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.M)


def environments() -> dict[str, list[str]]:
    """What each lock's environment wants: requirements, and ``-e FOLDER`` for our distributions."""
    services, _ = read_list()
    models = [f"services/{service.model_id}" for service in services]
    ours = [*_SHARED, "services/torch", *models, "gateway", "evaluation"]
    wanted = {
        "build": ["setuptools", "wheel", "hatchling", "editables"],
        "torch": ["torch", "torchvision"],
        "gateway": _folders(*_SHARED, "gateway"),
        # All that a node of a cluster may run.
        "ray": [*_folders(*ours[:-2]), "-e ./services/ray[batch]"],
        # Label Studio's own server as well, for the tests.
        "label-studio": ["label-studio", "-e ./client[video]"],
        "proto": (ROOT / "proto/requirements.txt").read_text().splitlines(),
        **{path.stem: path.read_text().splitlines() for path in LOCKS.glob("*.in")},
    }
    for model in models:
        wanted[model.rpartition("/")[2]] = _folders(*_SHARED, "services/torch", model)
    ours += [f"integrations/{name}" for name in _TESTED_WITH_ALL]
    wanted["dev"] += ["-e ./client[viz,supervision,video,heif,batch]", *_folders(*ours[1:])]
    for name in tools_apart():
        wanted[name] = [*wanted.get(name, []), *_folders("client", f"integrations/{name}")]
    return wanted


def tools_apart() -> list[str]:
    """Name the label tools whose own SDK has an environment of its own."""
    folders = sorted(file.parent.name for file in ROOT.glob("integrations/*/pyproject.toml"))
    return [name for name in folders if name not in _TESTED_WITH_ALL]


def _folders(*folders: str) -> list[str]:
    return [f"-e ./{folder}" for folder in folders]


def projects() -> list[Path]:
    """The folders of all our distributions, the client's first."""
    found = [file.parent for group in _GROUPS for file in ROOT.glob(f"{group}/*/pyproject.toml")]
    return [*(ROOT / name for name in ("client", "gateway", "evaluation")), *sorted(found)]


def our_names() -> list[str]:
    """The names of our own distributions, which no lock has."""
    files = [project / "pyproject.toml" for project in projects()]
    names = [re.search(r'^name = "(.+)"', file.read_text(), re.M) for file in files]
    return [match[1] for match in names if match]


def pins(text: str) -> dict[str, str]:
    """Read versions by normalised name (PEP 503)."""
    return {normal(name): version for name, version in _PIN.findall(text)}


def normal(name: str) -> str:
    """Normalise the name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_lock(name: str, wanted: list[str]) -> str:
    """Resolve an environment; returns the text of its lock.

    Raises:
        subprocess.CalledProcessError: it cannot be resolved within the constraints.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "wanted.in"
        source.write_text("\n".join(wanted) + "\n")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", str(source)]
        command += ["--generate-hashes", "--universal", "--python-version", PYTHON]
        command += ["--no-annotate", "--no-header", "--no-emit-index-url"]
        # sam2 says what it needs only to who has torch.
        command += ["--python", str(ROOT / ".venv/bin/python")]
        command += ["--no-build-isolation-package", "sam2"]
        # The stubs' generator is older on purpose, and Label Studio wants other versions.
        command += [] if name in APART else ["-c", str(CONSTRAINTS)]
        overrides = LOCKS / f"{name}.overrides"
        command += ["--override", str(overrides)] if overrides.is_file() else []
        for ours in our_names():
            command += ["--no-emit-package", ours]
        environment = {**os.environ, "SAM2_BUILD_CUDA": "0"}
        run = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
    title = f"# Written by `make locks` for {name}; versions come from constraints.txt.\n"
    return title + _WINDOWS.sub("", run.stdout)


def faults(name: str, text: str) -> list[str]:
    """Say what is wrong with a lock, without an index."""
    found = []
    chosen = {} if name in APART else pins(CONSTRAINTS.read_text())
    for package, version in pins(text).items():
        if chosen and chosen.get(package) != version:
            got = chosen.get(package, "nothing")
            found.append(f"{name}: {package}=={version}, constraints.txt has {got}")
    for block in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.M).strip()):
        if "--hash=sha256:" not in block:
            found.append(f"{name}: expected hashes for {block.split(chr(10))[0]!r}, got none")
    missing = set(map(_name, _direct(environments()[name]))) - set(map(normal, our_names()))
    found += [f"{name}: expected {each}, which it lacks" for each in missing - pins(text).keys()]
    return found


def _direct(wanted: list[str]) -> Iterator[str]:
    """Name what an environment wants, and what our distributions in it say that they need."""
    for line in wanted:
        if line.startswith("-e "):
            file = ROOT / line[3:].partition("[")[0] / "pyproject.toml"
            yield from tomllib.loads(file.read_text())["project"]["dependencies"]
        elif line[:1] not in ("-", "#", ""):
            yield line


def _name(requirement: str) -> str:
    return normal(re.split(r"[\[=<>~!; ]", requirement)[0])


def main() -> int:
    """Write or check all; returns the exit status."""
    wrong: list[str] = []
    for name, wanted in environments().items():
        path = LOCKS / f"{name}.txt"
        if "--check" not in sys.argv[1:]:
            path.write_text(compile_lock(name, wanted))
            sys.stdout.write(f"locks/{name}.txt\n")
        wrong += faults(name, path.read_text()) if path.is_file() else [f"{name}: no such lock"]
    for line in wrong:
        sys.stderr.write(f"{line}: run `make locks`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
