"""Rows as ``diptych batch`` writes them, for other programs that write the same Parquet.

They need the extra ``batch``. ``docs/batch.md`` describes the columns.
"""

from __future__ import annotations

from ._batch.job import card_digest
from ._batch.rows import Row, row_of_error, row_of_result, schema, table_of

__all__ = ["Row", "card_digest", "row_of_error", "row_of_result", "schema", "table_of"]
