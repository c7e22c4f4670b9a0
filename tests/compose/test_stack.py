"""The cpu profile as a user runs it: it answers, is locked down, and comes back by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from containers import Project, docker
from service_list import MODELS as LISTED

import diptych
from diptych import Client

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "tests" / "assets" / "scenes" / "0.png"
MODELS = {name: f"{name}-cpu" for name in LISTED}
DIPTYCH = str(Path(sys.executable).parent / "diptych")
pytestmark = pytest.mark.timeout(1900)  # the first one may build

# Says what every process of a container may do, and where it can write.
LOOK = """
import json, os
from pathlib import Path
processes = []
for status in Path("/proc").glob("[0-9]*/status"):
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    processes.append({k: lines[k].split()[0] for k in ("Name", "Uid", "CapEff", "NoNewPrivs")})
writable = []
for folder in ("/", "/opt/diptych", "/etc", "/usr", "/var", "/tmp", "/var/lib/diptych/weights"):
    try:
        (Path(folder) / "probe").touch()
        (Path(folder) / "probe").unlink()
        writable.append(folder)
    except OSError:
        pass
print(json.dumps({"processes": processes, "writable": writable}))
"""


def test_compare_from_the_host(stack: Project, tmp_path: Path) -> None:
    out = tmp_path / "side.png"
    command = [DIPTYCH, "compare", str(PICTURE), "--task", "instance-segmentation"]
    done = subprocess.run(
        [*command, "--address", stack.address, "--timeout", "100", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(model in done.stdout for model in MODELS)
    assert out.stat().st_size > 1000


def test_health_from_the_host(stack: Project) -> None:
    command = [DIPTYCH, "health", "--address", stack.address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"{model}: reachable" in said for model in MODELS)


def test_http_from_the_host(stack: Project) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.http_port}/api/models") as answer:
        listed = [model["model_id"] for model in json.load(answer)]
    assert listed == [*MODELS, "mask-rcnn-sam-2"]
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.http_port}/") as page:
        assert b"<html" in page.read().lower()


@pytest.mark.parametrize("service", ["gateway", *MODELS.values()])
def test_a_container_may_do_nothing_but_serve(stack: Project, service: str) -> None:
    container = stack.container(service)["Id"]
    look = json.loads(docker("exec", container, "python", "-c", LOOK))
    assert len(look["processes"]) >= 3  # init, the service, this one
    for process in look["processes"]:
        assert process["Uid"] != "0", process
        assert int(process["CapEff"], 16) == 0, process
        assert process["NoNewPrivs"] == "1", process
    volume = [] if service == "gateway" else ["/var/lib/diptych/weights"]
    assert look["writable"] == ["/tmp", *volume]


@pytest.mark.parametrize("service", ["gateway", *MODELS.values()])
def test_a_container_has_limits(stack: Project, service: str) -> None:
    container = stack.container(service)
    host = container["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"]["max-size"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Init"]
    assert container["Config"]["StopTimeout"] > 31  # the drain with its notice and reserve


def test_only_the_gateway_is_published(stack: Project) -> None:
    published = {
        (service, port, binding["HostIp"], binding["HostPort"])
        for service, container in stack.containers().items()
        for port, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or ()
    }
    assert published == {
        ("gateway", "50051/tcp", "127.0.0.1", str(stack.port)),
        ("gateway", "8080/tcp", "127.0.0.1", str(stack.http_port)),
    }
    for container in stack.containers().values():
        assert list(container["NetworkSettings"]["Networks"]) == [f"{stack.name}_models"]


@contextmanager
def load(address: str, model: str) -> Iterator[list[Any]]:
    """Requests for one model without a pause; the list gets what each ended with."""
    outcomes: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        with Client(address, timeout=60) as client:
            while not stop.is_set():
                try:
                    answer = client.segment(PICTURE, model=model, points=[(90, 90)])
                    outcomes.append(len(answer.segments))
                except diptych.DiptychError as error:
                    outcomes.append(error)
                    time.sleep(0.2)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        thread.join()


def wait_for(condition: Any, what: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@pytest.mark.parametrize("model", MODELS)
def test_a_killed_model_comes_back_and_the_other_never_fails(stack: Project, model: str) -> None:
    other = next(name for name in MODELS if name != model)
    before = stack.container(MODELS[model])
    with load(stack.address, model) as killed, load(stack.address, other) as spared:
        wait_for(lambda: len(killed) > 3 and len(spared) > 3, "both answer")
        # `docker kill` would cancel the restart policy.
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        stack.wait_healthy(MODELS[model], restarts=before["RestartCount"] + 1)
        answered = len(killed)
        wait_for(lambda: 1 in killed[answered:], "the killed one answers again")
        count = len(spared)
        wait_for(lambda: len(spared) > count + 3, "the other goes on")
    assert set(spared) == {1}
    errors = [outcome for outcome in killed if outcome != 1]
    assert all(isinstance(error, diptych.UnavailableError) for error in errors), errors
    after = stack.container(MODELS[model])
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]


def test_the_gateway_serves_without_any_model(images: dict[str, str]) -> None:
    project = Project()
    try:
        project.compose("up", "-d", "gateway")
        project.wait_healthy("gateway")
        with Client(project.address, timeout=10) as client:
            assert client.health() is diptych.ServingStatus.SERVING
            assert [known.error is not None for known in client.model_cards()] == [True] * 3
    finally:
        project.down()
