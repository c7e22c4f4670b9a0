"""The compose files and the Dockerfile say what the code says; needs no container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import honcho.environ
import pytest
import yaml
from service_list import MODELS
from setting_names import ALL

from diptych_gateway.settings import RENAMED, parse_endpoints
from diptych_gateway.settings import Settings as GatewaySettings
from diptych_runtime.grpc_server.server import NOTICE_S
from diptych_runtime.settings import RuntimeSettings

ROOT = Path(__file__).resolve().parents[2]
COMMON = yaml.safe_load((ROOT / "docker-compose.common.yml").read_text())["services"]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Where a container listens, on what it computes and where its weights are is not the user's choice.
FIXED = {
    *("DIPTYCH_HOST", "DIPTYCH_PORT", "DIPTYCH_HTTP_PORT"),
    *("DIPTYCH_DEVICE", "DIPTYCH_WEIGHTS_DIR"),
}
FILES = re.compile(r"DIPTYCH_(TLS|SERVICES)_\w+|DIPTYCH_TOKENS_FILE")
"""Settings that name files, which docker-compose.tls.yml brings into the containers."""
SETTINGS = {name: {s for s in all_of if not FILES.fullmatch(s)} for name, all_of in ALL.items()}


@pytest.mark.parametrize("service", COMMON)
def test_every_setting_is_passed_on(service: str) -> None:
    mirror = set() if service == "gateway" else {"DIPTYCH_WEIGHTS_MIRROR"}
    renamed = set(RENAMED) if service == "gateway" else set()
    assert set(COMMON[service]["environment"]) == (SETTINGS[service] - FIXED) | mirror | renamed
    with_value = {k for k, v in COMMON[service]["environment"].items() if v is not None}
    of_gateway = {"DIPTYCH_MODELS", "DIPTYCH_CASCADES"}
    ours = of_gateway if service == "gateway" else {"DIPTYCH_METRICS_PORT"}
    assert with_value == ours


@pytest.mark.parametrize("service", SERVICES)
def test_every_certificate_has_its_place(service: str) -> None:
    secured = yaml.safe_load((ROOT / "docker-compose.tls.yml").read_text())["services"][service]
    (folder,) = (volume.split(":")[-2] for volume in secured["volumes"])
    for_clients = {"DIPTYCH_CA_FILE", "DIPTYCH_CERT_FILE", "DIPTYCH_KEY_FILE"}
    wanted = {s for s in ALL[service.removesuffix("-cpu")] if FILES.fullmatch(s)}
    assert set(secured["environment"]) - for_clients == wanted
    assert all(path.startswith(f"{folder}/") for path in secured["environment"].values())


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("service", COMMON)
def test_a_stop_and_a_start_get_the_time_that_they_may_take(service: str) -> None:
    defaults = {name: field.default for name, field in RuntimeSettings.model_fields.items()}
    # The server's own reserve at the end of a drain is 5 s.
    stop_s = defaults["drain_s"] + NOTICE_S + 5
    assert seconds(COMMON[service]["stop_grace_period"]) > stop_s
    if service != "gateway":
        start_s = seconds(COMMON[service]["healthcheck"]["start_period"])
        assert start_s >= defaults["load_timeout_s"]


def stage(name: str) -> str:
    """The instructions of the final stage of an image."""
    (found,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
    return str(found)


def test_addresses_are_the_same_everywhere() -> None:
    default = re.sub(
        r"\$\{DIPTYCH_MODELS:-(.*)\}", r"\1", COMMON["gateway"]["environment"]["DIPTYCH_MODELS"]
    )
    dialled = {e.model_id: e.address for e in parse_endpoints(default)}
    procfile = dict(
        re.findall(r"^([\w-]+): .*?DIPTYCH_PORT=(\d+)", (ROOT / "Procfile").read_text(), re.M)
    )
    for name, port in procfile.items():
        assert f"DIPTYCH_ADDRESS=localhost:{port}\n" in stage(name)
        assert f"EXPOSE {port}\n" in stage(name)
        if name != "gateway":
            assert dialled.pop(name) == f"{name}:{port}"
            assert COMMON[name]["networks"]["models"]["aliases"] == [name]
    assert not dialled
    grpc_port, http_port = SERVICES["gateway"]["ports"]
    assert grpc_port.endswith(f":{procfile['gateway']}")
    assert http_port.endswith(f":{GatewaySettings.model_fields['http_port'].default}")


def test_the_cascade_is_on_wherever_both_models_are() -> None:
    default = "${DIPTYCH_CASCADES-mask-rcnn>sam-2}"
    environment = COMMON["gateway"]["environment"]
    assert environment["DIPTYCH_CASCADES"] == default
    assert f'DIPTYCH_CASCADES="{default}"' in (ROOT / "Procfile").read_text()
    models = re.sub(r"\$\{DIPTYCH_MODELS:-(.*)\}", r"\1", environment["DIPTYCH_MODELS"])
    settings = GatewaySettings(models=models, cascades="mask-rcnn>sam-2")
    assert [pair.model_id for pair in settings.cascades] == ["mask-rcnn-sam-2"]


def test_pulled_weights_go_to_the_volume() -> None:
    (path,) = re.findall(r"DIPTYCH_WEIGHTS_DIR=(\S+)", DOCKERFILE)
    for name in MODELS:
        assert COMMON[name]["volumes"] == [f"weights:{path}"]


def test_only_the_gateway_is_published_and_only_gpus_are_pinned() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert not any("ports" in service or "deploy" in service for service in COMMON.values())
    pinned = [name for name, service in SERVICES.items() if "deploy" in service]
    assert pinned == [*MODELS]


def profiles() -> dict[str, Any]:
    return {name: service.get("profiles", []) for name, service in SERVICES.items()}


def test_env_chooses_the_profile_and_nothing_else() -> None:
    """``make up`` reads it too, where it goes before the shell."""
    variables = honcho.environ.parse((ROOT / ".env").read_text())
    assert variables == {"COMPOSE_PROFILES": "gpu"}
    assert profiles() == {
        "gateway": [],
        **{name: ["gpu"] for name in MODELS},
        **{f"{name}-cpu": ["cpu"] for name in MODELS},
    }


def test_what_follows_from_the_list_of_services_is_current() -> None:
    command = [sys.executable, str(ROOT / "services" / "render.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
