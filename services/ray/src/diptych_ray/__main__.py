"""Serves every installed model on a Ray of this machine alone: ``python -m diptych_ray``.

What ``serve run diptych_ray:app`` does too, but as a service does it: on SIGTERM as on Ctrl-C all
that it started drains and ends, and nothing listens for other machines.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from diptych_runtime.main import check_engine_settings
from diptych_runtime.release import add_version_option
from diptych_runtime.settings import SettingsError

from .application import app
from .options import read_options, spec_of

HOST, PORT = "127.0.0.1", 8000
"""Where the directory is asked."""


def main() -> None:
    """Serve until told to stop; ends the process with 2 where a setting has to change."""
    parser = argparse.ArgumentParser(prog="diptych-ray", description=__doc__)
    add_version_option(parser)
    parser.add_argument(
        "--check", action="store_true", help="read the settings of every model, and end"
    )
    only_check = parser.parse_args().check
    os.environ.setdefault("DIPTYCH_HOST", HOST)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        application = app({})
        if only_check:
            for model_id in read_options({}).models:
                check_engine_settings(spec_of(model_id))
    except SettingsError as error:
        sys.stderr.write(f"diptych-ray: {error}\n")
        raise SystemExit(2) from None
    if only_check:
        sys.stdout.write("diptych-ray: the settings can be used\n")
        return
    # A runner of processes tells the whole group to stop: Ray's own would end before they can drain
    # what runs on them. A shell's job leads its group and stays; Ray keeps Ctrl-C from them.
    with suppress(PermissionError):
        os.setsid()
    try:
        ray.init(address="local", include_dashboard=False, _node_ip_address=HOST)
        for number in (signal.SIGINT, signal.SIGTERM):  # Ray sets one of its own
            signal.signal(number, _stop)
        serve.start(http_options=HTTPOptions(host=HOST, port=PORT))
        serve.run(application, name="diptych", route_prefix="/")
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.stderr.write("diptych-ray: stopping\n")
    finally:
        if ray.is_initialized():
            serve.shutdown()
            ray.shutdown()


def _stop(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):  # whoever repeats himself does not stop the stop
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
