"""The least that a gRPC service can be: bytes in, a small answer out. The floor for a hop.

    python benchmarks/bare.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb

SERVICE = "diptych.segment.v1.SegmentService"
REPLY = pb.SegmentResponse(
    model_id="bare",
    segments=[pb.Segment(label="thing", score=0.9, box=pb.BoundingBox(x_max_px=30, y_max_px=30), area_px=900)],
    image_size=pb.ImageSize(width_px=64, height_px=64),
).SerializeToString()


async def _answer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return REPLY


async def serve(port: int) -> None:
    """Serve ``Segment`` until the process is ended."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES)])
    handlers = {"Segment": grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
