"""The Helm chart as a user renders it, and what is wrong with what comes out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "diptych"
EXAMPLES = ROOT / "deploy" / "helm" / "examples"
TOOLS = ROOT / ".tools" / "deploy" / "bin"
CLUSTER = "1.37.1"
"""The version that charts are rendered for."""
VERSIONS = ("1.30", "1.37")
"""The oldest that the chart accepts, and the newest whose schemas are there."""

Object = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm from the root of the repository; it may fail."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HELM_", "KUBE"))}
    return subprocess.run(
        [str(TOOLS / "helm"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def template(
    *arguments: str, release: str = "eyes", chart: Path = CHART, cluster: str = CLUSTER
) -> subprocess.CompletedProcess[str]:
    """What ``helm template`` says; it may fail."""
    fixed = ("--namespace", "vision", "--kube-version", cluster)
    return helm("template", release, str(chart), *fixed, *arguments)


def objects(text: str) -> list[Object]:
    """The objects of a rendered chart."""
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(*arguments: str, **options: Any) -> list[Object]:
    """The objects that these arguments make; rendering has to succeed."""
    done = template(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def example(name: str) -> tuple[str, str]:
    """The arguments that take the values of an example."""
    return "--values", str(EXAMPLES / f"{name}.yaml")


def of_kind(found: Sequence[Object], kind: str) -> dict[str, Object]:
    """Objects of one kind, by their names."""
    return {thing["metadata"]["name"]: thing for thing in found if thing["kind"] == kind}


def containers(thing: Object) -> list[Any]:
    """All containers of what makes pods."""
    pod = thing["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def variables(thing: Object) -> dict[str, str]:
    """The environment of the last container, in which the process runs."""
    return {v["name"]: v["value"] for v in containers(thing)[-1].get("env", ())}


def deployment(found: list[Object], part: str) -> Object:
    """The Deployment of a part."""
    return of_kind(found, "Deployment")[f"eyes-{part}"]


class Schemas:
    """Asks the schemas of clusters in the environment that has them."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("kube_schemas.py")
        command = [str(TOOLS / "python"), str(program), *VERSIONS]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def faults(self, found: Sequence[Object]) -> list[str]:
        """What is wrong with objects, one sentence each."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(found) + "\n")
        self._process.stdin.flush()
        answer: list[str] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=20)
