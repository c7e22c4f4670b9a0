"""Ask a Diptych gateway for the object at a point, and print the area of its mask.

    python segment.py PICTURE MODEL X,Y

With nothing but what grpcio-tools generates from the contract; `pip install diptych` is easier. The
address comes from DIPTYCH_ADDRESS, else localhost:50051.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import grpc

from diptych.segment.v1 import prompts_pb2, segment_service_pb2, segment_service_pb2_grpc

# gRPC stops at 4 MiB by itself.
OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024),)


def main() -> None:
    """Ask; the errors are gRPC's own."""
    if len(sys.argv) != 4:
        raise SystemExit("usage: python segment.py PICTURE MODEL X,Y")
    picture, model, point = sys.argv[1:]
    x, y = map(float, point.split(","))
    foreground = prompts_pb2.PointPrompt(x_px=x, y_px=y, label=prompts_pb2.POINT_LABEL_FOREGROUND)
    request = segment_service_pb2.SegmentRequest(
        model_id=model,
        image=prompts_pb2.Image(encoded=Path(picture).read_bytes()),
        task=prompts_pb2.TASK_PROMPTED_SEGMENTATION,
        prompts=[prompts_pb2.ObjectPrompt(points=[foreground])],
    )
    address = os.environ.get("DIPTYCH_ADDRESS", "localhost:50051")
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stub = segment_service_pb2_grpc.SegmentServiceStub(channel)
        reply = stub.Segment(request, timeout=60)  # without one, a call waits for ever
    for segment in reply.segments:
        print(f"score {segment.score:.3f}  {segment.area_px} px")


if __name__ == "__main__":
    main()
