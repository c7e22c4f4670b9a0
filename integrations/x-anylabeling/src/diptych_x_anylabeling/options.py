"""What the command line says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diptych

MiB = 1024 * 1024


@dataclass(frozen=True)
class Options:
    """How the server is run; ``read_options`` says what each is for."""

    address: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    key: str = ""
    timeout_s: float = 120.0
    clip_bytes: int = 512 * MiB


def read_options(argv: Sequence[str] | None = None) -> Options:
    """Read the command line; ``--help``, ``--version`` and a mistake end the program."""
    parser = _parser()
    found = parser.parse_args(argv)
    if not 0 <= found.port <= 65535:
        parser.error(f"argument --port: expected 0 to 65535, got {found.port}")
    if not found.timeout > 0 or found.clip_mib < 1:
        parser.error("arguments --timeout and --clip-mib: expected more than 0")
    return Options(
        address=found.address,
        host=found.host,
        port=found.port,
        key=_read_key(parser, found.key_file),
        timeout_s=found.timeout,
        clip_bytes=found.clip_mib * MiB,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diptych-x-anylabeling",
        description="Serve the models of a Diptych gateway as X-AnyLabeling's remote server.",
        epilog="TLS to the gateway and its token come from DIPTYCH_TLS, DIPTYCH_CA_FILE and "
        "DIPTYCH_TOKEN_FILE, as for every client.",
    )
    version = f"%(prog)s, version {diptych.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument(
        "--address", help="the gateway, or one model service (DIPTYCH_ADDRESS, localhost:50051)"
    )
    parser.add_argument("--host", default=Options.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=Options.port, help="port (%(default)s)")
    parser.add_argument(
        "--key-file",
        type=Path,
        help="file with the API key that X-AnyLabeling has to send; without one it needs none",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=Options.timeout_s,
        metavar="SECONDS",
        help="how long an answer about a picture may take (%(default)g)",
    )
    parser.add_argument(
        "--clip-mib",
        type=int,
        default=Options.clip_bytes // MiB,
        metavar="MIB",
        help="memory for pictures that objects are followed in (%(default)s); while they come it "
        "takes four times that",
    )
    return parser


def _read_key(parser: argparse.ArgumentParser, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        parser.error(f"argument --key-file: {error}")
    if not key:
        parser.error(f"argument --key-file: expected a key in {path}, it is empty")
    return key
