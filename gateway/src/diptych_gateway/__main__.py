"""The command ``diptych-gateway``: serve (the default), or make a token."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import structlog

from diptych_runtime.allocator import keep_freed_memory, keep_what_is_there
from diptych_runtime.grpc_server.server import PortTakenError, wait_for_stop_signal, would_listen
from diptych_runtime.logs import configure, flush
from diptych_runtime.release import add_version_option, release_fields
from diptych_runtime.settings import SettingsError, told_file, told_plan
from diptych_runtime.watchdog import watch_loop

from .security import token_command
from .server import Gateway
from .settings import Settings, read_settings, warn_of_old_names

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code: 2 for what has to be changed first."""
    parser = argparse.ArgumentParser(prog="diptych-gateway", description=__doc__)
    add_version_option(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="read the settings and the files that they name, and end",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve all models behind one address (the default)")
    token_command.add_parser(commands)
    arguments = parser.parse_args(argv)
    if arguments.check and arguments.command == "token":
        parser.error("--check: expected without token")
    if arguments.command != "token":
        return serve(only_check=arguments.check)
    try:
        token_command.run(arguments)
    except (OSError, ValueError) as error:
        return _end(error, 2)
    return 0


def serve(*, only_check: bool = False) -> int:
    """Serve until a signal comes; returns the exit code: 2 for a setting that has to change.

    With ``only_check`` all is done that comes before listening, and nothing more.
    """
    try:
        settings = read_settings()
        configure(settings.log_level, log_format=settings.log_format, service="gateway")
        warn_of_old_names()
        if only_check:
            plan = asyncio.run(_check(settings))
            sys.stdout.write(told_plan("diptych-gateway", plan))
            return 0
        keep_freed_memory()
        asyncio.run(_serve(settings))
    except SettingsError as error:
        return _end(error, 2)
    except PortTakenError as error:
        return _end(error, 2)
    return 0


def _end(error: Exception, status: int) -> int:
    flush()
    sys.stderr.write(f"diptych-gateway: {' '.join(str(error).split())}\n")
    return status


async def _check(settings: Settings) -> dict[str, str]:
    await Gateway(settings).registry.close()
    host, http_port = settings.host, settings.http_port
    return {
        "gRPC": would_listen(host, settings.port),
        "HTTP": "nowhere" if http_port is None else would_listen(host, http_port),
        "TLS": told_file(settings.tls_cert),
        "tokens": told_file(settings.tokens_file),
        "models": ", ".join(f"{one.model_id}={one.address}" for one in settings.models),
        "cascades": ", ".join(pair.model_id for pair in settings.cascades) or "none",
        "log": f"{settings.log_level}, {settings.log_format}",
    }


async def _serve(settings: Settings) -> None:
    watch_loop("diptych-gateway", settings.loop_timeout_s)
    # Before anything is served, or a signal that comes early would end the process as it stands.
    stop_signal = asyncio.create_task(wait_for_stop_signal())
    gateway = Gateway(settings)  # if it fails, the loop ends with that task
    try:
        port = await gateway.start()
    except PortTakenError:
        stop_signal.cancel()
        await gateway.registry.close()
        raise
    keep_what_is_there()
    models = {endpoint.model_id: endpoint.address for endpoint in settings.models}
    addresses = {"host": settings.host, "port": port, "http_port": gateway.http_port}
    _log.info("serving", **release_fields(), **addresses, models=models)
    await stop_signal
    await gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
