"""The error table, one row for each reason: its codes from the code, its meaning from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc

from diptych.wire.reasons import CODES, Reason, http_status
from diptych.wire.statuses import error_class

MEANINGS: Mapping[Reason, str] = {
    Reason.IMAGE_UNREADABLE: "The image is no JPEG, PNG or WebP, is broken, empty or animated.",
    Reason.IMAGE_TOO_LARGE: "The image has more pixels than the server takes.",
    Reason.IMAGE_SHAPE: "A side is too short, or the image is too long for its width.",
    Reason.IMAGE_NOT_HELD: "The digest stands for an image that the server does not hold (any "
    "more); send the bytes. The SDK does so by itself.",
    Reason.PROMPT_INVALID: "A prompt cannot be used: outside the image, inverted, not a number, "
    "too many, or for a task without prompts.",
    Reason.PROMPT_UNSUPPORTED: "The model does not take this kind of prompt.",
    Reason.OPTION_INVALID: "An option is out of its range, or unknown.",
    Reason.TASK_UNSUPPORTED: "The model does not do the task.",
    Reason.MODEL_UNKNOWN: "There is no model of that id.",
    Reason.TOKEN_MISSING: "The gateway asks for a token, and none was sent.",
    Reason.TOKEN_INVALID: "The token is unknown, expired or malformed.",
    Reason.TOKEN_SCOPE: "The token is for something else.",
    Reason.QUEUE_FULL: "Too many requests wait. `retry_after_s` says when to try again.",
    Reason.SESSION_LIMIT: "Too many video sessions are open.",
    Reason.OBJECT_LIMIT: "The video session follows as many objects as it may.",
    Reason.RATE_LIMIT: "A token has used up its rate. No server answers this today.",
    Reason.DEVICE_MEMORY: "The device has too little memory for this request.",
    Reason.SESSION_ORDER: "A video message was out of order: no `start` first, or a frame index "
    "that does not grow.",
    Reason.FRAME_NOT_HELD: "The prompt is for a frame that the session does not hold any more.",
    Reason.OBJECT_UNKNOWN: "The session follows no object of that id.",
    Reason.SESSION_EXPIRED: "The session had no message for too long.",
    Reason.SESSION_LOST: "The engine of the session was lost. `client.video(resume=error)` goes "
    "on.",
    Reason.MODEL_LOADING: "The model is not loaded yet, or cannot be reached.",
    Reason.DRAINING: "The server is about to stop.",
    Reason.ENGINE_LOST: "The engine process ended in the middle of the request.",
    Reason.DEADLINE: "The answer would have come too late.",
    Reason.MODEL_FAILED: "A fault of the server; its log has the cause under the request id.",
}
GRPC_ITSELF: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "A request over 32 MiB, or a reply over 64 MiB.",
    grpc.StatusCode.UNIMPLEMENTED: "Over gRPC alone: the server has no such method. It is a model "
    "service, not a gateway.",
}


def table() -> str:
    """As Markdown."""
    lines = ["| reason | gRPC code | HTTP | exception | meaning |", "|---|---|---|---|---|"]
    for reason in sorted(Reason, key=lambda reason: http_status(CODES[reason], reason)):
        lines.append(_line(f"`{reason.value}`", CODES[reason], reason, MEANINGS[reason]))
    lines += [_line("none", code, "", meaning) for code, meaning in GRPC_ITSELF.items()]
    return "\n".join(lines) + "\n"


def _line(shown: str, code: grpc.StatusCode, reason: str, meaning: str) -> str:
    exception = error_class(code, reason).__name__
    http = http_status(code, reason)
    return f"| {shown} | {code.name} | {http} | `{exception}` | {meaning} |"


TABLES: Mapping[str, Callable[[], str]] = {"errors": table}
