"""The table of a simulated patient, long and wide."""

from __future__ import annotations

import numpy as np

import pkmodel as pk


def test_long_and_wide_tables_hold_the_same_levels() -> None:
    """Long: the columns of the contract, a block per output; wide: a column per output, units beside the table."""
    result = pk.simulate("esketamine_iv_single", "esketamine_otto2021", pk.Patient(weight="70 kg"), until="2 h")
    long, wide = result.to_pandas(), result.to_pandas(wide=True)
    assert list(long.columns) == ["subject", "time_h", "output", "value", "unit"]
    assert list(wide.columns) == ["subject", "time_h", "esketamine", "noresketamine"]
    assert len(long) == 2 * len(wide) == 2 * 25
    for name in ("esketamine", "noresketamine"):
        assert np.array_equal(long.loc[long.output == name, "value"], wide[name])
    assert set(long.unit) == {"ng/mL"} and wide.attrs["units"] == {"esketamine": "ng/mL", "noresketamine": "ng/mL"}
