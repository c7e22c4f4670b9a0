"""What the gateway says of a model's replicas, and of addresses that are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from directories import DirectoryServer, listing, running_directory
from pki import Pki

from diptych.segment import v1 as pb
from diptych_gateway.backend import discovery
from diptych_gateway.settings import Endpoint


@pytest.fixture
async def directory(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DirectoryServer]:
    monkeypatch.setattr(discovery, "LOOK_S", 0.05)
    async with running_directory() as server:
        yield server


def known(stage: Any, model_id: str = "one") -> pb.KnownModel:
    (found,) = (m for m in stage.gateway.registry.known_models() if m.model_id == model_id)
    return found


async def diptych(*arguments: str) -> tuple[int, str]:
    """Run the command line; returns its exit code and what it printed."""
    command = (sys.executable, "-m", "diptych.cli", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


def weights(digit: int, **fields: Any) -> pb.ModelCard:
    card = pb.ModelCard(**fields)
    card.weights.add(name="tiny", sha256=bytes([digit]) * 32)
    return card


async def test_replicas_come_and_go_as_the_directory_says(
    stage: Any, directory: DirectoryServer
) -> None:
    first, second = await stage.model("one"), await stage.model("one")
    directory.answer = None  # hangs
    await stage.serve(Endpoint("one", directory.url))
    assert known(stage).status.message == "model 'one' has no replica: no address of it is known"
    directory.answer = listing(one=[first.address])
    await stage.until(lambda: "one" in stage.reachable())
    directory.answer = listing(one=[second.address, first.address])
    await stage.until(lambda: len(known(stage).replicas) == 2)
    directory.answer = listing(one=[])
    await stage.until(lambda: bool(known(stage).warnings))
    (warning,) = known(stage).warnings
    assert "the directory lists no replicas; those found before stay in use" in warning
    assert len(known(stage).replicas) == 2
    directory.answer = listing(one=[second.address])
    await stage.until(lambda: [r.address for r in known(stage).replicas] == [second.address])
    assert not known(stage).warnings


async def test_one_that_is_listed_no_more_ends_its_calls(
    stage: Any, directory: DirectoryServer
) -> None:
    first, second = await stage.model("one"), await stage.model("one")
    answer, release = first.answer, asyncio.Event()

    async def slow(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        await release.wait()
        return await answer(request, context)

    first.answer = slow
    directory.answer = listing(one=[first.address])
    await stage.serve(Endpoint("one", directory.url))
    await stage.until(lambda: "one" in stage.reachable())
    call = stage.segment_stub().Segment(stage.request(model_id="one"))
    await stage.until(lambda: bool(first.running))
    directory.answer = listing(one=[second.address])
    await stage.until(lambda: len(known(stage).replicas) == 2)
    leaving, stays = known(stage).replicas
    assert (leaving.address, leaving.leaving, leaving.in_flight_count) == (first.address, True, 1)
    assert (stays.address, stays.leaving, stays.name) == (second.address, False, "2")
    await stage.until(lambda: not known(stage).replicas[1].status.code)
    _, printed = await diptych("health", "--address", stage.address)
    assert "  leaving  1 call" in printed
    release.set()
    assert (await call).model_id == "one"
    await stage.until(lambda: [r.address for r in known(stage).replicas] == [second.address])


async def test_health_lists_replicas_that_differ(stage: Any) -> None:
    models = [await stage.model("one") for _ in range(3)]
    for model, digit in zip(models, (1, 2, 1), strict=True):
        model.more_of_card = weights(digit, parameter_count=7)
    models[2].more_of_card.tier = "fast"
    where = "|".join(model.address for model in models)
    await stage.serve(Endpoint("one", where), stage.dead_endpoint("two"))
    await stage.until(lambda: not any(r.status.code for r in known(stage).replicas))
    assert known(stage).model_card.weights[0].sha256 == b"\1" * 32
    (other,) = (r for r in known(stage).replicas if r.address == models[1].address)
    code, printed = await diptych("health", "--address", stage.address)
    assert code == 1  # the dead one
    lines = printed.splitlines()
    assert lines[1] == "  one: reachable, 3 of 3 replicas"
    assert lines[2].startswith("    warning: replicas differ: ")
    first, second = (next(li for li in lines if m.address in li) for m in models[:2])
    assert "serving  0 calls  0 sessions  weights 010101010101  since 20" in first
    assert "other weights than the card that is shown" in second
    assert "weights 020202020202" in second
    assert "nothing listens there" in lines[-1]
    assert "  down  0 calls" in lines[-1]
    answer = (await stage.http().get("/api/models/one")).json()
    assert {r["weights_sha256"][0] for r in answer["replicas"]} == {"01" * 32, "02" * 32}
    assert len(answer["warnings"]) == 1
    rows = {row["name"]: row for row in (await stage.http().get("/api/cards")).json()["rows"]}
    status = [item["text"] for item in rows["Status"]["cells"][0]]
    assert rows["Status"]["cells"][0][0]["note"] == "3 of 3 replicas"
    assert f"replica {other.name}: {other.difference}" in status
    _, document = await diptych("health", "--json", "--address", stage.address)
    assert json.loads(document)["models"][0]["replicas"] == answer["replicas"]


async def test_who_may_know_where_replicas_are(stage: Any, tmp_path: Path) -> None:
    secrets = {"all": "", "reader": 'scopes = ["read"]'}
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        "\n".join(
            f'[tokens.{name}]\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n{rest}\n'
            for name, rest in secrets.items()
        )
    )
    model = await stage.model("one")
    stub = await stage.serve(model, tokens_file=tokens)
    told = {}
    for name in secrets:
        bearer = (("authorization", f"Bearer {name}"),)
        reply = await stub.ListModelCards(pb.ListModelCardsRequest(), metadata=bearer)
        headers = {"Authorization": f"Bearer {name}"}
        answer = (await stage.http().get("/api/models/one", headers=headers)).json()
        told[name] = (reply.models[0].replicas[0].address, answer["replicas"][0]["address"])
        assert reply.models[0].replicas[0].name == answer["replicas"][0]["name"] == "1"
    assert told == {"all": (model.address, model.address), "reader": ("", "")}


async def test_addresses_that_are_no_replica(stage: Any, directory: DirectoryServer) -> None:
    """Each is told with a reason, and is sent nothing; the one replica among them answers."""
    model, other = await stage.model("one"), await stage.model("another")
    async with AsyncExitStack() as stack:
        bare = grpc.aio.server()
        port = bare.add_insecure_port("127.0.0.1:0")
        await bare.start()
        stack.push_async_callback(bare.stop, 0)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent = "{}:{}".format(*listener.getsockname())
        directory.answer = listing(one=[model.address])
        await stage.serve(Endpoint("one", directory.url))
        said = {
            "127.0.0.1:1": "nothing listens there",
            silent: "what listens there says nothing",
            f"127.0.0.1:{stage.gateway.http_port}": "HTTP/1 is spoken there",
            f"127.0.0.1:{port}": "does not offer diptych.segment.v1.SegmentService",
            stage.address: "this is the gateway that asks; it is sent no calls",
            other.address: "calls itself 'another'; it is sent no calls",
        }
        directory.answer = listing(one=[model.address, *said])

        def messages() -> dict[str, str]:
            return {r.address: r.status.message for r in known(stage).replicas}

        await stage.until(
            lambda: all(text in messages().get(address, "") for address, text in said.items())
        )
        assert messages()[model.address] == ""
        assert not any(address in text for address in said for text in messages().values())
        stub = stage.segment_stub()
        answers = [await stub.Segment(stage.request(model_id="one")) for _ in range(20)]
    assert {answer.model_id for answer in answers} == {"one"}
    assert len(model.requests) == 20
    assert not other.requests


async def test_nothing_is_asked_of_another_model_alone(stage: Any) -> None:
    other = await stage.model("another")
    await stage.serve(Endpoint("one", other.address))
    await stage.until(lambda: "calls itself" in known(stage).status.message)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(stage.request(model_id="one"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "calls itself 'another'" in str(caught.value.details())
    assert not other.requests


async def test_a_certificate_names_what_the_settings_name(stage: Any, tmp_path: Path) -> None:
    """The name is looked up here, so that gRPC is given an address, which no certificate has."""
    pki = Pki(tmp_path / "pki")
    pki.renew(names=["localhost"])
    model = await stage.model("one", credentials=pki.server_credentials())
    by_name = Endpoint("one", f"localhost:{model.port}")
    by_address = Endpoint("two", model.address)
    await stage.serve(by_name, by_address, **pki.calling_services)
    await stage.until(lambda: "one" in stage.reachable())
    await stage.until(lambda: "another name" in known(stage, "two").status.message)
    (replica,) = known(stage).replicas
    assert replica.address == model.address
