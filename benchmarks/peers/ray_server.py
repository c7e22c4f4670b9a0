"""Ray Serve with our own contract over gRPC, and a deployment that does nothing.

python ray_server.py PORT
"""

import signal
import sys
import threading

import ray
from ray import serve
from ray.serve.config import gRPCOptions

from diptych.segment import v1 as pb

REPLY = pb.SegmentResponse(
    model_id="no-op",
    segments=[pb.Segment(label="thing", score=0.9, box=pb.BoundingBox(x_max_px=30, y_max_px=30))],
)
ADD = "diptych.segment.v1.segment_service_pb2_grpc.add_SegmentServiceServicer_to_server"


@serve.deployment(max_ongoing_requests=64)
class NoOp:
    """One replica, in a process of its own."""

    async def Segment(self, request: pb.SegmentRequest) -> pb.SegmentResponse:
        """The same for every picture."""
        return REPLY


def main(port: int) -> None:
    """Serve until the process is ended."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(
            http_options={"host": "127.0.0.1", "port": port + 1},
            grpc_options=gRPCOptions(port=port, grpc_servicer_functions=[ADD]),
        )
        serve.run(NoOp.bind())
        ended.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
