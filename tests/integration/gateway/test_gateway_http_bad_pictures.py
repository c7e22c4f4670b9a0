"""Files that are no pictures, or too large, over HTTP: which problem, and that the rest goes on.

The models here decide as the services do: with the runtime's own look at a picture's header.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import pytest

from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_runtime.images import decode
