"""What a block of patients leaves behind for the end of a run, on disk: counts, and values that medians need.

A NumPy archive (``.npz``) without pickles: arrays, and a JSON text for what is counted by name. Sketches are mostly
empty, so only the bins between the first and the last that is used are kept, in the smallest whole number that holds
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pkmodel.outcome import CaseSums

Floats = NDArray[np.float64]

#: For each case the values of the patients of a block, metric by metric as the case lists them.
Values = list[list[Floats]]


def save(file: BinaryIO, sums: list[CaseSums], compared: Values, answers: Values) -> None:
    """Write the state of a block.

    Raises TypeError where counts hold something that this module does not know how to keep.
    """
    arrays: dict[str, NDArray[Any]] = {}
    named: list[dict[str, Any]] = []
    for index, of_case in enumerate(sums):
        counted: dict[str, Any] = {}
        for field in fields(of_case):
            value = getattr(of_case, field.name)
            if isinstance(value, np.ndarray):
                first, part = _trimmed(value)
                arrays[f"sums/{index}/{field.name}"] = part
                counted[field.name] = first
            elif isinstance(value, dict):
                counted[field.name] = [
                    [list(key) if isinstance(key, tuple) else key, item.tolist() if hasattr(item, "tolist") else item]
                    for key, item in value.items()
                ]
            else:
                raise TypeError(f"{field.name} of the counts of a case is {type(value).__name__}")
        named.append(counted)
    for name, values in (("compared", compared), ("answers", answers)):
        for index, several in enumerate(values):
            for place, array in enumerate(several):
                arrays[f"{name}/{index}/{place}"] = array
    arrays["named"] = np.frombuffer(json.dumps(named).encode(), dtype=np.uint8)
    np.savez(file, allow_pickle=False, **arrays)


class State:
    """The state of a block, read back; to be used in a ``with`` statement."""

    def __init__(self, file: Path):
        with ExitStack() as on_failure:
            stream = on_failure.enter_context(file.open("rb"))
            self._archive = np.load(stream, allow_pickle=False)
            self._named = json.loads(self._archive["named"].tobytes())
            self._close = on_failure.pop_all()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def add_to(self, sums: Iterable[CaseSums]) -> None:
        """Add the counts of the block to those of other patients."""
        for index, total in enumerate(sums):
            counted = self._named[index]
            for field in fields(total):
                value = getattr(total, field.name)
                if isinstance(value, np.ndarray):
                    part, first = self._archive[f"sums/{index}/{field.name}"], counted[field.name]
                    value[..., first : first + part.shape[-1]] += part
                    continue
                for key, item in counted[field.name]:
                    whole = tuple(key) if isinstance(key, list) else key
                    value[whole] = value.get(whole, 0) + (np.array(item) if isinstance(item, list) else item)

    def values(self, name: str, index: int, place: int) -> Floats:
        """The values (n,) of a metric: ``compared`` or ``answers``, of which case, and which of its metrics."""
        found: Floats = self._archive[f"{name}/{index}/{place}"]
        return found


def _trimmed(counts: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """The first bin of a sketch (..., bins) that is used anywhere, and the counts from there to the last one."""
    if not counts.size:
        return 0, counts[..., :0]
    used = np.flatnonzero(counts.reshape(-1, counts.shape[-1]).any(axis=0))
    if not used.size:
        return 0, counts[..., :0]
    part = counts[..., used[0] : used[-1] + 1]
    return int(used[0]), part.astype(np.min_scalar_type(int(part.max())))
