"""The picture of the page: the same on panels that were used before, letters copied as they are drawn, few colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from PIL import Image

from pkmodel.app import compute, work
from pkmodel.app.picture import Look, drawn, figure_of, on_screen
from pkmodel.app.stamps import StampingRenderer
from pkmodel.app.state import Arm, Crowd, Limits, Row, State, View, edited

pytestmark = pytest.mark.pictures

PLAIN = State(limits=Limits(upper=100))
#: Pages that leave much behind on their panels: a second axis, a log scale, effects, a legend, no dose in sight.
OTHERS = [
    State(a=Arm(source="rows", rows=(Row(over="20 min"), Row(at="2 h")))),
    State(view=View(log=True, clock="09:00"), limits=Limits(upper=20, lower=10)),
    State(effects=("dissociation_olofsen2022",), b=Arm(protocol="esketamine_nasal_acute")),
    State(view=View(metabolites=False, normalise=True)),
]


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_panels_that_were_used_before_show_nothing_of_it() -> None:
    def picture(state: State) -> bytes:
        return on_screen(figure_of(state, compute.curves(state), {}, 880, 460, kept=True)).png

    fresh = {state: on_screen(figure_of(state, compute.curves(state), {}, 880, 460)).png for state in (PLAIN, *OTHERS)}
    for state in OTHERS:
        assert picture(state) == fresh[state]
        assert picture(PLAIN) == fresh[PLAIN]


@pytest.mark.parametrize(("text", "angle", "size"), [("esketamine [ng/mL]", 0, 9.5), ("µg, j\nsecond", 90, 8.0)])
def test_a_text_is_copied_as_it_is_drawn(text: str, angle: int, size: float) -> None:
    page = Figure(figsize=(4, 3), dpi=100)
    page.text(0.5, 0.5, text, rotation=angle, fontsize=size, color="#224488")
    plain, stamping = RendererAgg(400, 300, 100.0), StampingRenderer(400, 300, 100.0)
    for renderer in (plain, stamping, stamping):  # the second time from its stamp
        renderer.clear()
        page.draw(renderer)
    own, copied = (np.asarray(one.buffer_rgba()).astype(int)[:, :, :3] for one in (plain, stamping))
    ink = (255 - own).sum()
    assert ink > 0
    assert (255 - copied).sum() == pytest.approx(ink, rel=0.02)
    # Letters stand on whole pixels: nothing is further than one from where it is drawn.
    near = np.stack([np.roll(own, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]).min(axis=0)
    assert ((near - copied) > 128).mean() < 1e-4


def test_256_colours_are_enough() -> None:
    curves = compute.curves(PLAIN)
    few = on_screen(figure_of(PLAIN, curves, {}, 880, 460), 2.0)
    whole = drawn(figure_of(PLAIN, curves, {}, 880, 460), 2.0)
    one, other = _pixels(few.png), _pixels(whole.png)
    assert one.shape == other.shape == (920, 1760, 3)
    assert (one[0, 0] == 255).all()
    assert np.abs(one - other).mean() < 2.0
    assert few.coordmap == whole.coordmap
    assert len(few.png) < 0.6 * len(whole.png)


def test_a_band_is_drawn_from_its_summary_as_from_its_patients() -> None:
    state = State(crowd=Crowd(n=40), limits=Limits(upper=100), effects=("dissociation_olofsen2022",))
    curves = compute.curves(state)
    band = work.band_of(state, 40)
    one = drawn(figure_of(state, curves, compute.bands(state, curves, 40), 700, 400)).png
    assert drawn(figure_of(state, curves, band.summaries, 700, 400)).png == one
    shown = work.page_of(state, Look(700, 400), band)
    assert "n = 40" in shown.alt
    other = work.page_of(edited(state, {"crowd.seed": 2}), Look(700, 400), band)
    assert "n = 40" not in other.alt  # of other patients


def test_a_band_does_not_depend_on_the_patient_of_the_page() -> None:
    keys = {
        work.page_of(edited(State(crowd=Crowd(n=40)), changes), None, None).band_key
        for changes in ({}, {"person.weight": 90}, {"limits.upper": 90})
    }
    assert len(keys) == 1
    assert work.page_of(State(crowd=Crowd(n=41)), None, None).band_key not in keys
