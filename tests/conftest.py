"""What every test shares: kernels compiled before anything is traced, and one hypothesis profile."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

# The explain phase traces every line; while numba compiles a kernel that takes minutes.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
settings.register_profile("pkmodel", derandomize=True, deadline=None, phases=_PHASES, database=None)
settings.load_profile("pkmodel")


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    """Compile (or load from the cache) every kernel once, outside of any test that measures or traces."""
    import pkmodel as pk
    from pkmodel import study
    from pkmodel.specs.library import load_scenario

    pk.simulate("iv_single", "ketamine_clements1981", pk.Patient(weight="70 kg"), until="1 h")
    study.run(load_scenario("iv_versus_nasal").with_options(n=2))
