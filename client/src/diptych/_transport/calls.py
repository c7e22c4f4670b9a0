"""What both transports share: address, deadlines, sizes, attempts, errors and a log. No I/O."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from .._arguments import EncodedImage, too_large
from .._types.errors import DiptychError
from ..segment import v1 as pb
from ..wire.reasons import Reason
from ..wire.requests import image_by_bytes, image_by_digest
from .channel import ChannelOptions, has_several, resolve_address
from .failures import error_from_rpc
from .timeouts import Default, Timeout, checked_timeout
from .tls import TlsOptions, resolve_tls
from .token import Metadata, Token, authorization, is_local

_RequestT = TypeVar("_RequestT", bound=Message)

_LOG = logging.getLogger("diptych")
_RETRY_WAITS_S = (0.05, 0.2, 1.0, 2.0)

MIN_BYTES = 64 * 1024
"""Smaller images are sent again: the bytes cost less than a digest that is not held."""


class Deadline:
    """One deadline for everything that one call does, a second attempt included."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds that remain, 0 if it has passed; ``None`` without a deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class Patience:
    """When to send a call again that a server which stops has refused, so has not begun.

    Every other refusal is final here: what a gateway can try again, it has.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._waits_s = iter(_RETRY_WAITS_S)

    def wait_s(self, error: DiptychError) -> float | None:
        """Seconds to wait before the next attempt; ``None`` if ``error`` is the answer."""
        # A server answers CANCELLED, without a reason, to what it was sent and has not taken yet.
        untaken = error.code is grpc.StatusCode.CANCELLED and not error.reason
        if error.reason != Reason.DRAINING and not untaken:
            return None
        wait_s = next(self._waits_s, None)
        left = self._deadline.left()
        if wait_s is None or (left is not None and left <= wait_s):
            return None
        return wait_s * random.uniform(0.5, 1.0)


class SentImages:
    """Digests of the images sent to one address, the oldest forgotten first.

    Safe to use from several threads. The server may have dropped any of them.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, image: EncodedImage) -> bool:
        """Whether the server was sent these bytes and is worth asking by digest."""
        if len(image.data) < MIN_BYTES:
            return False
        with self._lock:
            if image.sha256 not in self._digests:
                return False
            self._digests.move_to_end(image.sha256)
            return True

    def add(self, image: EncodedImage) -> None:
        """Notes that the server now holds these bytes."""
        if len(image.data) < MIN_BYTES:
            return
        with self._lock:
            self._digests[image.sha256] = None
            self._digests.move_to_end(image.sha256)
            while len(self._digests) > self._capacity:
                self._digests.popitem(last=False)

    def forget(self, image: EncodedImage) -> None:
        """Notes that the server does not hold these bytes any more."""
        with self._lock:
            self._digests.pop(image.sha256, None)


class Attempts:
    """How to send one image: its digest first if the server should hold it, then its bytes."""

    def __init__(self, sent: SentImages, image: EncodedImage) -> None:
        self._sent = sent
        self._image = image
        self.by_digest = sent.has(image)
        """The next attempt sends the digest; if the server does not hold it, try again."""

    def source(self) -> pb.Image:
        """What to send now."""
        return (
            image_by_digest(self._image.sha256)
            if self.by_digest
            else image_by_bytes(self._image.data)
        )

    def not_held(self) -> None:
        """The server holds the image no longer: the next attempt sends the bytes."""
        self._sent.forget(self._image)
        self.by_digest = False

    def held(self) -> None:
        """The server has answered, so it holds the image."""
        self._sent.add(self._image)


class BaseTransport:
    """The part of a transport that does no I/O."""

    def __init__(
        self,
        address: str | None,
        *,
        timeout: float | None,
        retry: bool,
        options: ChannelOptions,
        tls: bool | TlsOptions | None,
        token: Token | None,
    ) -> None:
        resolved = resolve_tls(tls)
        self.address = resolve_address(address, encrypted=resolved is not None)
        self._timeout = checked_timeout(timeout)
        self._options = options
        self._arguments = (
            *options.to_grpc(retry=retry, several=has_several(self.address)),
            *(resolved.to_grpc() if resolved else ()),
            # Else gRPC would go to "localhost" by the proxy of the environment, away from here.
            *((("grpc.enable_http_proxy", 0),) if is_local(self.address) else ()),
        )
        self._credentials = _credentials(resolved) if resolved else None
        self._server_name = resolved.server_name if resolved else None
        encrypted = resolved is not None
        self._authorization = authorization(token, address=self.address, encrypted=encrypted)
        self._sent = SentImages()
        self._closed = False

    @property
    def limits(self) -> ChannelOptions:
        """Sizes of messages."""
        return self._options

    def deadline(self, timeout: Timeout | Deadline) -> Deadline:
        """The deadline of a call that starts now, or belongs to one that has started."""
        if isinstance(timeout, Deadline):
            return timeout
        if isinstance(timeout, Default):
            return Deadline(self._timeout)
        return Deadline(checked_timeout(timeout))

    def metadata(self) -> Metadata | None:
        """What goes along with a call that starts now."""
        return self._authorization.metadata() if self._authorization else None

    def check_open(self) -> None:
        """Raises if the client is closed."""
        if self._closed:
            raise RuntimeError(f"the client of {self.address} is closed")

    def check(self, request: Message) -> None:
        """Raises if the client is closed or the message is too large to be sent."""
        self.check_open()
        size, limit = request.ByteSize(), self._options.max_request_bytes
        if size > limit:
            raise too_large(size, "request", limit)

    def error(self, failure: grpc.RpcError, deadline: Deadline) -> DiptychError:
        """The exception for a failed call."""
        return error_from_rpc(
            failure,
            address=self.address,
            timeout=deadline.timeout,
            server_name=self._server_name,
        )


def _credentials(tls: TlsOptions) -> grpc.ChannelCredentials:
    ca, cert, key = tls.read()
    return grpc.ssl_channel_credentials(ca, key, cert)


RequestBuilder = Callable[[pb.Image], _RequestT]
"""Makes the request around an image or its digest."""


class CallLog:
    """What is told of one attempt: method, model, request id, status, seconds and bytes.

    Never a picture, a mask, a token or an address. The same as fields of their own are in the
    record's ``diptych``, for handlers that write JSON.
    """

    def __init__(self, request: Message) -> None:
        self._request = request
        self._begun = time.monotonic()

    def answered(self, reply: object = None) -> None:
        """Tell that there is an answer; of streamed ones there is no single message."""
        if _LOG.isEnabledFor(logging.INFO):
            size = reply.ByteSize() if isinstance(reply, Message) else None
            self._tell("OK", str(getattr(reply, "request_id", "")), size)

    def failed(self, error: DiptychError) -> None:
        """Tell why there is none."""
        if _LOG.isEnabledFor(logging.INFO):
            reason = error.reason or type(error).__name__
            code = error.code.name if error.code else "UNKNOWN"
            self._tell(f"{code} {reason}", error.request_id, None)

    def _tell(self, status: str, request_id: str, received: int | None) -> None:
        fields: dict[str, object] = {
            "method": type(self._request).__name__.removesuffix("Request"),
            "model": _models(self._request),
            "status": status,
            "seconds": round(time.monotonic() - self._begun, 4),
            "sent_bytes": self._request.ByteSize(),
            "received_bytes": received,
            "request_id": request_id,
        }
        said = " ".join(f"{name}={value}" for name, value in fields.items() if value or value == 0)
        _LOG.info(said, extra={"diptych": fields})


def session_opened() -> None:
    """Tell that a video session begins; what ends it is an event of its own."""
    _LOG.info("method=SegmentVideo opened", extra={"diptych": {"method": "SegmentVideo"}})


def _models(request: Message) -> str:
    """The models that a request names; empty if the server chooses."""
    one = getattr(request, "model_id", "")
    return str(one or ",".join(getattr(request, "model_ids", ())))
