"""Starts Label Studio and our backend for it, each from the environment of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from stack import free_port

TOOLS = Path(__file__).resolve().parents[2] / ".tools/label-studio/bin"
START_S = 300.0  # its database has some hundred steps to go through on a busy machine
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "annotator-1"
USER = "ann@example.com"


@dataclass(frozen=True)
class LabelStudio:
    """A server and the way to ask it."""

    url: str

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of an answer that has to be a good one."""
        headers = {"Authorization": f"Token {TOKEN}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=100, **more)
        assert answer.is_success, answer.text[:2000]
        return answer.json() if answer.content else None

    def project(
        self, config: str, data: bytes, name: str, kind: str = "image/png"
    ) -> tuple[int, int]:
        """A project with one uploaded file; its id, and that of its task."""
        made = self.ask("POST", "/api/projects", json={"title": name[:50], "label_config": config})
        files = {"file": (name, data, kind)}
        self.ask("POST", f"/api/projects/{made['id']}/import", files=files)
        tasks = self.ask("GET", f"/api/tasks?project={made['id']}")["tasks"]
        return made["id"], tasks[0]["id"]

    def connect(self, project: int, backend: str) -> int:
        """Connect a backend for clicks; its id."""
        about = {"project": project, "url": backend, "title": "Diptych", "is_interactive": True}
        return int(self.ask("POST", "/api/ml", json=about)["id"])

    def click(self, backend: int, task: int, drawn: list[dict[str, Any]]) -> Any:
        """What the page asks when something was drawn."""
        body = {"task": task, "context": {"result": drawn}}
        return self.ask("POST", f"/api/ml/{backend}/interactive-annotating", json=body)


@contextmanager
def _running(
    command: list[str],
    log: Path,
    url: str,
    login: tuple[str, str] | None = None,
    **environment: str,
) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=out, stderr=out, cwd=log.parent
        )
    try:
        _wait(process, url, log, login)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(
    process: subprocess.Popen[bytes], url: str, log: Path, login: tuple[str, str] | None = None
) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, timeout=5, auth=login).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer; its log ends\n{log.read_text()[-3000:]}")


@contextmanager
def running_label_studio(folder: Path) -> Iterator[LabelStudio]:
    """Label Studio with a database of its own and one user."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_HOST": url,
        # By default no backend may be on the server's own machine or network.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [str(TOOLS / "label-studio"), "start", "--no-browser", "--port", str(port)]
    command += ["--internal-host", "127.0.0.1"]
    with _running(command, folder / "server.log", f"{url}/health", **environment):
        yield LabelStudio(url)


@contextmanager
def running_backend(
    folder: Path, *options: str, user: str = "", password: str = ""
) -> Iterator[str]:
    """Our backend; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(TOOLS / "diptych-label-studio"), "--port", str(port), *options]
    with _running(command, folder / "backend.log", f"{url}/", (user, password) if user else None):
        yield url
