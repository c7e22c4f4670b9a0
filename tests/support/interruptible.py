"""The command line as a program that an interrupt reaches."""

from __future__ import annotations

import sys

# A test run in the background ignores SIGINT, and what it starts inherits that. Not undone between
# fork and exec: the threads of gRPC in this process make that unsafe.
_PROGRAM = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("diptych.cli", run_name="__main__", alter_sys=True)
"""

COMMAND = (sys.executable, "-c", _PROGRAM)
"""``diptych``, to be followed by its arguments."""
