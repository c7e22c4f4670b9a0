"""Make the files of a release: wheels, chart, documentation, bills of material, licences.

    python deploy/release/files.py dist
    python deploy/release/files.py --version    # that of all distributions

``make release-files`` runs it with its tools. What it writes is published by nobody: the workflow
``release`` does that with a tag.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "locks"), str(ROOT / "services")]

from render import read_list  # noqa: E402
from resolve import projects  # noqa: E402

TOOLS = ROOT / ".tools"
CHART = ROOT / "deploy" / "helm" / "diptych"
CHECKSUMS = "SHA256SUMS"


def version() -> str:
    """The version that all distributions have.

    Raises:
        SystemExit: they have more than one.
    """
    found = {project.name: _project(project)["version"] for project in projects()}
    versions = set(found.values())
    if len(versions) != 1:
        sys.exit(f"expected one version of all distributions, got {found}")
    return str(versions.pop())


def distribution(folder: Path) -> str:
    """The name of the distribution that a folder holds."""
    return _project(folder)["name"]


def _project(folder: Path) -> dict[str, str]:
    table: dict[str, str] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def wheels(out: Path) -> None:
    """Build a wheel of every distribution; each is made of what git would commit."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    _run([*command, "--wheel-dir", str(out), *(str(project) for project in projects())])


def chart(out: Path) -> None:
    """Pack the Helm chart with the version of the distributions."""
    helm = TOOLS / "deploy" / "bin" / "helm"
    chosen = ["--version", version(), "--app-version", version()]
    _run([str(helm), "package", str(CHART), *chosen, "--destination", str(out)])


def documentation(out: Path) -> None:
    """Pack the site that ``make docs`` has made."""
    site = ROOT / "site"
    if not (site / "index.html").is_file():
        sys.exit(f"{site}: expected the documentation, got nothing: run `make docs` first")
    with tarfile.open(out / f"diptych-docs-{version()}.tar.gz", "w:gz") as archive:
        archive.add(site, arcname=f"diptych-docs-{version()}")


def bills(out: Path) -> None:
    """Write a bill of material (CycloneDX) for each image, from the lock it is installed from."""
    tool = TOOLS / "release" / "bin" / "cyclonedx-py"
    for name, folder in images().items():
        lock = ROOT / "locks" / f"{name}.txt"
        project = folder / "pyproject.toml"
        target = out / f"diptych-{name}-{version()}.cdx.json"
        chosen = ["--pyproject", str(project), "--mc-type", "application"]
        chosen += ["--of", "JSON", "--output-reproducible", "-o", str(target)]
        _run([str(tool), "requirements", str(lock), *chosen])


def images() -> dict[str, Path]:
    """The folder of the distribution that each image runs, by the image's short name."""
    services, _ = read_list()
    models = {each.model_id: ROOT / "services" / each.model_id for each in services}
    return {"gateway": ROOT / "gateway", **models}


def licences(out: Path) -> None:
    """Copy our licence, and the list of those of everything that the images hold."""
    shutil.copy(ROOT / "LICENSE", out)
    shutil.copy(ROOT / "docs" / "licences.md", out / f"diptych-licences-{version()}.md")


def checksums(out: Path) -> None:
    """Write the SHA-256 of every file, as ``sha256sum --check`` reads them."""
    (out / CHECKSUMS).write_text("".join(_lines(out)))


def _lines(out: Path) -> Iterator[str]:
    for file in sorted(out.iterdir()):
        yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        said = f"{done.stderr}{done.stdout}"
        sys.exit(f"{Path(command[0]).name} ended with {done.returncode}:\n{said}")


def main(out: Path) -> None:
    """Make all files in an empty folder, and say what they are."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for make in (wheels, chart, documentation, bills, licences, checksums):
        make(out)
    for file in sorted(out.iterdir()):
        sys.stdout.write(f"{file.stat().st_size / 1e6:9.2f} MB  {file.name}\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{version()}\n")
    else:
        main(Path(sys.argv[1]).resolve())
