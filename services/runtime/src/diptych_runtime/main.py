"""The command line that every model service has: serve, pull, list and check weights."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import logs
from .allocator import keep_freed_memory, keep_what_is_there
from .engine.protocol import LoadError
from .front.service import ModelService
from .front.supervisor import EngineGoneError
from .grpc_server.server import PortTakenError, wait_for_stop_signal, would_listen
from .release import add_version_option
from .settings import SettingsError, from_environment, read_settings, told_file, told_plan
from .watchdog import watch_loop
from .weights import OfficialWeights, WeightsError, cache_dir, pull

EXIT_FAILED = 1
EXIT_USAGE = 2


@dataclass(frozen=True)
class ServiceSpec:
    """What sets one model service apart from another."""

    model_id: str
    default_port: int
    engine: str
    """The engine's factory, as ``module:function``; imported in the engine process only."""
    official: Sequence[OfficialWeights]
    """Weights that ``pull`` knows."""
    converter: str
    """Module that turns a downloaded checkpoint into safetensors, run as a process of its own."""
    weights_variable: str = ""
    """The variable that names the weights, such as ``DIPTYCH_MASK_RCNN_WEIGHTS``; without one there
    is nothing to ``check``."""
    further_weights: Mapping[str, str] = field(default_factory=dict)
    """Variables of further networks by what ``check`` calls them, such as ``keypoints``."""
    settings: str = ""
    """The class of the engine's own settings, as ``module:class``, for ``--check``; its module
    loads no more than the front does."""


def run(spec: ServiceSpec, argv: Sequence[str] | None = None) -> None:
    """Do what the command line says; ends the process with a status and, on failure, one line."""
    parser = argparse.ArgumentParser(prog=f"diptych-{spec.model_id}", description=__doc__)
    add_version_option(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        dest="settings_only",
        help="read the settings and the files that they name, all but weights, and end",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve the model (the default)")
    getter = commands.add_parser("pull", help="download official weights and convert them")
    getter.add_argument("name", choices=[w.name for w in spec.official])
    commands.add_parser("weights", help="list the weights that can be pulled")
    if spec.weights_variable:
        _add_check(commands, spec)
    args = parser.parse_args(argv)
    if args.settings_only and args.command not in (None, "serve"):
        parser.error(f"--check: expected without {args.command}")
    try:
        if args.settings_only:
            plan = asyncio.run(_check_settings(spec))
            sys.stdout.write(told_plan(parser.prog, plan))
        elif args.command == "pull":
            path = get_weights(spec, args.name)
            sys.stdout.write(f"{args.name}: {path}\n")
        elif args.command == "weights":
            _list(spec)
        elif args.command == "check":
            _check(spec, args.variable, args.file)
        else:
            keep_freed_memory()
            asyncio.run(_serve(spec, parser.prog))
    except (SettingsError, PortTakenError, LoadError, WeightsError) as error:
        _end(parser.prog, str(error), EXIT_USAGE)
    except EngineGoneError as error:
        _end(parser.prog, str(error), EXIT_FAILED)


def _add_check(commands: Any, spec: ServiceSpec) -> None:
    checker = commands.add_parser(
        "check", help="load a weights file, say what it is, answer one picture"
    )
    checker.add_argument("file", help="its path, or the name of weights")
    checker.set_defaults(variable=spec.weights_variable)
    for name, variable in spec.further_weights.items():
        checker.add_argument(
            f"--{name}", dest="variable", action="store_const", const=variable, help=variable
        )


def _end(program: str, message: str, status: int) -> None:
    logs.flush()
    line = " ".join(message.split())
    sys.stderr.write(f"{program}: {line}\n")
    raise SystemExit(status)


async def _serve(spec: ServiceSpec, program: str) -> None:
    settings = read_settings()
    watch_loop(program, settings.loop_timeout_s)
    logs.configure(settings.log_level, log_format=settings.log_format, service=spec.model_id)
    port = spec.default_port if settings.port is None else settings.port
    service = ModelService(spec.engine, settings, port=port)
    await service.start()
    keep_what_is_there()
    assert service.engine_task is not None
    try:
        await wait_for_stop_signal([service.engine_task])
    finally:
        await service.stop()


def check_engine_settings(spec: ServiceSpec) -> None:
    """Read the settings of a service's engine, as its process will.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    if spec.settings:
        module, _, name = spec.settings.partition(":")
        from_environment(getattr(importlib.import_module(module), name))


async def _check_settings(spec: ServiceSpec) -> dict[str, str]:
    """Do all that a start does before it listens; returns what it would do then."""
    settings = read_settings()
    logs.configure(settings.log_level, log_format=settings.log_format, service=spec.model_id)
    check_engine_settings(spec)
    port = spec.default_port if settings.port is None else settings.port
    ModelService(spec.engine, settings, port=port)
    clients = "only with a certificate" if settings.tls_client_ca else "all"
    figures = settings.metrics_port and would_listen(settings.host, settings.metrics_port)
    return {
        "gRPC": would_listen(settings.host, port),
        "TLS": told_file(settings.tls_cert),
        "clients": clients,
        "metrics": figures or "nowhere",
        "weights": os.environ.get(spec.weights_variable, "") or "the default ones; not looked at",
        "log": f"{settings.log_level}, {settings.log_format}",
    }


def get_weights(spec: ServiceSpec, name: str) -> Path:
    """Download, check and convert official weights, unless they are there; returns the file.

    Draws a progress bar where stderr is a terminal, and goes on with a download that broke.

    Raises:
        WeightsError: they cannot be had; one sentence that says what to change.
    """
    return pull(
        next(weights for weights in spec.official if weights.name == name),
        converter=(sys.executable, "-m", spec.converter),
        directory=cache_dir(),
        progress=sys.stderr.isatty(),
    )


def _check(spec: ServiceSpec, variable: str, file: str) -> None:
    from .check import CheckError, check  # what an engine process needs, and no other command

    os.environ[variable] = file
    try:
        check(spec.engine, sys.stdout.write)
    except CheckError as error:
        sys.stdout.flush()
        _end(f"diptych-{spec.model_id}", str(error), EXIT_FAILED)


def _list(spec: ServiceSpec) -> None:
    for weights in spec.official:
        millions = weights.parameter_count / 1e6
        megabytes = weights.size_bytes / 1e6
        sys.stdout.write(f"{weights.name:24} {millions:7.1f} M parameters {megabytes:8.1f} MB\n")
