"""What every test shares: kernels compiled before anything is traced, and one hypothesis profile."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from hypothesis import Phase, settings
from serving import Served, served

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


@pytest.fixture(scope="session")
def page_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page, served once for all tests of it (group "page"); in the end its log is clean and nothing of it runs."""
    with served(tmp_path_factory.mktemp("served")) as page:
        yield page
        family = page.family()
        page.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
    log = page.said()
    assert "Traceback" not in log and "mistake" not in log and len(log) < 2000, log
