"""The command ``diptych-gateway`` where ``REPLICAS`` stands for what a name would be looked up to.

Not every machine has a name with two addresses.
"""

import os
import sys

from diptych_gateway import __main__, settings

if __name__ == "__main__":
    replicas = os.environ["REPLICAS"]
    settings.Endpoint.target = property(lambda _: f"ipv4:{replicas}")  # type: ignore[assignment]
    sys.exit(__main__.main([]))
