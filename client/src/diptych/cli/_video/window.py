"""A window that shows what is found as it is found: Tk, which comes with most Pythons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ... import VideoFrame

_SHARE_OF_SCREEN = 0.9
_HOW = (
    "--show needs Tk: apt install python3-tk on Debian and Ubuntu, dnf install python3-tkinter on "
    "Fedora, brew install python-tk on macOS; or use --out FILE.mp4"
)


class Window:
    """Shows the newest frame. Closing it, or the keys q and Escape in it, end the command.

    Raises:
        click.UsageError: there is no Tk, or no screen.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise click.UsageError(_HOW) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise click.UsageError(
                f"--show needs a screen: {error}; on a machine without one use --out FILE.mp4"
            ) from error
        self.has_ended = False
        self._photo: Any = None
        self._make_photo = tkinter.PhotoImage
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._root.title(f"{title} - diptych")
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        for key in ("q", "<Escape>"):
            self._root.bind(key, self._end)

    def write(self, pixels: NDArray[np.uint8], frame: VideoFrame) -> None:
        """Show the drawn pixels of a frame, ``(height, width, 3)`` RGB; smaller if need be."""
        if self.has_ended:
            return
        shown = pixels[:: (step := self._step(pixels)), ::step]
        height, width, _ = shown.shape
        head = f"P6 {width} {height} 255\n".encode()
        # Held: Tk does not keep the picture that it shows.
        self._photo = self._make_photo(data=head + shown.tobytes(), format="PPM")
        self._label.configure(image=self._photo)
        self._root.update()

    def close(self) -> None:
        """Take it from the screen."""
        self._root.destroy()

    def _end(self, event: object = None) -> None:
        self.has_ended = True

    def _step(self, pixels: NDArray[np.uint8]) -> int:
        """Every which pixel is shown, so that all of it is on the screen."""
        room = (self._root.winfo_screenheight(), self._root.winfo_screenwidth())
        sides = zip(pixels.shape, room, strict=False)
        return max(int(np.ceil(side / (_SHARE_OF_SCREEN * there))) for side, there in sides)
