"""The page in a real browser, served by a real process: what a class would do with it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from watching import Watch, assert_accessible

import pkmodel as pk
from pkmodel.app.link import packed
from pkmodel.app.readouts import peak_sentence
from pkmodel.app.state import Arm, Person, Row, State

START = "from pkmodel.cli import entry; entry()"
PROTOCOL, MODEL = "esketamine_iv_single", "esketamine_otto2021"
TABS = ("patient", "course", "curves", "suggest", "lessons", "take")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of `pkmodel app` in a process of its own."""
    command = [sys.executable, "-c", START, "app", "--no-browser", "--port", str(free_port())]
    folder = str(Path(pk.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": folder, "MPLBACKEND": "agg"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address), address
        yield address
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def fresh(server: str, page: Page) -> Page:
    """A fresh page with its first curve."""
    return opened(page, server)


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#curve img")).to_be_visible()
    expect(page.locator("#headline")).not_to_be_empty()
    return page


def tab(page: Page, name: str) -> None:
    page.click(f"#tab-{name}")
    expect(page.locator(f"#panel-{name}")).to_be_visible()


def put(page: Page, field: str, text: str) -> None:
    """Type into a field and leave it with Enter."""
    page.fill(f"#{field}", text)
    page.press(f"#{field}", "Enter")


def peak_text(weight: str, protocol: object = PROTOCOL, model: str = MODEL) -> str:
    """What the page must say of the peak, by the public API."""
    patient = pk.Patient(weight=weight, age="40 y", sex="female", height="170 cm")
    table = pk.simulate(protocol, model, patient).sessions()  # type: ignore[arg-type]
    parent = table[table["output"] == pk.load_model(model).parent]
    return f"{parent['peak'].max():.4g} ng/mL"


def on_the_curve(page: Page, hours: float, until: float) -> tuple[float, float]:
    """Where a time is on the screen, by the pointer's own read-out."""
    box = page.locator("#curve img").bounding_box()
    assert box is not None
    low, high = box["x"] + 0.05 * box["width"], box["x"] + 0.98 * box["width"]
    y = box["y"] + 0.4 * box["height"]
    for _ in range(12):
        x = (low + high) / 2
        page.mouse.move(x, y)
        expect(page.locator("#pointer")).to_contain_text(" h ")
        page.wait_for_timeout(140)
        hour, minute = page.inner_text("#pointer").split(" h")[0].split(":")
        at = int(hour) + int(minute) / 60
        if abs(at - hours) < 0.012:
            break
        low, high = (x, high) if at < hours else (low, x)
    return x, y


def test_the_weight_changes_the_peak_to_that_of_the_api(fresh: Page) -> None:
    expect(fresh.locator("#headline")).to_contain_text(peak_text("70 kg"))
    put(fresh, "f-person-weight", "104")
    expect(fresh.locator("#headline")).to_contain_text(peak_text("104 kg"))
    assert fresh.input_value("#f-person-weight-slider") == "104"
    fresh.focus("#f-person-weight-slider")
    fresh.keyboard.press("ArrowRight")
    expect(fresh.locator("#headline")).to_contain_text(peak_text("105 kg"))
    assert peak_text("105 kg").partition(" ")[0] in str(fresh.get_attribute("#curve img", "alt"))
    fresh.select_option("#f-person-weight_unit", "lb")
    expect(fresh.locator("#f-person-weight")).to_have_value("231.5")
    fresh.click("#undo")
    fresh.click("#undo")
    expect(fresh.locator("#f-person-weight")).to_have_value("104")
    expect(fresh.locator("#headline")).to_contain_text(peak_text("104 kg"))


def test_a_click_adds_a_dose_and_a_double_click_opens_it(fresh: Page) -> None:
    x, y = on_the_curve(fresh, 3.0, 7.0)
    fresh.mouse.click(x, y)
    fresh.wait_for_function("location.search.length > 5")
    tab(fresh, "course")
    at = fresh.locator("#f-a-rows-1-at")
    expect(at).to_have_value(re.compile(r"^(17[89]|18[012]) min$|^3 h$"))
    arm = Arm(
        source="rows",
        drug="esketamine",
        rows=(Row(dose=0.5, over="40 min"), Row(dose=0.2, at=at.input_value())),
    )
    from pkmodel.app.course import protocol_of

    spec = protocol_of(arm)
    patient = pk.Patient(weight="70 kg", age="40 y", sex="female", height="170 cm")
    table = pk.simulate(spec, MODEL, patient).sessions()
    highest = table[table["output"] == "noresketamine"]["peak"].max()
    expect(fresh.locator("#numbers")).to_contain_text(f"{highest:.4g} ng/mL")
    tab(fresh, "patient")
    x, y = on_the_curve(fresh, 3.0, 9.0)
    fresh.mouse.dblclick(x, y)
    expect(fresh.locator("#f-a-rows-1-dose")).to_be_focused()
    fresh.click("#undo")
    expect(fresh.locator("#f-a-rows-1-dose")).to_have_count(0)
    fresh.click("#redo")
    expect(fresh.locator("#f-a-rows-1-dose")).to_have_count(1)


def test_a_second_course_is_laid_over_the_first(fresh: Page) -> None:
    tab(fresh, "course")
    fresh.click("[data-act=beside]")
    expect(fresh.locator("[data-act=arm][data-arg=b]")).to_have_attribute("aria-pressed", "true")
    fresh.select_option("#f-arm-protocol", "iv_single")
    expect(fresh.locator("#headline")).to_contain_text(f"A {peak_text('70 kg')}")
    second = peak_text("70 kg", "iv_single", "ketamine_clements1981")
    expect(fresh.locator("#headline")).to_contain_text(f"B {second}")
    tab(fresh, "curves")
    fresh.select_option("#f-crowd-n", "300")
    expect(fresh.locator("#evidence")).to_contain_text("ketamine_clements1981")
    fresh.click("text=Effects")
    fresh.check("#f-effects-dissociation_olofsen2022")
    expect(fresh.locator("#numbers")).to_contain_text("dissociation")


def test_a_lesson_from_start_to_reveal(fresh: Page) -> None:
    from pkmodel.lessons import lesson

    step = lesson("bolus").steps[0]
    tab(fresh, "lessons")
    fresh.click("[data-act=lesson][data-arg=bolus]")
    expect(fresh.locator("#lesson_picture img")).to_be_visible()
    expect(fresh.locator("#lesson_head")).to_contain_text(step.question)
    fresh.click("#reveal")
    expect(fresh.locator("#messages")).to_contain_text("prediction")
    assert step.answer().sentence not in fresh.content()
    if step.kind == "number":
        fresh.fill("#prediction", f"{(step.low + step.high) / 2:g}")
    else:
        fresh.check("#choice-0")
    fresh.click("#reveal")
    expect(fresh.locator("#lesson_answer")).to_contain_text(step.answer().sentence)
    expect(fresh.locator("#lesson_picture img")).to_have_attribute("alt", step.alt(revealed=True))
    with fresh.expect_download() as caught:
        fresh.click("#sheet")
    assert lesson("bolus").title in Path(caught.value.path()).read_text(encoding="utf-8")
    fresh.click("[data-act=play]")
    expect(fresh.locator("#stage-curve")).to_be_visible()
    expect(fresh.locator("#headline")).to_contain_text("B (")


def test_what_is_downloaded_gives_the_same_numbers(
    fresh: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from typer.testing import CliRunner

    from pkmodel.cli.commands import app

    tab(fresh, "course")
    put(fresh, "f-new-at", "2 h")
    put(fresh, "f-new-dose", "0.15")
    fresh.click("#add-dose")
    expect(fresh.locator("#f-a-rows-1-at")).to_have_value("2 h")
    tab(fresh, "take")
    expect(fresh.locator("#command-text")).to_contain_text("course.yaml")
    for link, name in (("#yaml_a", "course.yaml"), ("#csv", "page.csv")):
        with fresh.expect_download() as caught:
            fresh.click(link)
        caught.value.save_as(tmp_path / name)
    line = fresh.inner_text("#command-text")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    ours, theirs = pd.read_csv("page.csv"), pd.read_csv("curve.csv")
    assert (ours["value"].to_numpy() == theirs["value"].to_numpy()).all()
    with fresh.expect_download() as caught:
        fresh.click("#png")
    assert Path(caught.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_link_restores_the_page(server: str, new_page: Callable[..., Page]) -> None:
    state = State(person=Person(weight=58, age=70), a=Arm(protocol="iv_single", model="ketamine_kamp2020"))
    first = opened(new_page(), f"{server}/?s={packed(state)}")
    patient = pk.Patient(weight="58 kg", age="70 y", sex="female", height="170 cm")
    peak = pk.simulate("iv_single", "ketamine_kamp2020", patient).sessions()["peak"].max()
    expect(first.locator("#headline")).to_contain_text(f"{peak:.4g} ng/mL")
    expect(first.locator("#f-person-weight")).to_have_value("58")
    put(first, "f-person-age", "41")
    first.wait_for_function("old => location.search !== old", arg=f"?s={packed(state)}")
    second = opened(new_page(), first.url)
    expect(second.locator("#f-person-age")).to_have_value("41")
    expect(second.locator("#f-person-weight")).to_have_value("58")


def test_a_damaged_link_opens_a_fresh_page(server: str, page: Page) -> None:
    opened(page, f"{server}/?s=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    expect(page.locator("#messages")).to_contain_text("The link could not be read")
    expect(page.locator("#headline")).to_contain_text(peak_text("70 kg"))


def test_wrong_input_shows_a_message_and_keeps_the_curve(fresh: Page) -> None:
    before = fresh.inner_text("#headline")
    put(fresh, "f-person-weight", "900")
    expect(fresh.locator("#messages")).to_contain_text("weight: found 900 kg")
    expect(fresh.locator("#f-person-weight")).to_have_attribute("aria-invalid", "true")
    assert fresh.inner_text("#headline") == before
    put(fresh, "f-person-weight", "80")
    expect(fresh.locator("#headline")).to_contain_text(peak_text("80 kg"))
    expect(fresh.locator("#messages")).to_have_text("")
    tab(fresh, "course")
    fresh.click("text=Edit it as rows")
    put(fresh, "f-a-rows-0-over", "forty")
    expect(fresh.locator("#messages")).to_contain_text("row 1, over: found forty")
    # What is right goes on while something is wrong; and what was wrong is taken when it is mended.
    tab(fresh, "patient")
    put(fresh, "f-person-weight", "60")
    expect(fresh.locator("#headline")).to_contain_text(peak_text("60 kg"))
    tab(fresh, "course")
    expect(fresh.locator("#f-a-rows-0-over")).to_have_value("forty")
    put(fresh, "f-a-rows-0-over", "20 min")
    expect(fresh.locator("#headline")).to_contain_text("20 min after the start")


def test_a_level_is_suggested_and_followed(fresh: Page) -> None:
    tab(fresh, "suggest")
    fresh.click("#suggest")
    expect(fresh.locator("#suggestion")).to_contain_text("100 ng/mL in plasma")
    fresh.click("#follow")
    expect(fresh.locator("#headline")).to_contain_text(re.compile(r"peaks at (9\d|10[0-5])"))
    fresh.fill("#s-level", "")
    fresh.click("#suggest")
    expect(fresh.locator("#messages")).to_contain_text("level: found nothing")


def test_keyboard_alone(fresh: Page) -> None:
    fresh.focus("#tab-patient")
    fresh.keyboard.press("ArrowRight")
    expect(fresh.locator("#tab-course")).to_be_focused()
    expect(fresh.locator("#panel-course")).to_be_visible()
    for _ in range(40):
        fresh.keyboard.press("Tab")
        if fresh.evaluate("document.activeElement.id") == "f-new-at":
            break
    fresh.keyboard.press("Control+A")
    fresh.keyboard.type("90 min")
    for _ in range(5):
        fresh.keyboard.press("Tab")
        if fresh.evaluate("document.activeElement.id") == "add-dose":
            break
    fresh.keyboard.press("Enter")
    expect(fresh.locator("#f-a-rows-1-at")).to_have_value("90 min")
    fresh.focus("#tab-course")
    fresh.keyboard.press("Control+Z")
    expect(fresh.locator("#f-a-rows-1-at")).to_have_count(0)


@pytest.mark.parametrize("size", [(1280, 720), (768, 1024)])
def test_no_barrier_on_any_tab(server: str, new_page: Callable[..., Page], size: tuple[int, int]) -> None:
    page = opened(new_page(viewport={"width": size[0], "height": size[1]}), server)
    for name in TABS:
        tab(page, name)
        page.wait_for_timeout(250)
        assert_accessible(page)
    tab(page, "course")
    page.click("text=Edit it as rows")
    expect(page.locator("#f-a-rows-0-dose")).to_be_visible()
    page.click("#nurse-box summary")
    expect(page.locator("#nurse table")).to_be_visible()
    assert_accessible(page)
    tab(page, "lessons")
    page.click("[data-act=lesson] >> nth=0")
    expect(page.locator("#lesson_picture img")).to_be_visible()
    assert_accessible(page)


def test_curve_and_controls_need_no_scrolling(fresh: Page) -> None:
    assert fresh.evaluate("document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth")
    expect(fresh.locator("footer")).to_be_in_viewport()
    expect(fresh.locator("footer")).to_contain_text("For research and teaching, never for patient care.")
    box = fresh.locator("#curve img").bounding_box()
    assert box is not None and box["height"] > 350


def test_nothing_is_asked_of_another_machine(fresh: Page, watch: Watch) -> None:
    for name in TABS:
        tab(fresh, name)
    watch.assert_quiet()


def test_the_sentence_of_the_peak_is_that_of_the_readouts() -> None:
    assert peak_sentence([], {}) == ""
