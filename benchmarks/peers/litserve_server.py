"""LitServe with an API that does nothing.

python litserve_server.py PORT
"""

import sys

import litserve
from fastapi import Request

REPLY = {"label": "thing", "score": 0.9, "box": [0, 0, 30, 30]}


class NoOp(litserve.LitAPI):
    """One worker process."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: Request) -> bytes:
        """The file of the form."""
        return request["picture"].file.read()

    def predict(self, picture: bytes) -> dict:
        """The same for every picture."""
        return REPLY

    def encode_response(self, output: dict) -> dict:
        """As JSON."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(NoOp(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
