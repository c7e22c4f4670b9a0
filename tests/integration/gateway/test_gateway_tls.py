"""TLS on both sides of the gateway, and certificates that are exchanged under load."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from pki import Pki
from serving_helpers import automatic_request, error_of, eventually, picture, png, running_service

from diptych.segment import v1 as pb
from diptych_gateway.__main__ import main
from diptych_gateway.settings import Endpoint
from diptych_runtime import watched

EXCHANGES = 5
WORKERS = 3


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pki:
    monkeypatch.setattr(watched, "CHECK_S", 0.005)
    return Pki(tmp_path / "pki")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def test_clients_need_tls_and_the_authority(stage: Any, pki: Pki, tmp_path: Path) -> None:
    await stage.serve(await stage.model("one"), **pki.serving)
    request = pb.ListModelCardsRequest()

    def cards(credentials: grpc.ChannelCredentials | None) -> Awaitable[Any]:
        channel = stage.channel(stage.address, credentials)
        return pb.GatewayServiceStub(channel).ListModelCards(request, timeout=20)

    assert (await cards(pki.credentials())).models
    for credentials in (None, Pki(tmp_path / "other").credentials()):
        error = await error_of(cards(credentials))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_services_see_the_certificate_of_the_gateway(stage: Any, pki: Pki) -> None:
    model = await stage.model("one", credentials=pki.server_credentials())
    stub = await stage.serve(model, **pki.calling_services)
    await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert set(model.certificates_of_callers) == {pki.pem("client.crt")}


@pytest.mark.parametrize("missing", ["certificate", "trust", "tls"])
async def test_services_that_the_gateway_does_not_fit_are_unreachable(
    stage: Any, pki: Pki, tmp_path: Path, missing: str
) -> None:
    model = await stage.model("one", credentials=pki.server_credentials())
    settings: dict[str, Path] = {
        "certificate": {"services_ca": pki.path("ca.crt")},
        "trust": {**pki.calling_services, "services_ca": Pki(tmp_path / "x").path("ca.crt")},
        "tls": {},
    }[missing]
    stub = await stage.serve(model, seen=False, **settings)
    named = pb.CompareRequest(request=stage.request(), model_ids=["one"])
    (result,) = (await stub.Compare(named, timeout=20)).results
    assert result.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "certificate" not in result.error.message.lower()
    assert model.requests == []


async def test_calls_end_on_the_connection_on_which_they_began(stage: Any, pki: Pki) -> None:
    model = await stage.model("one", credentials=pki.server_credentials())
    stub = await stage.serve(model, **pki.calling_services)
    asked = pb.CompareRequest(request=stage.request())
    old = pki.pem("client.crt")
    gate = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await gate.wait()
        return await model.find(request, context)

    model.answer = wait
    waiting = asyncio.ensure_future(stub.Compare(asked, timeout=60))
    await stage.until(lambda: model.running == 1)
    model.answer = model.find
    pki.renew()

    async def goes_the_new_way() -> bool:
        assert (await stub.Compare(asked, timeout=20)).results[0].HasField("response")
        return bool(model.certificates_of_callers[-1] == pki.pem("client.crt"))

    await eventually(goes_the_new_way)
    assert model.running == 1
    gate.set()
    assert (await waiting).results[0].HasField("response")
    assert model.certificates_of_callers[0] == old


async def test_a_certificate_that_services_refuse_does_not_replace_one_that_works(
    stage: Any, pki: Pki, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = await stage.model("one", credentials=pki.server_credentials())
    stub = await stage.serve(model, **pki.calling_services)
    asked = pb.CompareRequest(request=stage.request())
    good = pki.pem("client.crt"), pki.pem("client.key")
    other = Pki(tmp_path / "other")
    for suffix, pem in (("crt", other.pem("client.crt")), ("key", other.pem("client.key"))):
        pki.path(f"client.{suffix}").write_bytes(pem)
    await eventually(lambda: "files read again" in "".join(capfd.readouterr()))
    for _ in range(20):
        assert (await stub.Compare(asked, timeout=20)).results[0].HasField("response")
    assert set(model.certificates_of_callers) == {good[0]}
    pki.renew()

    async def goes_the_new_way() -> bool:
        assert (await stub.Compare(asked, timeout=20)).results[0].HasField("response")
        return bool(model.certificates_of_callers[-1] == pki.pem("client.crt"))

    await eventually(goes_the_new_way)


async def test_exchanges_under_load_cost_no_call(
    stage: Any, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker keeps one connection and makes one more for every other call."""
    request = automatic_request(png(picture()))
    request.model_id = "fake"
    answers: list[int] = []
    done = asyncio.Event()

    async def work() -> None:
        kept = pb.SegmentServiceStub(stage.channel(stage.address, pki.credentials()))
        while not done.is_set():
            async with grpc.aio.secure_channel(stage.address, pki.credentials()) as channel:
                for stub in (kept, pb.SegmentServiceStub(channel)):
                    answers.append(len((await stub.Segment(request, timeout=60)).segments))

    async def shown(port: int) -> bool:
        return await pki.shown_at(port) == pki.pem("server.crt")

    async with running_service(**pki.serving_known_clients) as service:
        endpoint = Endpoint("fake", f"127.0.0.1:{service.port}")
        await stage.serve(endpoint, seen=False, **pki.serving, **pki.calling_services)
        await stage.until(lambda: stage.reachable() == {"fake"})
        endpoint = stage.gateway.registry.model("fake")
        renewed: list[object] = []
        monkeypatch.setattr(endpoint, "renew", _noting(endpoint.renew, renewed))
        workers = [asyncio.create_task(work()) for _ in range(WORKERS)]
        for exchange in range(1, EXCHANGES + 1):
            before = len(answers)
            pki.renew()
            await eventually(lambda: shown(service.port))
            await eventually(lambda: shown(port_of(stage.address)))
            await eventually(lambda: len(renewed) >= exchange)  # noqa: B023
            await eventually(lambda: len(answers) >= before + 4 * WORKERS)  # noqa: B023
        done.set()
        await asyncio.gather(*workers)
        assert set(answers) == {1}
        assert len(answers) >= EXCHANGES * 4 * WORKERS


def _noting(call: Callable[[Any], None], calls: list[object]) -> Callable[[Any], None]:
    def noting(value: Any) -> None:
        calls.append(value)
        call(value)

    return noting


CA, CERT, KEY = "DIPTYCH_SERVICES_CA", "DIPTYCH_SERVICES_CERT", "DIPTYCH_SERVICES_KEY"
TOKENS = "DIPTYCH_TOKENS_FILE"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"DIPTYCH_TLS_CERT": "server.crt"}, "DIPTYCH_TLS_CERT is set and DIPTYCH_TLS_KEY is not"),
        ({CERT: "client.crt"}, f"{CERT} is set and {CA} is not"),
        ({KEY: "client.key"}, f"{KEY} is set and {CA} is not"),
        ({CA: "ca.crt", CERT: "client.crt"}, f"{CERT} is set and {KEY} is not"),
        ({CA: "ca.key"}, f"{CA}={{}}/ca.key: expected a certificate"),
        ({CA: "ca.crt", CERT: "client.crt", KEY: "ca.key"}, f"{KEY}={{}}/ca.key: expected the"),
        ({TOKENS: "none.toml"}, f"{TOKENS}={{}}/none.toml: no such file"),
        ({TOKENS: "ca.crt"}, f"{TOKENS}={{}}/ca.crt: "),
    ],
)
def test_files_that_cannot_be_used_end_it_with_one_line(
    pki: Pki,
    files: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("DIPTYCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DIPTYCH_MODELS", "one=127.0.0.1:1")
    monkeypatch.setenv("DIPTYCH_PORT", "0")
    monkeypatch.setenv("DIPTYCH_HTTP_PORT", "0")
    for name, file in files.items():
        monkeypatch.setenv(name, str(pki.path(file)))
    try:
        assert main([]) == 2
    finally:
        structlog.reset_defaults()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"diptych-gateway: {said.format(pki.folder)}")
