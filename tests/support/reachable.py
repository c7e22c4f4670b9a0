"""What an object keeps alive."""

from __future__ import annotations

import gc

import numpy as np
import torch


def reachable_bytes(root: object, *, without: type) -> int:
    """Tensors and arrays that an object keeps alive, found without its help.

    Instances of ``without``, the network, are left out.
    """
    seen: set[int] = set()
    storages: dict[int, int] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, (without, type)) or callable(one):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            storage = one.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(one, np.ndarray):
            storages[one.ctypes.data] = one.nbytes
        else:
            waiting += [*gc.get_referents(one), *_slots(one)]
    return sum(storages.values())


def _slots(one: object) -> list[object]:
    """What the collector does not show of objects without a dictionary."""
    return [getattr(one, "_counts", None)]
