"""Exit codes, and errors as one line."""

from __future__ import annotations

import errno
import io
import sys

import click

from .._types.errors import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
    UnsupportedCallError,
    UnsupportedTaskError,
    VideoFileError,
)

OK, FAILED, USAGE, UNAVAILABLE, REFUSED, TOO_LATE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
EPILOG = """\b
Exit codes:
    0  done
    1  failed; of many pictures, frames or models: some failed, or all in different ways
    2  wrong usage
    3  server not reachable, not serving or overloaded: try again later
    4  refused: picture, video file, prompt, option, task, model or token
    5  no answer in time
  130  interrupted
"""
_CODES: dict[type[Exception], int] = {
    UnavailableError: UNAVAILABLE,
    OverloadedError: UNAVAILABLE,
    InvalidRequestError: REFUSED,
    UnsupportedTaskError: REFUSED,
    UnsupportedCallError: REFUSED,
    ModelNotFoundError: REFUSED,
    MessageTooLargeError: REFUSED,
    AuthenticationError: REFUSED,
    VideoFileError: REFUSED,
    DeadlineExceededError: TOO_LATE,
}


class ExitCodeGroup(click.Group):
    """A group whose commands end with the exit codes above instead of tracebacks."""

    def invoke(self, ctx: click.Context) -> object:
        _print_any_name()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("diptych: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except DiptychError as error:
            report(error)
            ctx.exit(exit_code(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when the reader has gone
                raise
            report(error)
            ctx.exit(FAILED)


def _print_any_name() -> None:
    """Escapes on stdout what its encoding lacks, as stderr does: files may have any name."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def exit_code(error: Exception) -> int:
    """The exit code for one error."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED)


def exit_code_of_all(errors: list[Exception]) -> int:
    """The exit code when everything failed: that of the errors if they agree."""
    codes = {exit_code(error) for error in errors}
    return codes.pop() if len(codes) == 1 else FAILED


def exit_code_of_many(errors: list[Exception], asked: int) -> int:
    """The exit code after so many pictures or models were asked: some failed, or all."""
    if not errors:
        return OK
    return exit_code_of_all(errors) if len(errors) == asked else FAILED


def describe(error: Exception) -> str:
    """An error as one line, with what helps to find it in a log or to wait long enough."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, DiptychError):
        notes = [error.reason, f"request {error.request_id}" if error.request_id else ""]
        if error.retry_after_s is not None:
            notes.append(f"retry after {error.retry_after_s:g} s")
        shown = ", ".join(note for note in notes if note)
        text += f" ({shown})" if shown else ""
    return text


def report(error: Exception, *, name: str = "") -> None:
    """Prints an error to stderr, as one line."""
    click.echo(f"diptych: {f'{name}: ' if name else ''}{describe(error)}", err=True)
