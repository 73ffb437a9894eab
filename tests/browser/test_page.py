"""``pkmodel app`` in a real browser: what a teacher does, held against the public API and the command line."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from serving import Served
from watching import Watch, assert_accessible

import pkmodel as pk

Opened = Callable[..., Page]

pytestmark = pytest.mark.xdist_group("page")  # one server for all of them


@pytest.fixture(scope="module")
def address(page_served: Served) -> str:
    """The page, served by the command as a user types it."""
    return page_served.address


@pytest.fixture(scope="module")
def watched(browser: Browser) -> Iterator[tuple[Page, Watch]]:
    """One window for most tests, because a new one takes seconds; what a test typed is gone with the next loading."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(30_000)
    watch = Watch()
    watch.follow(context)
    yield context.new_page(), watch
    context.close()


@pytest.fixture
def window(watched: tuple[Page, Watch]) -> Iterator[Page]:
    """The window; the test fails at its end where the page complained or asked anything of another machine."""
    page, watch = watched
    yield page
    watch.assert_quiet()


@pytest.fixture
def fresh(window: Page, address: str) -> Page:
    """A fresh page with its first curve."""
    return _open(window, address)


def _open(page: Page, address: str) -> Page:
    page.goto(address)
    expect(_picture(page)).to_be_visible()
    expect(_peak(page)).to_contain_text("peaks at")
    return page


def _picture(page: Page) -> Locator:
    return page.locator("#curve img")


def _peak(page: Page) -> Locator:
    return page.locator("#peak")


def _tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def _numbers(page: Page) -> str:
    return page.locator("#numbers").inner_text()


def _api_peak(protocol: Any, model: str, **patient: str) -> float:
    result = pk.simulate(protocol, model, pk.Patient(**patient), until="7 h", every="1 min")
    table = result.sessions()
    return float(table[table["output"] == result.model.parent]["peak"].max())


ADULT = {"weight": "70 kg", "age": "40 y", "sex": "female", "height": "170 cm"}


@contextmanager
def _redrawn(page: Page) -> Iterator[None]:
    """Wait until what is done within has another picture: a click means the time that the one in sight has there."""
    before = _picture(page).get_attribute("src")
    assert before is not None
    yield
    expect(_picture(page)).not_to_have_attribute("src", before)


def _click(page: Page, share: float, *, double: bool = False) -> None:
    """Click on the picture at a share of its width, in the upper panel."""
    box = _picture(page).bounding_box()
    assert box is not None
    at = {"x": share * box["width"], "y": 0.4 * box["height"]}
    (_picture(page).dblclick if double else _picture(page).click)(position=at)


def test_another_weight_is_another_peak_as_the_api_has_it(fresh: Page) -> None:
    """Typed, in pounds, and by the arrow keys of the slider; the picture's own text says the same."""
    field = fresh.get_by_label("Weight", exact=True)
    field.fill("93")
    field.press("Enter")
    peak = _api_peak("esketamine_iv_single", "esketamine_otto2021", **{**ADULT, "weight": "93 kg"})
    assert peak != pytest.approx(_api_peak("esketamine_iv_single", "esketamine_otto2021", **ADULT), rel=0.001)
    expect(_peak(fresh)).to_contain_text(f"{peak:.4g} ng/mL")
    expect(_picture(fresh)).to_have_attribute("alt", re.compile(re.escape(f"{peak:.4g} ng/mL")))
    fresh.get_by_label("unit of the weight").select_option("lb")
    expect(field).to_have_value("205")  # 93 kg to a tenth of a pound
    slider = fresh.get_by_label("Weight, slider")
    slider.focus()
    slider.press("ArrowRight")
    value = float(slider.input_value())
    assert value > 205
    peak = _api_peak("esketamine_iv_single", "esketamine_otto2021", **{**ADULT, "weight": f"{value:g} lb"})
    expect(_peak(fresh)).to_contain_text(f"{peak:.4g} ng/mL")
    fresh.get_by_role("button", name="Undo").click()
    expect(field).not_to_have_value(f"{value:g}")


def test_a_click_adds_a_dose_and_a_double_click_edits_it(fresh: Page) -> None:
    _tab(fresh, "Curves")
    with _redrawn(fresh):
        fresh.get_by_label("Hours shown").fill("8")  # so that a time stays where it is on the picture
        fresh.get_by_label("Hours shown").press("Enter")
    before = _numbers(fresh)
    with _redrawn(fresh):
        _click(fresh, 0.6)
    _tab(fresh, "Course")
    rows = fresh.locator("#rows fieldset")
    expect(rows).to_have_count(2)
    added = rows.nth(1)
    expect(added.get_by_label("Dose")).to_have_value("0.2")
    at = added.get_by_label("At", exact=True).input_value()
    number, unit = at.split()
    hours = float(number) / {"min": 60.0, "h": 1.0}[unit]
    assert 2.5 < hours < 5.5
    assert _numbers(fresh) != before
    fresh.get_by_text("What to give: the nurse's table").click()
    given = re.compile(rf"1\t{int(hours)}:\d\d.*iv\t0.2 mg/kg\t14\tat once")
    expect(fresh.locator("#nurse")).to_contain_text(given, use_inner_text=True)
    _tab(fresh, "Patient")
    _click(fresh, 0.6, double=True)
    expect(fresh.locator("#panel-course")).to_be_visible()
    expect(added.get_by_label("Dose")).to_be_focused()
    fresh.keyboard.press("Control+A")
    fresh.keyboard.type("0.5")
    fresh.keyboard.press("Enter")
    expect(fresh.locator("#nurse")).to_contain_text("0.5 mg/kg\t35\tat once", use_inner_text=True)
    rows.nth(1).get_by_role("button", name="Remove").click()
    expect(rows).to_have_count(1)
    for _ in range(2):
        fresh.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(2)


def test_a_dose_by_the_keyboard_alone(fresh: Page) -> None:
    fresh.get_by_role("tab", name="Patient").focus()
    fresh.keyboard.press("ArrowRight")
    expect(fresh.get_by_role("tab", name="Course")).to_be_focused()
    fresh.locator("#f-new-at").focus()
    fresh.keyboard.press("Control+A")
    fresh.keyboard.type("2 h")
    fresh.keyboard.press("Tab")
    fresh.locator("#add-dose").focus()
    fresh.keyboard.press("Enter")
    expect(fresh.locator("#rows fieldset")).to_have_count(2)
    expect(fresh.locator("#rows fieldset").nth(1).get_by_label("At", exact=True)).to_have_value("2 h")


def test_a_second_course_and_a_second_model_over_the_first(fresh: Page) -> None:
    _tab(fresh, "Course")
    fresh.get_by_role("button", name="Compare with a second course (B)").click()
    fresh.get_by_label("Protocol of the library").select_option("esketamine_nasal_acute")
    expect(fresh.locator("#numbers")).to_contain_text("B")
    nasal = _api_peak("esketamine_nasal_acute", "esketamine_perezruixo2021", **ADULT)
    expect(fresh.locator("#numbers")).to_contain_text(f"{nasal:.4g} ng/mL")
    vein = _api_peak("esketamine_iv_single", "esketamine_otto2021", **ADULT)
    expect(fresh.locator("#numbers")).to_contain_text(f"{vein:.4g} ng/mL")
    fresh.get_by_role("button", name="Remove B").click()
    _tab(fresh, "Curves")
    fresh.get_by_text("Further models").first.click()
    fresh.get_by_label("esketamine_simons2022").check()
    other = _api_peak("esketamine_iv_single", "esketamine_simons2022", **ADULT)
    expect(fresh.locator("#numbers")).to_contain_text(f"{other:.4g} ng/mL")
    expect(fresh.locator("#evidence")).to_contain_text("esketamine_simons2022")


def test_a_band_of_a_population_says_how_many(fresh: Page) -> None:
    _tab(fresh, "Curves")
    fresh.get_by_label("Patients (n)").select_option("300")
    expect(fresh.locator("#evidence")).to_contain_text("300")
    fresh.get_by_label("Upper limit").fill("150")
    fresh.get_by_label("Upper limit").press("Enter")
    expect(fresh.locator("#numbers")).to_contain_text("above 150 ng/mL")


def test_an_effect_says_that_it_is_illustrative(fresh: Page) -> None:
    _tab(fresh, "Curves")
    fresh.get_by_text("Effects", exact=True).click()
    fresh.get_by_label("blood pressure, illustrative").check()
    expect(fresh.locator("#numbers")).to_contain_text("illustrative")


def test_a_lesson_from_start_to_reveal(fresh: Page, tmp_path: Path) -> None:
    from pkmodel.lessons import lesson

    made = lesson("infusion_length")
    step = made.steps[0]
    answer = step.answer()
    _tab(fresh, "Lessons")
    fresh.get_by_role("button", name=made.title).click()
    expect(fresh.locator("#lesson_picture img")).to_be_visible()
    expect(fresh.locator("#lesson_head")).to_contain_text(step.question)
    assert answer.sentence not in fresh.inner_text("body")
    fresh.get_by_role("button", name="Reveal").click()  # nothing predicted yet
    expect(fresh.locator("#messages")).to_contain_text("prediction")
    before = fresh.locator("#lesson_picture img").get_attribute("src")
    if step.kind == "choice":
        fresh.get_by_label(step.choices[0], exact=True).check()
    else:
        fresh.get_by_label("What do you predict?").fill(f"{step.low:g}")
    fresh.get_by_role("button", name="Reveal").click()
    expect(fresh.locator("#lesson_answer")).to_contain_text(answer.sentence)
    expect(fresh.locator("#lesson_step")).to_contain_text(answer.why[0])
    expect(fresh.locator("#messages")).to_be_empty()
    expect(fresh.locator("#lesson_picture img")).not_to_have_attribute("src", before or "")
    assert_accessible(fresh)
    with fresh.expect_download() as download:
        fresh.get_by_role("link", name="Worksheet", exact=True).click()
    sheet = tmp_path / "sheet.html"
    download.value.save_as(sheet)
    assert made.title in sheet.read_text(encoding="utf-8")
    fresh.get_by_role("button", name="Put it on the page").click()
    expect(_picture(fresh)).to_be_visible()
    expect(fresh.locator("#numbers")).to_contain_text(made.scene.arms[0][0])


def test_a_suggested_course_holds_the_level(fresh: Page) -> None:
    _tab(fresh, "Suggest")
    fresh.locator("#suggest_form").get_by_label("Level to reach").fill("80")
    fresh.get_by_role("button", name="Suggest", exact=True).click()
    expect(fresh.locator("#suggestion")).to_contain_text("80 ng/mL in plasma")
    fresh.get_by_role("button", name="Put it on the page").click()
    expect(_peak(fresh)).to_contain_text(re.compile(r"peaks at (8[0-4]|79)(\.\d+)? ng/mL"))


def test_the_downloaded_protocol_gives_the_same_numbers(fresh: Page, tmp_path: Path) -> None:
    """YAML, CSV and the command line of the page, in an empty folder."""
    _click(fresh, 0.5)
    _tab(fresh, "Take away")
    expect(fresh.locator("#command-text")).to_contain_text("course.yaml")
    for name in ("Protocol (YAML)", "Levels (CSV)", "Picture (PNG)"):
        with fresh.expect_download() as download:
            fresh.get_by_role("link", name=name).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    assert (tmp_path / "pkmodel.png").read_bytes().startswith(b"\x89PNG")
    words = shlex.split(fresh.locator("#command-text").inner_text())
    assert words[0] == "pkmodel"
    outcome = subprocess.run(
        [sys.executable, "-c", "from pkmodel.cli import entry; entry()", *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    shown, again = pd.read_csv(tmp_path / "levels.csv"), pd.read_csv(tmp_path / "curve.csv")
    assert len(shown) == len(again) > 500
    assert shown["value"].to_numpy() == pytest.approx(again["value"].to_numpy(), rel=1e-12, abs=1e-12)
    peak = float(re.search(r"peaks at ([\d.]+) ng/mL", _peak(fresh).inner_text())[1])  # type: ignore[index]
    highest = again["value"][again["output"] == "esketamine"].max()
    assert peak == pytest.approx(highest, rel=5e-4)  # four digits are shown


def test_a_link_brings_the_page_back(fresh: Page, new_page: Opened, address: str) -> None:
    field = fresh.get_by_label("Weight", exact=True)
    field.fill("112.5")
    field.press("Enter")
    peak = _api_peak("esketamine_iv_single", "esketamine_otto2021", **{**ADULT, "weight": "112.5 kg"})
    expect(_peak(fresh)).to_contain_text(f"{peak:.4g} ng/mL")
    _click(fresh, 0.7)
    _tab(fresh, "Take away")
    expect(fresh.locator("#command-text")).to_contain_text("course.yaml")
    link = fresh.get_by_label("Link", exact=True).input_value()
    assert link == fresh.url and link.startswith(f"{address}/?s=")
    other = _open(new_page(), link)
    expect(other.get_by_label("Weight", exact=True)).to_have_value("112.5")
    expect(other.locator("#numbers")).to_have_text(fresh.locator("#numbers").inner_text(), use_inner_text=True)
    _tab(other, "Course")
    expect(other.locator("#rows fieldset")).to_have_count(2)


@pytest.mark.parametrize("link", ["?s=nonsense", "?s=" + "A" * 9000, "?s=eJyrVipLLSpOVbJSMlWqBQAmCAS7"])
def test_a_broken_link_is_a_fresh_page_with_a_message(window: Page, address: str, link: str) -> None:
    _open(window, f"{address}/{link}")
    expect(window.locator("#messages")).to_contain_text("The link could not be read")
    expect(window.get_by_label("Weight", exact=True)).to_have_value("70")


@pytest.mark.parametrize(("text", "said"), [("-4", "weight"), ("700", "weight"), ("", "weight")])
def test_wrong_input_is_said_and_the_curve_stays(fresh: Page, text: str, said: str) -> None:
    peak, picture = _peak(fresh).inner_text(), _picture(fresh).get_attribute("alt")
    field = fresh.get_by_label("Weight", exact=True)
    field.fill(text)
    field.press("Enter")
    expect(fresh.locator("#messages")).to_contain_text(said)
    expect(fresh.locator("#messages")).to_contain_text("expected")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert (_peak(fresh).inner_text(), _picture(fresh).get_attribute("alt")) == (peak, picture)
    field.fill("80")
    field.press("Enter")
    expect(fresh.locator("#messages")).to_be_empty()
    expect(field).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (768, 1024)], ids=str)
def test_every_tab_can_be_used_by_everybody(new_page: Opened, address: str, size: tuple[int, int]) -> None:
    """axe-core finds nothing serious; the curve is in sight whatever tab is open; nothing runs off to the side."""
    page = _open(new_page(viewport={"width": size[0], "height": size[1]}), address)
    for name in ("Patient", "Course", "Curves", "Suggest", "Lessons", "Take away"):
        _tab(page, name)
        expect(page.get_by_role("tabpanel")).to_be_visible()
        expect(_picture(page)).to_be_in_viewport(ratio=0.99)
        if size == (1280, 720) or name in ("Patient", "Curves"):  # at other sizes the same elements stand elsewhere
            assert_accessible(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size[0]
    expect(page.get_by_text("For research and teaching, never for patient care.")).to_be_in_viewport()


def test_what_is_under_the_pointer_is_told(fresh: Page) -> None:
    box = _picture(fresh).bounding_box()
    assert box is not None
    fresh.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    fresh.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    expect(fresh.locator("#pointer")).to_contain_text(re.compile(r"\d:\d\d h – esketamine [\d.]+ ng/mL"))


def test_only_this_machine_is_answered(address: str) -> None:
    """A page of another site that a browser was led to under another name gets nothing."""
    from urllib.error import HTTPError

    with pytest.raises(HTTPError) as refused:
        urlopen(Request(address, headers={"Host": "evil.example"}), timeout=10)
    assert refused.value.code in (400, 403, 421)
    refused.value.close()
    port = int(address.rsplit(":", 1)[1])
    outside = socket.gethostbyname(socket.gethostname())
    if outside.startswith("127."):
        pytest.skip("this machine has no address but that of itself")
    with socket.socket() as probe, pytest.raises(OSError):
        probe.settimeout(5)
        probe.connect((outside, port))
