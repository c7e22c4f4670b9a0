"""Which words and addresses are cameras and streams."""

from __future__ import annotations

import re
import sys

from .._video.streams import DEVICES

_CAMERA = re.compile(r"camera:(.+)")
_COME_BACK = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp")
"""Protocols of what goes on while nobody is connected."""


def camera_address(word: str) -> str | None:
    """The address of ``camera:0`` on this system; ``None`` for another word.

    Raises:
        ValueError: this system's cameras have other names.
    """
    found = _CAMERA.fullmatch(word)
    if found is None or word.startswith("camera://"):
        return None
    which = found[1]
    if sys.platform == "darwin":
        return f"avfoundation://{which}"
    if sys.platform == "win32":
        if which.isdecimal():
            raise ValueError(
                f"camera: expected the camera's name, such as camera:Integrated Camera, got {which}"
            )
        return f"dshow://video={which}"
    if not which.isdecimal():
        raise ValueError(f"camera: expected a number, as of /dev/video0, got {which!r}")
    return f"v4l2:///dev/video{which}"


def scheme_of(address: str) -> str:
    """``rtsp`` of ``rtsp://camera/stream``."""
    return address.partition("://")[0].lower()


def is_device(address: str) -> bool:
    """Whether it is a camera of this machine."""
    return scheme_of(address) in DEVICES


def comes_back(address: str) -> bool:
    """Whether it is worth connecting again where the connection was lost."""
    return scheme_of(address) in _COME_BACK
