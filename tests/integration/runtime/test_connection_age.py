"""When connections end: now and then, so that clients look for replicas, and not for pings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from gates import Gate, fresh
from serving_helpers import png, point_request, running_service

from diptych.segment import v1 as pb
from diptych_runtime.grpc_server.server import CLIENT_PING_MS


async def test_a_connection_ends_and_calls_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("diptych_runtime.front.service.CONNECTION_AGE_S", 0.2)
    gate = Gate(tmp_path)
    with gate.environment():
        async with (
            running_service() as service,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.port}") as channel,
        ):
            stub = pb.SegmentServiceStub(channel)
            _, slow = await gate.occupy(stub)
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            quick = stub.Segment(point_request(png(fresh())))
            gate.open()
            assert (await slow).segments
            assert (await quick).segments


async def test_a_client_that_asks_whether_it_is_there_is_not_sent_away(tmp_path: Path) -> None:
    """Without leave, the fourth ping in a time without data ends the connection and its calls."""
    often = [("grpc.keepalive_time_ms", CLIENT_PING_MS // 2 + 100)]
    often.append(("grpc.http2.max_pings_without_data", 0))
    gate = Gate(tmp_path)
    with gate.environment():
        async with (
            running_service() as service,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=often) as channel,
        ):
            _, slow = await gate.occupy(pb.SegmentServiceStub(channel))
            done, _ = await asyncio.wait({asyncio.ensure_future(slow)}, timeout=6.0)
            assert not done
            gate.open()
            assert (await slow).segments
