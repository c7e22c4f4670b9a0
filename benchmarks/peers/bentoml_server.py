"""BentoML with a service that does nothing.

python -m bentoml serve bentoml_server:NoOp --host 127.0.0.1 --port PORT
"""

from pathlib import Path

import bentoml

REPLY = {"label": "thing", "score": 0.9, "box": [0, 0, 30, 30]}


@bentoml.service(workers=1, traffic={"max_concurrency": 64})
class NoOp:
    """One worker process."""

    @bentoml.api
    def segment(self, picture: Path) -> dict:
        """The same for every picture, which is read as a model would have to."""
        picture.read_bytes()
        return REPLY
