"""mosec with a worker that does nothing.

python mosec_server.py --address 127.0.0.1 --port PORT
"""

from mosec import Server, Worker

REPLY = b'{"label": "thing", "score": 0.9, "box": [0, 0, 30, 30]}'


class NoOp(Worker):
    """One worker process behind the front in Rust."""

    def deserialize(self, data: bytes) -> bytes:
        """The file as it came."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """As it is."""
        return data

    def forward(self, data: bytes) -> bytes:
        """The same for every picture."""
        return REPLY


if __name__ == "__main__":
    server = Server()
    server.append_worker(NoOp, num=1)
    server.run()
