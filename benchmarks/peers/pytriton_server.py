"""Triton with a Python function that does nothing, by PyTriton.

python pytriton_server.py PORT             # gRPC, KServe protocol
python pytriton_server.py request < FILE   # the serialised request with this file, to stdout
"""

import sys

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from tritonclient.grpc import service_pb2

REPLY = np.frombuffer(b'{"label": "thing", "score": 0.9, "box": [0, 0, 30, 30]}', np.uint8)


def answer(requests: list) -> list:
    """The same for every picture."""
    return [{"reply": REPLY} for _ in requests]


def serve(port: int) -> None:
    """Serve until the process is ended. The two other ports are not used."""
    config = TritonConfig(grpc_port=port, http_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="no_op",
            infer_func=answer,
            inputs=[Tensor(name="picture", dtype=np.uint8, shape=(-1,))],
            outputs=[Tensor(name="reply", dtype=np.uint8, shape=(-1,))],
            config=ModelConfig(batching=False),
        )
        triton.serve()


def request(picture: bytes) -> bytes:
    """The message that a Triton client would send."""
    message = service_pb2.ModelInferRequest(model_name="no_op")
    message.inputs.add(name="picture", datatype="UINT8", shape=[len(picture)])
    message.raw_input_contents.append(picture)
    return message.SerializeToString()


if __name__ == "__main__":
    if sys.argv[1] == "request":
        sys.stdout.buffer.write(request(sys.stdin.buffer.read()))
    else:
        serve(int(sys.argv[1]))
