"""The stack with certificates and tokens: who has none is let in nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Project, run
from service_list import MODELS

import diptych
from diptych import Client, ServingStatus, TlsOptions

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "tests" / "assets" / "scenes" / "0.png"
SERVICES = ("gateway", *(f"{name}-cpu" for name in MODELS))
USER = 12345
"""Who has made the certificates: neither root nor the images' user."""
pytestmark = pytest.mark.timeout(1900)  # the first one may build


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docs/deploy.md tells to make, by a user who shares it with nobody."""
    place = tmp_path_factory.mktemp("secured")
    subprocess.run([sys.executable, str(ROOT / "certificates.py")], cwd=place, check=True)
    folder = place / "certs"
    make_token = [sys.executable, "-m", "diptych_gateway", "token", "me"]
    made = subprocess.run(
        [*make_token, "--file", str(folder / "tokens.toml")], capture_output=True, check=True
    )
    (place / "me.token").write_bytes(made.stdout)
    for path in (folder, *folder.iterdir()):
        os.chown(path, USER, USER)
    return folder


@pytest.fixture(scope="module")
def secured(images: dict[str, str], certs: Path) -> Iterator[Project]:
    """The cpu profile with ``docker-compose.tls.yml``, all healthy."""
    files = ("docker-compose.yml", "docker-compose.tls.yml")
    project = Project(*files, DIPTYCH_CERTS=str(certs), DIPTYCH_USER=f"{USER}:{USER}")
    try:
        project.compose("up", "-d")
        project.wait_healthy(*SERVICES)
        yield project
    finally:
        project.down()


def test_the_gateway_wants_tls_and_a_token(secured: Project, certs: Path) -> None:
    tls = TlsOptions(ca=certs / "ca.crt")
    token = (certs.parent / "me.token").read_text().strip()
    with Client(secured.address, tls=tls, token=token, timeout=100) as client:
        found = client.compare(PICTURE, task="instance-segmentation")
        assert [outcome.error for outcome in found.results] == [None] * 3
    with Client(secured.address, tls=tls) as client:
        assert client.health() is ServingStatus.SERVING
        with pytest.raises(diptych.AuthenticationError) as caught:
            client.model_cards()
        assert caught.value.reason == "TOKEN_MISSING"
    with Client(secured.address, timeout=5) as client, pytest.raises(diptych.UnavailableError):
        client.health()


def test_a_model_service_wants_the_gateways_certificate(secured: Project) -> None:
    gateway = secured.container("gateway")["Id"]
    inside = ("/run/certs/gateway-client.crt", "/run/certs/gateway-client.key")
    ask = ["docker", "exec", gateway, "diptych", "health", "--address", "sam-2:50062"]
    with_certificate = run([*ask, "--cert", inside[0], "--key", inside[1]])
    assert with_certificate.returncode == 0, with_certificate.stderr
    assert run(ask).returncode == 3
