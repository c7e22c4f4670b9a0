"""Tokens, TLS and metrics of the HTTP server, by the routes that it has."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from log_file import logged_to
from pki import Pki
from prometheus_client.parser import text_string_to_metric_families
from serving_helpers import eventually
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.asyncio.client import connect

from diptych.segment import v1 as pb
from diptych_gateway.http.guard import Endpoint
from diptych_gateway.http.video_socket import VideoSockets
from diptych_gateway.security.tokens import Scope
from diptych_runtime import watched

ALL, OLD = "diptych_for-everything", "diptych_expired"
ONLY = {scope: f"diptych_only-{scope}" for scope in Scope}
PUBLIC = {"/healthz", "/readyz", "/api/openapi.json", "/api/docs"}
MOUNTS = {("/samples", "samples"), ("", "page"), ("/api/docs", "viewer")}


def entry(name: str, secret: str, rest: str = "") -> str:
    return f'[tokens.{name}]\nsha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"\n{rest}\n'


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
async def http(stage: Any, tmp_path: Path) -> httpx.AsyncClient:
    """A client of a gateway that wants tokens."""
    only = [entry(scope, secret, f'scopes = ["{scope}"]') for scope, secret in ONLY.items()]
    old = entry("expired", OLD, "expires = 2020-01-01T00:00:00Z")
    (tmp_path / "tokens.toml").write_text("\n".join([entry("everything", ALL), old, *only]))
    await stage.serve(await stage.model("one"), tokens_file=tmp_path / "tokens.toml")
    client: httpx.AsyncClient = stage.http()
    return client


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What was logged so far."""
    with logged_to(tmp_path / "log", "debug") as read:
        yield read


def guarded(stage: Any) -> list[tuple[str, str, Endpoint]]:
    """Method, address and endpoint of everything that needs a token."""
    found = []
    for route in stage.gateway.http.routes:
        if isinstance(route, Mount):
            assert (route.path, route.name) in MOUNTS
            continue
        if isinstance(route, WebSocketRoute):
            assert isinstance(route.endpoint, VideoSockets), route.path
            continue
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Endpoint), route.path
        assert route.endpoint.public is (route.path in PUBLIC)
        if not route.endpoint.public:
            path = re.sub(r"\{.*?\}", "one", route.path)
            # Of two routes of a path the first takes its own methods only.
            others = () if route.methods else ("PUT",)
            methods = (*route.endpoint.methods, *others)
            found += [(method, path, route.endpoint) for method in methods]
    assert len({path for _, path, _ in found}) >= 7
    return found


async def test_every_route_is_refused_without_a_token(stage: Any, http: httpx.AsyncClient) -> None:
    refused = ({}, bearer("diptych_unknown"), bearer(OLD), {"Authorization": f"Basic {ALL}"})
    for method, path, _ in guarded(stage):
        for headers in refused:
            answer = await http.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            if method != "HEAD":
                reason = answer.json()["reason"]
                assert reason == ("TOKEN_INVALID" if headers else "TOKEN_MISSING")


async def test_every_route_is_refused_with_a_token_for_something_else(
    stage: Any, http: httpx.AsyncClient
) -> None:
    for method, path, endpoint in guarded(stage):
        for scope, secret in ONLY.items():
            answer = await http.request(method, path, headers=bearer(secret))
            may = scope is endpoint.scope
            assert (answer.status_code == 403) is not may, (method, path, scope)
        answer = await http.request(method, path, headers=bearer(ALL))
        assert answer.status_code not in (401, 403)


async def test_every_socket_is_refused_without_a_token_for_it(
    stage: Any, http: httpx.AsyncClient
) -> None:
    sockets = [r for r in stage.gateway.http.routes if isinstance(r, WebSocketRoute)]
    assert sockets
    wrong = [(None, "TOKEN_MISSING", 401), ("diptych_unknown", "TOKEN_INVALID", 401)]
    wrong += [(OLD, "TOKEN_INVALID", 401)]
    for route in sockets:
        assert isinstance(route.endpoint, VideoSockets)
        others = [secret for scope, secret in ONLY.items() if scope is not route.endpoint.scope]
        for secret, reason, status in (*wrong, *((one, "TOKEN_SCOPE", 403) for one in others)):
            headers = bearer(secret) if secret else {}
            address = f"ws://127.0.0.1:{stage.gateway.http_port}{route.path}"
            async with connect(address, additional_headers=headers) as socket:
                await socket.send('{"event": "start", "model": "one"}')
                problem = json.loads(await socket.recv())["problem"]
                assert (problem["reason"], problem["status"]) == (reason, status)


async def test_scopes_are_those_of_the_grpc_methods(stage: Any, http: httpx.AsyncClient) -> None:
    routes = guarded(stage)
    assert [e.scope for method, path, e in routes if (method, path) == ("GET", "/api/export")] == [
        Scope.READ
    ]
    scopes = {path: endpoint.scope for _, path, endpoint in routes}
    assert scopes == {
        "/api/models": Scope.READ,
        "/api/cards": Scope.READ,
        "/api/server": Scope.READ,
        "/version": Scope.READ,
        "/api/models/one": Scope.READ,
        "/api/segment": Scope.SEGMENT,
        "/api/compare": Scope.SEGMENT,
        "/api/compare/stream": Scope.SEGMENT,
        "/api/export": Scope.SEGMENT,
        "/api/one": None,
        "/metrics": Scope.READ,
    }


async def test_probes_and_the_page_are_open(http: httpx.AsyncClient) -> None:
    for path in (*PUBLIC - {"/api/docs"}, "/", "/index.html", "/api/docs/"):
        assert (await http.get(path)).status_code == 200, path


async def test_two_tokens_are_none(http: httpx.AsyncClient) -> None:
    headers = [("authorization", f"Bearer {ALL}")] * 2
    assert (await http.get("/api/models", headers=headers)).status_code == 401


async def test_one_log_line_for_each_request_names_its_token(
    stage: Any, http: httpx.AsyncClient, log: Callable[[], str]
) -> None:
    await http.post("/api/compare", headers=bearer(ALL), **stage.form())
    await http.get("/api/models", headers=bearer("diptych_unknown"))
    await http.get("/healthz")
    text = log()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    told = [
        (line["method"], line["status"], line.get("token"), line.get("reason"))
        for line in lines
        if line["event"] == "request" and "status" in line
    ]
    assert told == [
        ("POST /api/compare", 200, "everything", None),
        ("GET /api/models", 401, None, "TOKEN_INVALID"),
    ]
    assert ALL not in text
    assert "diptych_unknown" not in text


async def test_a_certificate_is_exchanged_while_it_is_shown(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "CHECK_S", 0.005)
    pki = Pki(tmp_path / "pki")
    await stage.serve(await stage.model("one"), **pki.serving)
    trust = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    assert (await stage.http(verify=trust).get("/api/models")).status_code == 200
    other = ssl.create_default_context(cafile=str(Pki(tmp_path / "other").path("ca.crt")))
    with pytest.raises(httpx.ConnectError):
        await stage.http(verify=other).get("/api/models")

    async def shown() -> bool:
        return await pki.shown_at(stage.gateway.http_port) == pki.pem("server.crt")

    assert await shown()
    pki.renew()
    await eventually(shown)
    assert (await stage.http(verify=trust).get("/api/models")).status_code == 200


async def test_metrics_count_what_happened(stage: Any) -> None:
    one = await stage.model("one")
    stub = await stage.serve(one, stage.dead_endpoint("two"))
    http = stage.http()
    await stub.Compare(pb.CompareRequest(request=stage.request()))
    await http.post("/api/segment", **stage.form(model="one"))
    await http.post("/api/segment", **stage.form(model="three"))
    await http.request("INVENTED", "/api/models")
    for digest in (hashlib.sha256(stage.picture).hexdigest(), "0" * 64):
        await stage.gateway.image_cache.get(bytes.fromhex(digest))
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }

    def requests(*labels: str) -> float:
        return samples[("diptych_gateway_requests_total", *sorted(labels))]

    assert requests("grpc", "Compare", "OK") == 1
    assert requests("http", "POST /api/segment", "200") == 1
    assert requests("http", "POST /api/segment", "404") == 1
    assert requests("http", "other /api/models", "405") == 1
    assert samples["diptych_gateway_request_seconds_count", "POST /api/segment", "http"] == 2
    assert samples["diptych_gateway_pictures",] == 1
    assert samples["diptych_gateway_picture_bytes",] == len(stage.picture)
    assert samples["diptych_gateway_picture_hits_total",] == 1
    assert samples["diptych_gateway_picture_misses_total",] == 1
    assert samples["diptych_model_up", "one"] == 1
    assert samples["diptych_model_up", "two"] == 0
    assert samples["diptych_model_encoder_runs_total", "one"] == len(one.requests) == 2
    assert samples["diptych_model_queue_length", "one"] == 3
    assert samples["diptych_model_sessions", "one"] == 1
    assert samples["diptych_model_requests_total", "OK", "one"] == 5
    assert samples["diptych_model_stage_seconds_count", "one", "predict"] == 4
    assert samples["diptych_model_stage_seconds_sum", "one", "predict"] == 1.5
    upto = {le: samples["diptych_model_batch_size_bucket", le, "one"] for le in ("1.0", "4.0")}
    assert upto == {"1.0": 10, "4.0": 16}
    assert samples["diptych_model_batch_size_bucket", "+Inf", "one"] == 216
    assert samples["diptych_model_batch_size_count", "one"] == 216
    assert samples["diptych_model_batch_size_sum", "one"] == 10 + 3 * 6 + 100 * 200


async def test_the_description_names_every_socket(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    described = (await stage.http().get("/api/openapi.json")).json()
    sockets = {r.path for r in stage.gateway.http.routes if isinstance(r, WebSocketRoute)}
    assert set(described["x-websockets"]) == sockets == {"/api/video"}
