"""The command ``diptych-gateway`` where ``REPLICAS`` stands for what a name would be looked up to.

Not every machine has a name with two addresses.
"""

import os
import sys
from typing import Any

from diptych_gateway import __main__, server
from diptych_gateway.backend.replicas import Replicas


class Several(Replicas):
    """All of them, whatever address the settings have."""

    def __init__(self, model_id: str, addresses: Any, **settings: Any) -> None:
        super().__init__(model_id, os.environ["REPLICAS"].split(","), **settings)


if __name__ == "__main__":
    server.Replicas = Several  # type: ignore[misc]
    sys.exit(__main__.main([]))
