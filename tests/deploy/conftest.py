"""The gateway behind real proxies, by the files in ``deploy/proxy``; what tests charts."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helm_chart import TOOLS, Schemas
from pki import Pki
from stack import free_port, wait_serving

import diptych
from diptych.testing import FakeSegmentService

FILES = Path(__file__).parents[2] / "deploy" / "proxy"
ALL, READ_ONLY = "diptych_for-everything", "diptych_only-read"
NAMES = ("nginx", "haproxy")


@dataclass
class Behind:
    """A gateway with tokens and its model, both behind one port of a proxy."""

    name: str
    folder: Path
    pki: Pki
    fake: FakeSegmentService
    ports: dict[str, int]

    @property
    def address(self) -> str:
        return f"localhost:{self.ports['proxy']}"

    def url(self, path: str, scheme: str = "https") -> str:
        return f"{scheme}://{self.address}/diptych{path}"

    def client(self, address: str = "", token: str | None = ALL, **options: Any) -> diptych.Client:
        tls = diptych.TlsOptions(ca=self.pki.path("ca.crt"))
        return diptych.Client(address or self.address, tls=tls, token=token, timeout=30, **options)

    def configuration(self, port: int, changes: dict[str, str]) -> Path:
        """The file as it is in the repository, with what an operator has to change."""
        nginx = self.name == "nginx"
        text = (FILES / ("nginx.conf" if nginx else "haproxy.cfg")).read_text()
        pem = self.folder / "diptych.pem"
        certificate, key = self.pki.path("server.crt"), self.pki.path("server.key")
        pem.write_bytes(certificate.read_bytes() + key.read_bytes())
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{self.ports['http']}",
            "127.0.0.1:50051": f"127.0.0.1:{self.ports['grpc']}",
            **(
                {
                    "listen 443": f"listen 127.0.0.1:{port}",
                    "/etc/nginx/diptych.crt": str(certificate),
                    "/etc/nginx/diptych.key": str(key),
                    "\nhttp {\n": "\nhttp {\n" + _places(self.folder),
                }
                if nginx
                else {"bind :443": f"bind 127.0.0.1:{port}", "/etc/haproxy/diptych.pem": str(pem)}
            ),
            **changes,
        }
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        path = self.folder / f"{self.name}-{port}.conf"
        path.write_text(text)
        return path

    @contextmanager
    def running(self, **changes: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        """Another of these proxies, with changes to its file; gives address and process."""
        port = free_port()
        with running(self, port, changes) as process:
            yield f"localhost:{port}", process


def _places(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [f"{kind}_temp_path {folder}/{kind};" for kind in kinds]
    return "\n".join([*lines, "access_log off;\n"])


@contextmanager
def running(
    behind: Behind, port: int, changes: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    path = behind.configuration(port, changes)
    log = behind.folder / f"{behind.name}-{port}.log"
    main = f"daemon off; pid {path}.pid; {'user root;' if os.getuid() == 0 else ''}"
    command = {
        "nginx": ["nginx", "-e", str(log), "-c", str(path), "-g", main],
        "haproxy": ["haproxy", "-db", "-f", str(path)],
    }[behind.name]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for _ in range(200):
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def schemas() -> Iterator[Schemas]:
    """What knows the kinds of Kubernetes' objects; where it is, helm is too."""
    if not (TOOLS / "helm").exists():
        pytest.skip("`make test-deploy` installs helm and the schemas")
    asked = Schemas()
    yield asked
    asked.close()


@pytest.fixture(scope="module", params=NAMES)
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    """The gateway behind one kind of proxy, for all tests of a module."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp(name)
    tokens = folder / "tokens.toml"
    tokens.write_text(_entry("all", ALL) + _entry("reads", READ_ONLY, 'scopes = ["read"]'))
    ports = {each: free_port() for each in ("grpc", "http", "proxy")}
    with FakeSegmentService(("one",), gateway=False) as fake:
        settings = {
            "DIPTYCH_MODELS": f"one={fake.address}",
            "DIPTYCH_PORT": str(ports["grpc"]),
            "DIPTYCH_HTTP_PORT": str(ports["http"]),
            "DIPTYCH_TOKENS_FILE": str(tokens),
            "DIPTYCH_REQUEST_BYTES": str(80 * 1024 * 1024),
            "DIPTYCH_DRAIN_S": "0",
            "DIPTYCH_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "diptych_gateway"]
        gateway = subprocess.Popen(command, env={**os.environ, **settings})
        made = Behind(name, folder, Pki(folder / "pki"), fake, ports)
        try:
            wait_serving(f"127.0.0.1:{ports['grpc']}")
            with running(made, ports["proxy"], {}):
                yield made
        finally:
            gateway.terminate()
            gateway.wait(20)


@pytest.fixture
def told(behind: Behind) -> Iterator[FakeSegmentService]:
    """The model, to be told what to answer; healthy again after the test."""
    yield behind.fake
    behind.fake.recover()
    behind.fake.delay_s = 0.0


def _entry(name: str, secret: str, rest: str = "") -> str:
    return f'[tokens.{name}]\nsha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"\n{rest}\n'
