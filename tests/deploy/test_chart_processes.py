"""What the chart says to its pods, said to processes on this machine: TLS, tokens, probes."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helm_chart import TOOLS, example, of_kind, rendered
from pki import Pki
from stack import free_port

import diptych
from diptych import ServingStatus

MODEL = "sam-2"
ALONE = ("--set", "models.mask-rcnn=null", "--set-json", "gateway.cascades=[]")
BIN = Path(sys.executable).parent


@dataclass
class Pods:
    """The containers of a rendered chart, and the processes that stand for them."""

    folder: Path
    containers: dict[str, Any]
    ports: dict[str, str]
    pki: Pki
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, part: str) -> dict[str, str]:
        """What a container's process has, with this machine's ports and folders."""
        container = self.containers[part]
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        # What the images say.
        found = {**kept, "HOME": str(self.folder), "DIPTYCH_HOST": "127.0.0.1"}
        for variable in container["env"]:
            value = variable["value"].replace("/run/diptych", str(self.folder / part))
            value = value.replace(f"eyes-{MODEL}:", "localhost:")
            for number, port in self.ports.items():
                value = value.replace(number, port)
            found[variable["name"]] = value
        return found

    def start(self, part: str) -> None:
        """Start what the image starts."""
        with (self.folder / f"{part}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(BIN / f"diptych-{part}")],
                env=self.environment(part),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)

    def probe(self, part: str) -> int:
        """The exit code of a container's readiness probe."""
        command, *arguments = self.containers[part]["readinessProbe"]["exec"]["command"]
        command = [str(BIN / command), *arguments]
        done = subprocess.run(
            command, env=self.environment(part), capture_output=True, timeout=30, check=False
        )
        return done.returncode

    def wait_ready(self, part: str) -> None:
        """Wait as the kubelet does."""
        until = time.monotonic() + 90
        while self.probe(part):
            assert time.monotonic() < until, (self.folder / f"{part}.log").read_text()
            time.sleep(0.5)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A gateway and a model with certificates and tokens, as the example `secured` has them."""
    if not (TOOLS / "helm").exists():
        pytest.skip("`make test-deploy` installs helm")
    folder = tmp_path_factory.mktemp("pods")
    found = rendered(*example("secured"), *example("cpu"), *ALONE)
    containers = {
        name.removeprefix("eyes-"): thing["spec"]["template"]["spec"]["containers"][0]
        for name, thing in of_kind(found, "Deployment").items()
    }
    numbers = {str(p["containerPort"]) for c in containers.values() for p in c["ports"]}
    ports = {number: str(free_port()) for number in numbers}
    made = Pods(folder, containers, ports, Pki(folder / "pki"))
    _fill(made)
    try:
        made.start(MODEL)
        made.start("gateway")
        made.wait_ready(MODEL)
        yield made
    finally:
        for process in made.processes:
            process.terminate()
        for process in made.processes:
            process.wait(60)


def _fill(pods: Pods) -> None:
    """Files of the Secrets that docs/kubernetes.md asks for."""
    pki = pods.pki
    for part in ("gateway/tls", "gateway/services", "gateway/tokens", f"{MODEL}/tls"):
        (pods.folder / part).mkdir(parents=True)
    both = pki.authority.for_server(["localhost", f"eyes-{MODEL}"], also_client=True)
    pairs = {
        "gateway/tls": pki.authority.for_server(["diptych.example"]),
        "gateway/services": pki.authority.for_client("gateway"),
        f"{MODEL}/tls": both,
    }
    for part, pair in pairs.items():
        pair.save(pods.folder / part, "tls")
        (pods.folder / part / "ca.crt").write_bytes(pki.pem("ca.crt"))
    tokens = pods.folder / "gateway" / "tokens" / "tokens.toml"
    command = [str(BIN / "diptych-gateway"), "token", "me", "--file", str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (pods.folder / "me.token").write_text(done.stdout)


def test_a_model_is_ready_by_its_own_certificate(pods: Pods) -> None:
    assert pods.probe(MODEL) == 0


def test_a_certificate_for_servers_alone_is_not_enough(pods: Pods) -> None:
    """The page says so; were it enough, it need not."""
    own = pods.folder / MODEL / "tls"
    kept = {path: path.read_bytes() for path in own.iterdir()}
    try:
        pods.pki.authority.for_server(["localhost"]).save(own, "tls")
        assert pods.probe(MODEL) != 0
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_the_gateway_is_ready_whatever_its_certificate_is_called(pods: Pods) -> None:
    probe = pods.containers["gateway"]["readinessProbe"]["httpGet"]
    (number,) = (
        port["containerPort"]
        for port in pods.containers["gateway"]["ports"]
        if port["name"] == probe["port"]
    )
    url = f"{probe['scheme'].lower()}://127.0.0.1:{pods.ports[str(number)]}{probe['path']}"
    assert "alive" in got(url)


def test_prometheus_finds_what_the_autoscaler_asks_for(pods: Pods) -> None:
    named = {p["name"]: str(p["containerPort"]) for p in pods.containers[MODEL]["ports"]}
    page = got(f"http://127.0.0.1:{pods.ports[named['metrics']]}/metrics")
    (trigger,) = of_kind(rendered(*example("autoscaled")), "ScaledObject")[f"eyes-{MODEL}"]["spec"][
        "triggers"
    ]
    (name,) = re.findall(r"diptych_[a-z_]+", trigger["metadata"]["query"])
    assert re.search(rf"^{name} [0-9.]+$", page, re.MULTILINE)


def got(url: str) -> str:
    """What is at an address, whatever its certificate says; the kubelet asks in this way."""
    unchecked = ssl._create_unverified_context()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    )
    with opener.open(url, timeout=20) as answer:
        return str(answer.read().decode())


def test_callers_with_a_token_reach_the_model(pods: Pods) -> None:
    tls = diptych.TlsOptions(
        ca=pods.folder / "gateway" / "tls" / "ca.crt", server_name="diptych.example"
    )
    address = f"localhost:{pods.ports['50051']}"
    token = (pods.folder / "me.token").read_text().strip()
    with diptych.Client(address, tls=tls, token=token, timeout=30) as client:
        assert client.health() is ServingStatus.SERVING
        until = time.monotonic() + 30
        while (model := client.model_cards()[0]).error is not None:
            assert time.monotonic() < until, model.error
            time.sleep(0.2)
        assert model.model_id == MODEL
    nobody = diptych.Client(address, tls=tls, timeout=30)
    with nobody, pytest.raises(diptych.AuthenticationError):
        nobody.model_cards()
