"""Files that are kept packed, for browsers, all of which unpack them."""

from __future__ import annotations

import os

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_SUFFIX = ".gz"


class PackedFiles(StaticFiles):
    """Serves ``NAME.gz`` as ``NAME``, with the encoding that says so; other files as they are."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        full_path, found = super().lookup_path(path)
        return (full_path, found) if found else super().lookup_path(path + _SUFFIX)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        if os.fspath(full_path).endswith(_SUFFIX):
            response.headers["Content-Encoding"] = "gzip"
        return response
