"""The whole product as its users start it: three processes, real engines, demo weights."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from service_list import MODELS

import diptych
from diptych import ServingStatus

START_S = 120.0


def free_port() -> int:
    """A port that nobody has at this moment, and that no system hands out by itself: between now
    and its use a server on port 0 or a connection of another test would take it."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_serving(address: str, *, seconds: float = START_S) -> None:
    """Wait until the server at an address says SERVING."""
    until = time.monotonic() + seconds
    with diptych.Client(address, timeout=2) as client:
        while True:
            try:
                if client.health() is ServingStatus.SERVING:
                    return
            except diptych.DiptychError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"{address} did not serve within {seconds:g} s")
            time.sleep(0.1)


@dataclass
class Stack:
    """Ports and processes, by model id and ``gateway``; ``http`` is the gateway's other port."""

    ports: dict[str, int]
    folder: Path
    models: tuple[str, ...] = tuple(MODELS)
    cascades: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a part listens."""
        return f"127.0.0.1:{self.ports[name]}"

    def start(self, name: str) -> None:
        """Start one part; its log goes to a file in the folder."""
        module = MODELS[name].package if name in MODELS else "diptych_gateway"
        models = ",".join(f"{model}={self.address(model)}" for model in self.models)
        environment = {
            **os.environ,
            "DIPTYCH_PORT": str(self.ports[name]),
            "DIPTYCH_MODELS": models,
            "DIPTYCH_CASCADES": self.cascades,
            "DIPTYCH_HTTP_PORT": str(self.ports.get("http", "")),
            "DIPTYCH_THREADS": "1",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module], env=environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """End one part's front as nothing but SIGKILL does."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(10)

    def stop(self) -> None:
        """End every part and check that it ended by itself."""
        running = [p for p in self.processes.values() if p.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


@contextmanager
def running_services(folder: Path) -> Iterator[Stack]:
    """Both model services, SERVING, without a gateway."""
    stack = Stack({name: free_port() for name in MODELS}, folder)
    try:
        for name in MODELS:
            stack.start(name)
        for name in MODELS:
            wait_serving(stack.address(name))
        yield stack
    finally:
        stack.stop()


@contextmanager
def running_stack(services: Stack, folder: Path, cascades: str = "") -> Iterator[Stack]:
    """A gateway of one's own before services that others may use as well, all SERVING.

    Services that were killed are started again.
    """
    for name in MODELS:
        if services.processes[name].poll() is not None:
            services.start(name)
            wait_serving(services.address(name))
    ports = services.ports | {name: free_port() for name in ("gateway", "http")}
    stack = Stack(ports, folder, cascades=cascades)
    try:
        stack.start("gateway")
        wait_serving(stack.address("gateway"))
        wait_cards(stack)
        stack.processes |= services.processes
        yield stack
    finally:
        for name in MODELS:  # others go on with them
            stack.processes.pop(name, None)
        stack.stop()


def wait_cards(stack: Stack, *, seconds: float = 30.0) -> None:
    """Wait until the gateway has seen every model's card."""
    until = time.monotonic() + seconds
    with diptych.Client(stack.address("gateway")) as client:
        while not all(known.card for known in client.model_cards()):
            if time.monotonic() > until:
                raise TimeoutError("the gateway did not get all cards")
            time.sleep(0.2)
