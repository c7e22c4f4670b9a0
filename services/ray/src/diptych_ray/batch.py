"""Many pictures on Ray Data: a model in each actor, without service and gRPC.

::

    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig("path", "s3://bucket/checkpoint")
    pictures = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    found = pictures.map_batches(
        Segmenter, fn_constructor_args=("sam-2",), batch_size=16, num_gpus=1, concurrency=4
    )
    found.write_parquet("s3://bucket/found")

Needs the extra ``batch``. Settings are ``DIPTYCH_*`` variables of the actors' ``runtime_env``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from diptych import UnavailableError, UnsupportedTaskError
from diptych.batch import Row, card_digest, row_of_error, row_of_result, table_of
from diptych.wire.reasons import Reason
from diptych.wire.requests import make_options
from diptych_runtime.logs import flush
from diptych_runtime.runner import Runner

from .options import spec_of

_THREADS = 2  # one decodes a picture while the other's is in the model

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Segmenter:
    """What ``map_batches`` gives pictures to: rows with ``path`` and ``bytes`` become rows of
    ``diptych batch``, of which ``docs/batch.md`` describes the columns.

    A picture that cannot be read or is refused is a row with its error. Where the device is lost
    the process ends, and Ray starts an actor in its place.

    Args:
        model_id: A model that is installed on the node.
        ask: What ``Runner.segment`` takes beside the image: ``task``, ``boxes``, ``output``, …

    Raises:
        LoadError: the model cannot be loaded.
        SettingsError: it is not installed, or a variable has a value that cannot be used.
        TypeError, ValueError: an argument cannot be used.
    """

    def __init__(self, model_id: str, **ask: Any) -> None:
        make_options(**ask)
        self._ask = ask
        self._runner = Runner(spec_of(model_id).engine)
        self._model_id = model_id
        self._card_sha256 = card_digest(self._runner.model_card())
        self._threads = ThreadPoolExecutor(_THREADS)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> Any:
        """Answer a batch; returns a table of Arrow with a row for each picture.

        Raises:
            DiptychError: the model does not do the task, or an option is out of its range.
            ValueError: rows have other columns.
        """
        if not {"path", "bytes"} <= batch.keys():
            raise ValueError(
                "expected rows with path and bytes, as of read_binary_files(..., "
                f"include_paths=True), got {', '.join(batch)}"
            )
        return table_of(list(self._threads.map(self._row, batch["path"], batch["bytes"])))

    def _row(self, path: str, data: bytes) -> Row:
        try:
            result = self._runner.segment(bytes(data), **self._ask)
            return row_of_result(path, result, self._card_sha256)
        except UnavailableError as error:
            _log.error("the device is lost, so this process ends", path=path, error=str(error))
            flush()
            os._exit(1)
        except UnsupportedTaskError:
            raise  # every other picture would be told so, too
        except Exception as error:  # one bad picture must not end the others
            if getattr(error, "reason", "") == Reason.OPTION_INVALID:
                raise
            return row_of_error(path, error, self._model_id, self._card_sha256)
