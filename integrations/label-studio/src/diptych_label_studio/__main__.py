"""The command ``diptych-label-studio``: a backend that Label Studio connects to by its address."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from diptych import Client

from .annotator import Annotator, Choice
from .pictures import Pictures
from .regions import TOLERANCE
from .server import Backend
from .video import FRAMES

_TIMEOUT_S = 60.0  # Label Studio itself waits for 100


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit code, 2 for what has to be changed first."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    try:
        token = _first_line(arguments.token_file) or os.environ.get("LABEL_STUDIO_API_KEY")
        login = _first_line(arguments.login_file)
        client = Client(arguments.gateway, timeout=_TIMEOUT_S)
        pictures = Pictures(arguments.label_studio, arguments.allow_host, token)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"diptych-label-studio: {error}\n")
        return 2
    choice = Choice(
        arguments.interactive, arguments.model, arguments.tolerance, arguments.max_frames
    )
    with client:
        backend = Backend(Annotator(client, pictures, choice), pictures, login)
        # Where it listens is printed at once, for whoever waits for it.
        web.run_app(
            backend.application(),
            host=arguments.host,
            port=arguments.port,
            print=lambda text: sys.stderr.write(f"{text.strip().splitlines()[0]}\n"),
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="diptych-label-studio", description=__doc__)
    add = parser.add_argument
    add("--gateway", help="address of Diptych; else DIPTYCH_ADDRESS, else localhost:50051")
    add("--host", default="127.0.0.1", help="interface to listen on (%(default)s)")
    add("--port", type=int, default=9090, help="port to listen on (%(default)s)")
    add(
        "--label-studio",
        default="http://localhost:8080",
        metavar="URL",
        help="Label Studio's address, which pictures are fetched from (%(default)s)",
    )
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="URL",
        help="another one that pictures may be fetched from; may be repeated",
    )
    add("--token-file", help="holds a token of Label Studio; else LABEL_STUDIO_API_KEY has it")
    add("--login-file", help="holds USER:PASSWORD, which Label Studio then has to be told")
    add("--model", default="", help="labels whole pictures; else the last that names classes")
    add("--interactive", default="", help="answers clicks; else the first without classes")
    add(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="pixels that polygons may be off the mask (%(default)s; 0 for none)",
    )
    add(
        "--max-frames",
        type=int,
        default=FRAMES,
        help="frames that an object of a clip is followed through (%(default)s)",
    )
    return parser


def _first_line(path: str | None) -> str | None:
    if path is None:
        return None
    found = Path(path).read_text().strip().splitlines()
    if not found:
        raise ValueError(f"{path}: expected a line, got nothing")
    return found[0].strip()


if __name__ == "__main__":
    sys.exit(main())
