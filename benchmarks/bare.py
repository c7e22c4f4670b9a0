"""The least that a gRPC service and a gRPC proxy can be. The floor for a hop.

python benchmarks/bare.py PORT                # bytes in, a small answer out
python benchmarks/bare.py PORT --to ADDRESS   # bytes passed on to ADDRESS
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import served

from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb

SERVICE = "diptych.segment.v1.SegmentService"
METHOD = f"/{SERVICE}/Segment"
REPLY = pb.SegmentResponse(
    model_id="bare",
    segments=[
        pb.Segment(
            label="thing",
            score=0.9,
            box=pb.BoundingBox(x_max_px=30, y_max_px=30),
            area_px=900,
        )
    ],
    image_size=pb.ImageSize(width_px=64, height_px=64),
).SerializeToString()
CARD = pb.GetModelCardResponse(model_card=pb.ModelCard(id="bare")).SerializeToString()
_DIGEST_BYTES = 32
_DIGEST_HEAD = bytes((pb.SegmentResponse.IMAGE_SHA256_FIELD_NUMBER << 3 | 2, _DIGEST_BYTES))
SEND_OPTIONS = [("grpc.max_send_message_length", MAX_REQUEST_BYTES)]

Answer = Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]]


async def _answer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    # Another picture, another digest, as a gateway expects it; the true one would take hashing.
    return REPLY + _DIGEST_HEAD + os.urandom(_DIGEST_BYTES)


async def _card(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    # A gateway sends nothing to who has none.
    return CARD


def _passed_on(channel: grpc.aio.Channel) -> Answer:
    call: Any = channel.unary_unary(METHOD)

    async def answer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        reply: bytes = await call(request)
        return reply

    return answer


async def serve(port: int, to: str) -> None:
    """Serve ``Segment``, and a card, until the process is ended."""
    answer: Answer = _answer
    if to:
        answer = _passed_on(grpc.aio.insecure_channel(to, options=SEND_OPTIONS))
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES)])
    handlers = {
        "Segment": grpc.unary_unary_rpc_method_handler(answer),
        "GetModelCard": grpc.unary_unary_rpc_method_handler(_card),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


@contextlib.contextmanager
def running(to: str = "") -> Iterator[str]:
    """The handler, or with ``to`` the proxy, in a process of its own; yields its address."""
    with running_process(to) as process:
        yield process.address


@contextlib.contextmanager
def running_process(to: str = "") -> Iterator[served.Running]:
    """The same, with its process."""
    port = served.free_port()
    process = subprocess.Popen([sys.executable, __file__, str(port), "--to", to])
    try:
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield served.Running(address, process)
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--to", default="")
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.to))
