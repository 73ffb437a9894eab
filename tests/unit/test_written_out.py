"""Code that is written out for many patients gives the bits of the loops that others run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import study
from pkmodel.core import structure


@pytest.mark.parametrize("scenario", ["nasal_induction", "dissociation_iv"])
def test_written_out_steps_have_the_bits_of_loops(monkeypatch: pytest.MonkeyPatch, scenario: str) -> None:
    """Whole runs: levels by steps and series, peaks, crossings."""
    loaded = pk.load_scenario(scenario)
    small = replace(loaded, spec=loaded.spec.model_copy(update={"n": 64}))
    found = []
    for many in (10**9, 1):
        monkeypatch.setattr(structure, "_MANY", many)
        chunks: list[study.Chunk] = []
        done = study.run(small, sink=chunks.append)
        values = [item.values for chunk in chunks for case in chunk.cases for item in case.metrics]
        found.append((values, [sums.bands for sums in done.sums]))
    (looped, counts), (written, same_counts) = found
    assert all(np.array_equal(one, other) for one, other in zip(looped, written, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(counts, same_counts, strict=True))


def test_a_structure_is_written_out_once() -> None:
    """Blocks of many patients share the code; small ones have none."""
    flows = np.array([[True, True], [True, True]])
    seen, none = np.array([0]), np.empty(0, dtype=np.int64)
    large = structure.structure_of(flows, seen, none, patients=structure._MANY)
    assert large.apply_code
    assert large.term_code
    assert structure.structure_of(flows, seen, none, patients=structure._MANY) is large
    small = structure.structure_of(flows, seen, none)
    assert small.apply_code == small.term_code == 0
    assert np.array_equal(small.product_left, large.product_left)
