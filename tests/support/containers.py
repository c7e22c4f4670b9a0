"""The product in containers: docker compose as a user runs it, under a project name of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service_list import MODELS
from stack import free_port

ROOT = Path(__file__).resolve().parents[2]
BASE = "python:3.11-slim-bookworm"
IMAGES = {name: f"diptych-{name}" for name in ("gateway", *MODELS)}
START_S = 300.0
# The system's own first: a client from elsewhere may not fit the engine.
PATH = os.pathsep.join(["/usr/bin", os.environ.get("PATH", "")])


def compose_command() -> list[str]:
    """``docker-compose`` where there is one, else ``docker compose``."""
    alone = shutil.which("docker-compose", path=PATH)
    return [alone] if alone else [str(shutil.which("docker", path=PATH)), "compose"]


def missing() -> str:
    """Why containers cannot be run here; empty if they can."""
    if not shutil.which("docker", path=PATH):
        return "there is no docker command"
    for command in (["docker", "info"], [*compose_command(), "version"]):
        done = run(command)
        if done.returncode:
            return f"`{' '.join(command)}` fails: {done.stderr.strip()[-200:]}"
    return ""


def run(
    command: Sequence[str], *, env: dict[str, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command from the root of the repository; its output is kept."""
    environment = {**os.environ, "PATH": PATH, **(env or {})}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def docker(*arguments: str, timeout_s: float = 120) -> str:
    """What a docker command says; it has to succeed."""
    done = run(["docker", *arguments], timeout_s=timeout_s)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


def inspect(name: str) -> dict[str, Any]:
    """All that the engine knows of a container or an image."""
    (found,) = json.loads(docker("inspect", name))
    assert isinstance(found, dict)
    return found


def python_in_image(image: str, program: str) -> str:
    """What a Python program says in a container of an image, as root, without a network."""
    command = ("run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "python")
    return docker(*command, image, "-c", program)


class Project:
    """One stack. ``variables`` are settings, as a user has them in the shell."""

    def __init__(self, *files: str, profile: str = "cpu", **variables: str) -> None:
        self.name = f"diptych-test-{secrets.token_hex(4)}"
        self.port, self.http_port = free_port(), free_port()
        self._files = [part for file in files for part in ("-f", file)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DIPTYCH_", "COMPOSE_"))}
        self._environment = {
            **kept,
            "PATH": PATH,
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_PROFILES": profile,
            "DOCKER_BUILDKIT": "1",
            "DIPTYCH_PORT": str(self.port),
            "DIPTYCH_HTTP_PORT": str(self.http_port),
            "DIPTYCH_THREADS": "1",
            **variables,
        }

    @property
    def address(self) -> str:
        """Where the gateway is reached from the host."""
        return f"127.0.0.1:{self.port}"

    def try_compose(
        self, *arguments: str, timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a compose command; it may fail."""
        return subprocess.run(
            [*compose_command(), *self._files, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        """What a compose command says; it has to succeed."""
        done = self.try_compose(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stderr[-4000:]}"
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """What is known of each container, by service, whether it runs or not."""
        ids = docker("ps", "-aq", "--filter", self._label).split()
        found = [inspect(id_) for id_ in ids]
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in found}

    def container(self, service: str) -> dict[str, Any]:
        """What is known of the container of a service."""
        return self.containers()[service]

    def wait_healthy(self, *services: str, restarts: int = 0) -> dict[str, float]:
        """Seconds from its start until each service was healthy; waits for that.

        ``restarts`` is how often each has to have been started again before it counts.
        """
        until = time.monotonic() + START_S
        seconds: dict[str, float] = {}
        while missing := [s for s in services if s not in seconds]:
            for service in missing:
                state = self.container(service)
                assert state["State"]["Status"] != "exited", docker("logs", state["Id"])
                healthy = state["State"].get("Health", {}).get("Status") == "healthy"
                if healthy and state["RestartCount"] >= restarts:
                    seconds[service] = _seconds_since(state["State"]["StartedAt"])
            assert time.monotonic() < until, f"not healthy: {missing}\n{self.logs(*missing)}"
            time.sleep(0.5)
        return seconds

    def logs(self, *services: str) -> str:
        """The end of what services have logged."""
        return self.compose("logs", "--no-color", "--tail", "40", *services)

    def down(self) -> None:
        """Take everything away; fails if anything is left."""
        self.compose("down", "-v", "--remove-orphans")
        assert self.left_over() == []

    def left_over(self) -> list[str]:
        """Containers, networks and volumes of this project."""
        lists = (("ps", "-a"), ("network", "ls"), ("volume", "ls"))
        return [id_ for kind in lists for id_ in docker(*kind, "-q", *self._filter).split()]

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.name}"

    @property
    def _filter(self) -> tuple[str, str]:
        return ("--filter", self._label)


def _seconds_since(moment: str) -> float:
    """Of a moment as the engine writes it, in UTC with nanoseconds."""
    started = datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - started).total_seconds()
