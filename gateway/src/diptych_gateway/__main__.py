"""Starts the gateway: ``diptych-gateway`` or ``python -m diptych_gateway``."""

from __future__ import annotations

import asyncio
import sys

from diptych_runtime.logs import configure, logger
from diptych_runtime.serving import PortTakenError, wait_for_stop_signal
from diptych_runtime.settings import SettingsError
from diptych_runtime.watchdog import watch_loop

from .server import Gateway
from .settings import Settings, read_settings


def main() -> int:
    """Serve until told to stop; returns the exit code: 2 for a setting that has to change."""
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"diptych-gateway: {error}", file=sys.stderr)  # noqa: T201 (logs are not set up yet)
        return 2
    configure(settings.log_level, service="gateway")
    try:
        asyncio.run(_serve(settings))
    except PortTakenError as error:
        print(f"diptych-gateway: {error}", file=sys.stderr)  # noqa: T201 (one line for a person)
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    watch_loop("diptych-gateway", settings.loop_timeout_s)
    # Before anything is served, or a signal that comes early would end the process as it stands.
    told_to_stop = asyncio.create_task(wait_for_stop_signal())
    gateway = Gateway(settings)
    try:
        port = await gateway.start()
    except PortTakenError:
        told_to_stop.cancel()
        await gateway.registry.close()
        raise
    models = {endpoint.model_id: endpoint.address for endpoint in settings.models}
    logger().info("serving", host=settings.host, port=port, models=models)
    await told_to_stop
    await gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
