"""Tokens in front of every method that the gateway serves, as its own reflection lists them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from log_file import logged_to
from serving_helpers import error_info, error_of, eventually

from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_gateway.security.gate import SCOPES, WITHOUT_TOKEN
from diptych_gateway.security.tokens import Scope
from diptych_runtime import watched

ALL = "diptych_for-everything"
OLD = "diptych_expired"
UNKNOWN = "diptych_unknown"
ONLY = {scope: f"diptych_only-{scope}" for scope in Scope}
SECRETS = (ALL, OLD, UNKNOWN, *ONLY.values())


def entry(name: str, secret: str, rest: str = "") -> str:
    return f'[tokens.{name}]\nsha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"\n{rest}\n'


FILE = "\n".join(
    [
        entry("everything", ALL),
        entry("expired", OLD, "expires = 2020-01-01T00:00:00Z"),
        *(
            entry(f"only-{scope}", secret, f'scopes = ["{scope}"]')
            for scope, secret in ONLY.items()
        ),
    ]
)


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
async def served(stage: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A gateway that wants tokens, and a channel to it."""
    monkeypatch.setattr(watched, "CHECK_S", 0.005)
    model = await stage.model("one")
    await stage.serve(model, tokens_file=path)
    return stage.channel(stage.address)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What was logged so far."""
    with logged_to(tmp_path / "log", "debug") as read:
        yield read


async def methods(channel: Any) -> list[str]:
    """Full names of every method of every service that reflection lists."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]), metadata=bearer(ALL))
    (reply,) = [reply async for reply in call]
    pool = descriptor_pool.Default()
    return [
        f"/{service.name}/{method.name}"
        for service in reply.list_services_response.service
        for method in pool.FindServiceByName(service.name).methods
    ]


async def ended(channel: Any, method: str, *messages: bytes, secret: str | None) -> Any:
    """How a call ends, whose messages are sent as a stream that stays open, whatever the kind.

    So a method that begins with reading its request never ends without one.
    """
    metadata = bearer(secret) if secret else None
    call = channel.stream_stream(method)(metadata=metadata, timeout=20)
    for message in messages:
        await call.write(message)
    code = await call.code()
    return grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


async def passes(channel: Any, secret: str) -> bool:
    """Whether a token is in force; it is never refused for another reason than being unknown."""
    call = pb.GatewayServiceStub(channel).ListModelCards(
        pb.ListModelCardsRequest(), metadata=bearer(secret)
    )
    if await call.code() is grpc.StatusCode.OK:
        return True
    assert error_info(await error_of(call)).reason == "TOKEN_INVALID"
    return False


REFUSED = [
    (None, "UNAUTHENTICATED", "TOKEN_MISSING"),
    (UNKNOWN, "UNAUTHENTICATED", "TOKEN_INVALID"),
    (OLD, "UNAUTHENTICATED", "TOKEN_INVALID"),
]


@pytest.mark.parametrize(("secret", "code", "reason"), REFUSED)
async def test_every_method_is_refused_before_its_request_is_read(
    served: Any, secret: str | None, code: str, reason: str
) -> None:
    listed = await methods(served)
    assert len(listed) >= 9
    for method in sorted(set(listed) - WITHOUT_TOKEN):
        error = await ended(served, method, secret=secret)
        assert (method, error.code().name, error_info(error).reason) == (method, code, reason)
        assert error_info(error).metadata["requestId"]


async def test_every_method_has_a_scope_and_is_refused_without_it(served: Any) -> None:
    listed = set(await methods(served))
    assert listed - WITHOUT_TOKEN == set(SCOPES)
    assert listed >= WITHOUT_TOKEN
    for method, scope in SCOPES.items():
        for other in set(Scope) - {scope}:
            error = await ended(served, method, secret=ONLY[other])
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED, (method, other)
            assert error_info(error).reason == "TOKEN_SCOPE"
            assert error_info(error).metadata["needed"] == scope


async def test_every_method_can_be_called_with_its_token(served: Any) -> None:
    refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    for method, scope in SCOPES.items():
        for secret in (ALL, ONLY[scope]):
            call = served.stream_stream(method)(iter([b""]), metadata=bearer(secret), timeout=20)
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:  # unread, a reply would keep its status back
                    pass
            assert await call.code() not in refused, (method, secret)


async def test_health_needs_no_token(served: Any) -> None:
    check = served.unary_unary("/grpc.health.v1.Health/Check")
    reply = health_pb2.HealthCheckResponse.FromString(await check(b""))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    watch = served.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert health_pb2.HealthCheckResponse.FromString(await watch.read()) == reply
    watch.cancel()


@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Chec", "/grpc.health.v1.Health/Check/"])
async def test_what_only_looks_like_health_needs_one(served: Any, method: str) -> None:
    assert error_info(await ended(served, method, secret=None)).reason == "TOKEN_MISSING"


async def test_unknown_methods_need_one_for_everything(served: Any) -> None:
    method = "/diptych.segment.v1.SegmentService/Nothing"
    assert error_info(await ended(served, method, secret=None)).reason == "TOKEN_MISSING"
    assert error_info(await ended(served, method, secret=ONLY[Scope.READ])).reason == "TOKEN_SCOPE"
    error = await ended(served, method, secret=ALL)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_over_the_limit_is_not_looked_at(served: Any) -> None:
    method = served.unary_unary("/diptych.segment.v1.SegmentService/Segment")
    error = await error_of(method(b"x" * (MAX_REQUEST_BYTES + 1)))
    assert error_info(error).reason == "TOKEN_MISSING"


@pytest.mark.parametrize(
    "metadata",
    [
        bearer(ALL) + bearer(ALL),
        (("authorization", f"Basic {ALL}"),),
        (("authorization", ALL),),
        (("authorization", ""),),
        (("x-authorization", f"Bearer {ALL}"),),
    ],
)
async def test_other_ways_of_sending_it(stage: Any, served: Any, metadata: Any) -> None:
    stub = pb.GatewayServiceStub(served)
    error = await error_of(stub.ListModelCards(pb.ListModelCardsRequest(), metadata=metadata))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_logs_name_tokens_and_never_show_them(
    stage: Any, served: Any, log: Callable[[], str]
) -> None:
    stub = pb.GatewayServiceStub(served)
    request = pb.CompareRequest(request=stage.request())
    await stub.Compare(request, metadata=bearer(ALL))
    errors = [
        await error_of(stub.Compare(request, metadata=bearer(secret)))
        for secret in (UNKNOWN, OLD, ONLY[Scope.VIDEO])
    ]
    errors.append(await ended(served, next(m for m in SCOPES if "eflection" in m), secret=UNKNOWN))
    text = log()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    requests = [
        (line["method"], line.get("token"), line["code"], line.get("reason"))
        for line in lines
        if line["event"] == "request" and line["method"] != "Segment"  # the model's own line
    ]
    assert requests == [
        ("Compare", "everything", "OK", None),
        ("Compare", None, "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Compare", None, "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Compare", "only-video", "PERMISSION_DENIED", "TOKEN_SCOPE"),
        ("ServerReflectionInfo", None, "UNAUTHENTICATED", "TOKEN_INVALID"),
    ]
    told = text + "".join(f"{e.details()}{e.trailing_metadata()}" for e in errors)
    assert not [secret for secret in SECRETS if secret in told]


async def test_the_file_is_exchanged_while_it_is_used(
    served: Any, path: Path, log: Callable[[], str]
) -> None:
    assert await passes(served, ALL)
    path.write_text(entry("new", UNKNOWN))
    await eventually(lambda: passes(served, UNKNOWN))
    assert not await passes(served, ALL)

    path.write_text("[tokens.new]\nsha256 = ")
    await eventually(lambda: "file cannot be used" in (logged := log()) and str(path) in logged)
    assert await passes(served, UNKNOWN)
    path.unlink()
    await eventually(lambda: "no such file" in log())
    assert await passes(served, UNKNOWN)
    path.write_text(FILE)
    await eventually(lambda: passes(served, ALL))
    assert not await passes(served, UNKNOWN)


async def test_a_stream_outlives_its_token(served: Any, path: Path) -> None:
    call = served.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
        metadata=bearer(ALL)
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    await call.write(request)
    first = await call.read()
    path.write_text(entry("new", UNKNOWN))
    await eventually(lambda: passes(served, UNKNOWN))
    assert not await passes(served, ALL)
    await call.write(request)
    assert await call.read() == first
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


async def test_a_gate_that_fails_lets_nobody_in(
    served: Any, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret at 0x1234")

    monkeypatch.setattr("diptych_gateway.security.tokens.Tokens.identify", fail)
    error = await ended(served, "/diptych.segment.v1.SegmentService/Segment", secret=ALL)
    assert (error.code().name, error_info(error).reason) == ("INTERNAL", "MODEL_FAILED")
    assert "0x1234" not in error.details()
    assert "handler failed" in log()
