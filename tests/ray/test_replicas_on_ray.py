"""Ray places, replaces and scales replicas, and no user of a gateway loses a call by it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_engine import SLOW, watermark
from pki import Pki
from ray_nodes import CPU, Nodes, running_gateway
from ray_users import users
from serving_helpers import picture

import diptych

CALLS = 300
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of services and of the gateway."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def fake(pki: Pki) -> dict[str, Any]:
    """Options of a model that lets in only who has a certificate, by the name in its own; and of
    a node's one GPU, so that the second replica is on the second node."""
    settings = {**CPU, "DIPTYCH_HOST": "localhost", **variables(pki.serving_known_clients)}
    return {"cpus": 0.1, "gpus": 1, "settings": settings}


def variables(settings: dict[str, Path]) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"DIPTYCH_{name.upper()}": str(path) for name, path in settings.items()}


@pytest.fixture
def gateway(nodes: Nodes, pki: Pki, fake: dict[str, Any], tmp_path: Path) -> Callable[[], Any]:
    """Starts a gateway that services let in; gives its address."""
    log, calling = tmp_path / "gateway.log", variables(pki.calling_services)
    return lambda: running_gateway(["fake"], nodes.directory, log, **calling)


def prompt(client: diptych.Client, number: int) -> None:
    """Ask about one of many pictures, and check that the answer is about that one."""
    pixels = picture(seed=number // 4)
    answer = client.segment(pixels, model="fake", points=[(10, 10)])
    assert answer.segments[0].label == watermark(pixels)


def work(client: diptych.Client, number: int) -> None:
    """Ask for what takes the engine three seconds."""
    client.segment(picture(SLOW, seed=number), model="fake")


def refusal(url: str, method: str = "GET") -> tuple[int, dict[str, str]]:
    """The status and the body of an answer that is not OK."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5)
    with caught.value as answer:
        return answer.code, json.load(answer)


def test_a_third_model_is_one_more_entry_and_replicas_can_be_dialled(
    nodes: Nodes, pki: Pki, fake: dict[str, Any]
) -> None:
    nodes.deploy({"fake": {**fake, "replicas": 2}})
    for address in nodes.listed()["fake"]:
        assert address.startswith("localhost:")
        stranger = diptych.Client(address, tls=pki.options, timeout=5)
        with stranger, pytest.raises(diptych.DiptychError):
            stranger.model_card("fake")
        with diptych.Client(address, tls=pki.options_with_certificate) as client:
            prompt(client, 0)
            assert client.model_card("fake").display_name == "Fake"
    with urllib.request.urlopen(f"{nodes.directory}?model=fake") as answer:
        assert list(json.load(answer)["replicas"]) == ["fake"]
    with urllib.request.urlopen(f"{nodes.directory}?model=other") as answer:
        assert json.load(answer) == {"replicas": {}}
    assert refusal(nodes.directory + "/more") == (404, {"error": "only /replicas is here"})
    assert refusal(nodes.directory, "POST")[0] == 405


def test_a_node_is_killed_under_three_users(
    nodes: Nodes, fake: dict[str, Any], gateway: Callable[[], Any]
) -> None:
    nodes.deploy({"fake": {**fake, "replicas": 2}})
    before = set(nodes.listed()["fake"])
    with (
        gateway() as address,
        users(3, address, prompt, pause_s=0.05) as calls,
    ):
        calls.wait(CALLS // 3)
        nodes.kill_worker()
        nodes.wait(lambda listed: len(set(listed.get("fake", before)) & before) == 1)
        nodes.add_worker()
        found = nodes.wait(lambda listed: len(listed.get("fake", ())) == 2)
        assert len(set(found["fake"]) - before) >= 1
        calls.wait(max(CALLS, calls.answered + CALLS // 3))
    print(f"\nnode killed: {calls}")
    assert calls.lost == []


def test_load_scales_a_model_up_and_down(
    nodes: Nodes,
    fake: dict[str, Any],
    gateway: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diptych_ray.application._LOOK_BACK_S", 4.0)  # replicas report each second
    scaled = {"max_replicas": 2, "load_per_replica": 2, "upscale_delay_s": 1}
    nodes.deploy({"fake": {**fake, **scaled, "downscale_delay_s": 2}})
    with (
        gateway() as address,
        users(1, address, prompt, pause_s=0.05) as quick,
    ):
        with users(4, address, work) as slow:
            nodes.wait(lambda listed: len(listed.get("fake", ())) == 2)
            slow.wait(slow.answered + 4)
        nodes.wait(lambda listed: len(listed.get("fake", ())) == 1)
        quick.wait(quick.answered + 50)
    print(f"\nscaled: {quick}; slow ones: {slow}")
    assert quick.lost == []
    assert slow.lost == []
