"""Ids of requests: which are adopted, what is passed on, and that tasks do not mix them up."""

from __future__ import annotations

import asyncio
import re

import pytest

from diptych_runtime.calls import Call, Calls, log_fields, outgoing_metadata, request_id

OWN = re.compile(r"[0-9a-f]{16}")
TRACE = (
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "congo=t61rcWkgMzE"),
)


async def entered(*headers: tuple[str, str | bytes]) -> Call:
    return Calls().enter(headers, probe=False)


@pytest.mark.parametrize("chosen", ["a", "Z" * 128, "3f1c7a52-9c3e-4f", "v1.2_x-9"])
async def test_a_valid_id_is_adopted(chosen: str) -> None:
    call = await entered(("user-agent", "x"), ("x-request-id", chosen))
    assert call.request_id == request_id() == chosen
    assert outgoing_metadata() == (("x-request-id", chosen),)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["a" * 129],
        ["with space"],
        ["line\nbreak"],
        ["trailing\n"],
        ["slash/ed"],
        ["ünicode"],
        [b"bytes"],
        ["one", "two"],
        ["same", "same"],
    ],
)
async def test_else_a_new_one_is_made(values: list[str | bytes]) -> None:
    headers = [("x-request-id", value) for value in values]
    first, second = await entered(*headers), await entered(*headers)
    assert OWN.fullmatch(first.request_id)
    assert OWN.fullmatch(second.request_id)
    assert first.request_id != second.request_id


async def test_the_trace_is_passed_on_as_it_came() -> None:
    await entered(*TRACE, ("x-request-id", "one"), ("authorization", "Bearer secret"))
    assert outgoing_metadata() == (("x-request-id", "one"), *TRACE)


@pytest.mark.parametrize("value", ["é", "a\x00b", "a" * 2000])
async def test_a_trace_that_grpc_would_refuse_is_left_out(value: str) -> None:
    await entered(("x-request-id", "one"), ("traceparent", value))
    assert outgoing_metadata() == (("x-request-id", "one"),)


async def test_each_task_serves_its_own_request() -> None:
    calls = Calls()

    async def serve(chosen: str) -> tuple[str, dict[str, object]]:
        call = calls.enter([("x-request-id", chosen)], {"token": chosen}, probe=False)
        await asyncio.sleep(0)
        log_fields(model=chosen)
        calls.leave(call)
        return request_id(), call.fields

    for chosen, (found, fields) in zip(
        "abc", await asyncio.gather(*map(serve, "abc")), strict=True
    ):
        assert found == chosen
        assert fields == {"token": chosen, "model": chosen}
    assert request_id() == ""
    assert outgoing_metadata() == ()
