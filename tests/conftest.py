"""What every test shares: kernels compiled before anything is traced, one hypothesis profile, and pictures only where
they are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import Phase, settings
from matplotlib.figure import Figure
from PIL import Image
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


_draw = Figure.savefig


@pytest.fixture(scope="module", autouse=True)
def _blank_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Saved pictures are blank, but in modules marked ``pictures``: drawing takes most of the time of a small run.

    Figures are built all the same, and every kind of picture is drawn by a test. Tests that start a process of their
    own draw as users do.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            patch.setattr(Figure, "savefig", _save_blank)
        yield


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw, in a module that does not otherwise."""
    monkeypatch.setattr(Figure, "savefig", _draw)


def _save_blank(figure: Figure, file: Any, *, dpi: float | str = "figure", **_: Any) -> None:
    """Save a white picture of the right size in place of a figure."""
    scale = figure.dpi if dpi == "figure" else float(dpi)
    width, height = (round(side * scale) for side in figure.get_size_inches())
    Image.new("L", (width, height), 255).save(file, format="png", compress_level=1)


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
