"""A service asks its clients to connect anew now and then, so that they look for its replicas."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from gates import Gate, fresh
from serving_helpers import png, point_request, running_service

from diptych.segment import v1 as pb


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
