"""A model service with TLS: who gets in, what it shows, and files that cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pool
from pki import Pki
from processes import service_process
from serving_helpers import error_of, eventually, running_service

from diptych.segment import v1 as pb
from diptych_runtime import watched
from diptych_runtime.front.service import ModelService


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture
async def service(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelService]:
    """One that wants to know its clients."""
    monkeypatch.setattr("diptych_runtime.grpc_server.server.NOTICE_S", 0.0)
    monkeypatch.setattr(watched, "CHECK_S", 0.005)
    async with running_service(**pki.serving_known_clients) as service:
        yield service


async def card_through(channel: grpc.aio.Channel) -> str:
    async with channel:
        request = pb.GetModelCardRequest()
        reply = await pb.SegmentServiceStub(channel).GetModelCard(request, timeout=20)
        return str(reply.model_card.id)


def channel_to(
    service: ModelService, credentials: grpc.ChannelCredentials | None, host: str = "localhost"
) -> grpc.aio.Channel:
    target = f"{host}:{service.port}"
    if credentials is None:
        return grpc.aio.insecure_channel(target)
    return grpc.aio.secure_channel(target, credentials)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_client_that_it_knows_gets_in(pki: Pki, service: ModelService, host: str) -> None:
    channel = channel_to(service, pki.credentials(with_certificate=True), host)
    assert await card_through(channel) == "fake"


async def test_others_get_to_no_method(pki: Pki, service: ModelService, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other")
    ca = pki.pem("ca.crt")
    stranger = grpc.ssl_channel_credentials(ca, other.pem("client.key"), other.pem("client.crt"))
    server = grpc.ssl_channel_credentials(ca, pki.pem("server.key"), pki.pem("server.crt"))
    late = pki.authority.for_client("late", days=-1)
    expired = grpc.ssl_channel_credentials(ca, late.key, late.certificate)
    methods = [
        f"/{service_name}/{method.name}"
        for service_name in ("diptych.segment.v1.SegmentService", "grpc.health.v1.Health")
        for method in descriptor_pool.Default().FindServiceByName(service_name).methods
    ]
    assert len(methods) >= 6
    for name, credentials in {
        "plain text": None,
        "no certificate": pki.credentials(),
        "of another authority": stranger,
        "a server's": server,
        "expired": expired,
    }.items():
        async with channel_to(service, credentials) as channel:
            for method in methods:
                # A token is none of a service's business, and opens nothing.
                sent = (("authorization", "Bearer diptych_any"),)
                call = channel.stream_stream(method)(metadata=sent, timeout=20)
                assert await call.code() is grpc.StatusCode.UNAVAILABLE, (name, method)


async def test_clients_do_not_trust_another_authority(
    pki: Pki, service: ModelService, tmp_path: Path
) -> None:
    other = Pki(tmp_path / "other")
    error = await error_of(card_through(channel_to(service, other.credentials())))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_certificates_are_read_again_and_broken_ones_are_not_taken(
    pki: Pki, service: ModelService, capfd: pytest.CaptureFixture[str]
) -> None:
    async def shows_the_file() -> bool:
        return await pki.shown_at(service.port) == pki.pem("server.crt")

    assert await shows_the_file()
    pki.renew()
    await eventually(shows_the_file)
    good = pki.pem("server.crt")
    for name, content in (
        ("server.crt", b"-----BEGIN CERTIFICATE-----\nbroken"),
        ("server.key", pki.pem("client.key")),
        ("server.key", b""),
        ("ca.crt", b"nothing"),
    ):
        before = pki.pem(name)
        pki.path(name).write_bytes(content)
        await eventually(lambda: f"{pki.path(name)}: expected" in "".join(capfd.readouterr()))  # noqa: B023
        pki.path(name).write_bytes(before)
        assert await pki.shown_at(service.port) == good


async def test_a_new_authority_of_clients_counts_for_new_connections(
    pki: Pki, service: ModelService, tmp_path: Path
) -> None:
    async with channel_to(service, pki.credentials(with_certificate=True)) as old:
        stub = pb.SegmentServiceStub(old)
        await stub.GetModelCard(pb.GetModelCardRequest())
        other = Pki(tmp_path / "other")
        server_ca = pki.pem("ca.crt")
        pki.path("ca.crt").write_bytes(other.pem("ca.crt"))
        newcomer = grpc.ssl_channel_credentials(
            server_ca, other.pem("client.key"), other.pem("client.crt")
        )

        async def gets_in() -> bool:
            try:
                return await card_through(channel_to(service, newcomer)) == "fake"
            except grpc.aio.AioRpcError:
                return False

        await eventually(gets_in)
        await stub.GetModelCard(pb.GetModelCardRequest())
    known = grpc.ssl_channel_credentials(server_ca, pki.pem("client.key"), pki.pem("client.crt"))
    await error_of(card_through(channel_to(service, known)))


CERT, KEY, CA = "DIPTYCH_TLS_CERT", "DIPTYCH_TLS_KEY", "DIPTYCH_TLS_CLIENT_CA"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({CERT: "server.crt"}, f"{CERT} is set and {KEY} is not"),
        ({KEY: "server.key"}, f"{KEY} is set and {CERT} is not"),
        ({CA: "ca.crt"}, f"{CA} is set and {CERT} is not"),
        ({CERT: "none.crt", KEY: "server.key"}, f"{CERT}={{}}/none.crt: no such file"),
        ({CERT: "server.crt", KEY: "none.key"}, f"{KEY}={{}}/none.key: no such file"),
        ({CERT: "server.key", KEY: "server.key"}, f"{CERT}={{}}/server.key: expected a cert"),
        ({CERT: "server.crt", KEY: "ca.key"}, f"{KEY}={{}}/ca.key: expected the certificate's own"),
        ({CERT: "server.crt", KEY: "server.crt"}, f"{KEY}={{}}/server.crt: expected the cert"),
        ({CERT: "server.crt", KEY: "server.key", CA: "ca.key"}, f"{CA}={{}}/ca.key: expected a c"),
        ({CERT: "", KEY: "server.key"}, f"{KEY} is set and {CERT} is not"),
    ],
)
async def test_files_that_cannot_be_used_end_it_with_one_line(
    pki: Pki, files: dict[str, str], said: str
) -> None:
    variables = {name: str(pki.path(file)) if file else "" for name, file in files.items()}
    async with service_process(**variables) as service:
        assert await service.end() == 2
        (line,) = service.lines
        assert line.startswith(f"diptych-fake: {said.format(pki.folder)}")


async def test_plain_text_on_other_than_the_loopback_interface_is_warned_of(pki: Pki) -> None:
    tls = {CERT: str(pki.path("server.crt")), KEY: str(pki.path("server.key"))}
    for variables, warnings in (
        ({"DIPTYCH_HOST": "0.0.0.0"}, 1),
        ({"DIPTYCH_HOST": "0.0.0.0", **tls}, 0),
        ({"DIPTYCH_HOST": "127.0.0.1"}, 0),
        ({"DIPTYCH_HOST": "localhost"}, 0),
        ({"DIPTYCH_HOST": "127.0.0.1", CERT: "", KEY: "", CA: ""}, 0),
    ):
        async with service_process(**variables) as service:
            await service.port()
            found = [line for line in service.lines if "serving without TLS" in line]
            assert len(found) == warnings, variables
