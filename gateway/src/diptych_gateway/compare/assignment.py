"""One-to-one assignment with the greatest summed weight, exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray


def _never() -> bool:
    return False


def assign(
    weights: Mapping[tuple[int, int], float], *, stopped: Callable[[], bool] = _never
) -> list[tuple[int, int]]:
    """Choose pairs ``(row, column)``, each at most once, whose summed weight is greatest.

    ``weights`` holds the pairs that are allowed, with weights above 0; the rest is never chosen.
    ``stopped`` is asked between rows; when it says yes the result is not complete. Groups of rows
    and columns that no pair connects are solved one by one, so that many small groups, the usual
    case for segments of an image, cost little. Sorted by row.
    """
    chosen: list[tuple[int, int]] = []
    for rows, columns in _groups(weights):
        if stopped():
            break
        matrix = np.zeros((len(rows), len(columns)))
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                matrix[i, j] = weights.get((row, column), 0.0)
        for i, j in _solve(matrix, stopped):
            if matrix[i, j] > 0:
                chosen.append((rows[i], columns[j]))
    return sorted(chosen)


def _groups(weights: Mapping[tuple[int, int], float]) -> list[tuple[list[int], list[int]]]:
    """Group the rows and columns that pairs connect, directly or through others."""
    by_row: dict[int, list[int]] = {}
    by_column: dict[int, list[int]] = {}
    for row, column in weights:
        by_row.setdefault(row, []).append(column)
        by_column.setdefault(column, []).append(row)
    groups, seen = [], set[int]()
    for first in sorted(by_row):
        if first in seen:
            continue
        rows, columns, todo = {first}, set[int](), [first]
        while todo:
            for column in by_row[todo.pop()]:
                if column not in columns:
                    columns.add(column)
                    new = set(by_column[column]) - rows
                    rows |= new
                    todo.extend(new)
        seen |= rows
        groups.append((sorted(rows), sorted(columns)))
    return groups


def _solve(matrix: NDArray[np.float64], stopped: Callable[[], bool]) -> list[tuple[int, int]]:
    if matrix.shape[0] > matrix.shape[1]:
        return [(i, j) for j, i in _solve(matrix.T, stopped)]
    return list(enumerate(_shortest_paths(-matrix, stopped)))


def _shortest_paths(cost: NDArray[np.float64], stopped: Callable[[], bool]) -> list[int]:
    """Find the column of each row at the least summed cost, for ``(n, m)`` costs with n <= m.

    Successive shortest augmenting paths with potentials (Jonker and Volgenant, 1987): O(n^2 m),
    with the inner loop over columns in numpy.
    """
    n, m = cost.shape
    row_of = np.full(m + 1, -1)  # by column; the extra one stands for the row being placed
    row_potential, column_potential = np.zeros(n), np.zeros(m + 1)
    for row in range(n):
        if stopped():
            break
        row_of[m] = row
        column = m
        distance, previous = np.full(m, np.inf), np.full(m, m)
        done = np.zeros(m + 1, dtype=bool)
        while row_of[column] >= 0:
            done[column] = True
            current = row_of[column]
            open_ = ~done[:m]
            reduced = cost[current] - row_potential[current] - column_potential[:m]
            nearer = open_ & (reduced < distance)
            distance[nearer] = reduced[nearer]
            previous[nearer] = column
            nearest = int(np.argmin(np.where(open_, distance, np.inf)))
            step = distance[nearest]
            row_potential[row_of[done]] += step
            column_potential[done] -= step
            distance[open_] -= step
            column = nearest
        while column != m:
            row_of[column] = row_of[previous[column]]
            column = int(previous[column])
    columns = {int(row): column for column, row in enumerate(row_of[:m]) if row >= 0}
    return [columns[row] for row in range(n) if row in columns]
