"""The command ``diptych-x-anylabeling``."""

from __future__ import annotations

import contextlib
import logging
import sys

from .options import read_options
from .server import RemoteServer

_NEAR = ("127.0.0.1", "::1", "localhost")


def main() -> int:
    """Serve until a signal comes; returns the exit code, 2 for what has to be changed first."""
    options = read_options()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        server = RemoteServer(options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"diptych-x-anylabeling: {error}\n")
        return 2
    if options.host not in _NEAR and not options.key:
        sys.stderr.write("diptych-x-anylabeling: no --key-file: whoever reaches it may use it\n")
    sys.stdout.write(f"X-AnyLabeling's remote server: http://{options.host}:{server.port}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends well, and then gives it on
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
