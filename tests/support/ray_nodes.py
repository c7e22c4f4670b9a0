"""Two Ray nodes on this machine, applications on them, and a gateway that asks their directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.config import HTTPOptions
from stack import free_port, wait_serving

import diptych
from diptych_ray import app

NODE = {"num_cpus": 4, "num_gpus": 1, "object_store_memory": 100 * 2**20}
FAKE = """
from diptych_runtime.main import ServiceSpec
SPEC = ServiceSpec("fake", 0, "fake_engine:create", (), "")
"""
ENTRY_POINT = "[diptych.models]\nfake = fake_spec:SPEC\n"
METADATA = "Metadata-Version: 2.1\nName: diptych-fake\nVersion: 0\n"
CPU = {"DIPTYCH_DEVICE": "cpu", "DIPTYCH_DRAIN_S": "5"}


def install_fake(folder: Path) -> None:
    """Make a distribution of a third model, which nodes find by its entry point."""
    info = folder / "diptych_fake-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    (folder / "fake_spec.py").write_text(FAKE)
    paths = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    sys.path.insert(0, str(folder))


@dataclass
class Nodes:
    """The cluster; ``worker`` is the node that may be killed."""

    cluster: Cluster
    worker: Any
    directory: str
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is deployed, with its options."""

    def kill_worker(self) -> None:
        """End a node with all that runs on it, as a machine that fails."""
        self.cluster.remove_node(self.worker, allow_graceful=False)

    def add_worker(self) -> None:
        """Bring a node in its place."""
        self.worker = self.cluster.add_node(**NODE)

    def deploy(self, models: dict[str, dict[str, Any]], timeout_s: float = 90.0) -> None:
        """Run an application and wait until the directory lists as many replicas as it asks for."""
        if models != self.models:  # the same once more would start all replicas anew
            serve.run(app({"models": models}), name="diptych", route_prefix="/")
            self.models = models
        wanted = {name: options.get("replicas", 1) for name, options in models.items()}
        self.wait(lambda listed: {name: len(a) for name, a in listed.items()} == wanted, timeout_s)

    def listed(self) -> dict[str, list[str]]:
        """What the directory says; nothing while it cannot say."""
        try:
            with urllib.request.urlopen(self.directory, timeout=5) as answer:
                assert answer.headers["content-type"] == "application/json"
                found: dict[str, list[str]] = json.load(answer)["replicas"]
                return found
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return {}

    def wait(
        self, condition: Callable[[dict[str, list[str]]], object], timeout_s: float = 60.0
    ) -> dict[str, list[str]]:
        """Wait until what the directory lists is so; returns it."""
        until = time.monotonic() + timeout_s
        while not condition(listed := self.listed()):
            if time.monotonic() > until:
                raise TimeoutError(f"after {timeout_s:g} s the directory still lists {listed}")
            time.sleep(0.2)
        return listed


@contextmanager
def running_nodes(folder: Path) -> Iterator[Nodes]:
    """Two nodes and Serve; ``folder`` is for the third model."""
    install_fake(folder)
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # empty, a node with GPUs would not start
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        worker = cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, namespace="serve", log_to_driver=False)
        port = free_port()
        # One proxy: of two nodes on one machine only one could have the port.
        serve.start(
            proxy_location="HeadOnly", http_options=HTTPOptions(host="127.0.0.1", port=port)
        )
        yield Nodes(cluster, worker, f"http://127.0.0.1:{port}/replicas")
    finally:
        if ray.is_initialized():
            serve.shutdown()
            ray.shutdown()
        cluster.shutdown()


@contextmanager
def running_gateway(
    models: Sequence[str], directory: str, log: Path, **variables: str
) -> Iterator[str]:
    """A gateway that finds all models in a directory; gives its address."""
    port = free_port()
    environment = {
        **os.environ,
        "DIPTYCH_PORT": str(port),
        "DIPTYCH_HTTP_PORT": "",
        "DIPTYCH_MODELS": ",".join(f"{model}={directory}" for model in models),
        **variables,
    }
    with log.open("wb") as out:
        command = [sys.executable, "-m", "diptych_gateway"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        address = f"127.0.0.1:{port}"
        wait_serving(address, seconds=30)
        wait_all_cards(address)
        yield address
    except TimeoutError as error:
        error.add_note(log.read_text(errors="replace")[-2000:])
        raise
    finally:
        process.terminate()
        process.wait(60)


def wait_all_cards(address: str, seconds: float = 60.0) -> None:
    """Wait until a gateway has seen the card of every model."""
    until = time.monotonic() + seconds
    with diptych.Client(address, timeout=5) as client:
        while not all(known.card for known in client.model_cards()):
            if time.monotonic() > until:
                raise TimeoutError("the gateway did not get all cards")
            time.sleep(0.2)
