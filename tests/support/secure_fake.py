"""The fake service with TLS, which notes what callers say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from diptych.testing import FakeSegmentService
from diptych.testing._servicers import add_servicers


class SecureFake(FakeSegmentService, grpc.ServerInterceptor):  # type: ignore[misc]
    """Without credentials it speaks plain text."""

    def __init__(
        self,
        models: Sequence[str] = ("one", "two"),
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        super().__init__(models)
        self._credentials = credentials
        self.said: list[tuple[str, str | None]] = []
        """Method and ``authorization`` of each call."""

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8), interceptors=[self])
        add_servicers(self, self._server, gateway=True)
        port = (
            self._server.add_insecure_port("127.0.0.1:0")
            if self._credentials is None
            else self._server.add_secure_port("127.0.0.1:0", self._credentials)
        )
        self.address = f"localhost:{port}"
        self._server.start()

    def intercept_service(self, continuation: Callable[[Any], Any], call: Any) -> Any:
        said = dict(call.invocation_metadata).get("authorization")
        self.said.append((call.method.rpartition("/")[2], said))
        return continuation(call)
