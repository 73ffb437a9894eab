"""report.html in a real browser: opened from the disk, without a network and without scripts."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from watching import assert_accessible

import pkmodel as pk

pytestmark = pytest.mark.xdist_group("report")  # one run and one browser for all of them

Opened = Callable[..., Page]
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> & {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two arms with rules, a comparison and patients who break rules."""
    out = tmp_path_factory.mktemp("run") / "out"
    pk.run(pk.load_scenario("iv_versus_nasal").with_options(n=80), out=out)
    return out


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_read_from_the_disk_without_network_or_scripts(new_page: Opened, run: Path) -> None:
    """Every figure of findings.csv is on the page; the watch sees that nothing was asked for or complained of."""
    page = new_page(offline=True, java_script_enabled=False)
    page.goto((run / "report.html").as_uri())
    assert page.locator("h1").inner_text().startswith("Esketamine into a vein or by the nose")
    text = _plain(page.inner_text("main"))
    with (run / "findings.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    for row in rows:
        table = page.locator("table", has_text=f"{row['rule']}, {row['window']}. Limit:")
        line = _plain(table.locator("tbody tr", has_text=row["arm"]).inner_text())
        for share in ("share", "low", "high", "exact_low", "exact_high"):
            assert f"{100 * float(row[share]):.1f}" in line, (row["rule"], row["arm"], share)
        assert f"{int(row['n_met'])} of 80" in line
        assert row["verdict"] in line
        assert f"Limit: {float(row['limit']):g} {row['unit']}" in text
        assert f"required share: {100 * float(row['required']):g} %" in text
    assert page.locator("img").count() == 2
    for picture in page.locator("img").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 1000")


@pytest.mark.parametrize("width", [1280, 400])
def test_accessible_on_wide_and_narrow_screens(new_page: Opened, run: Path, width: int) -> None:
    """No barrier that axe-core finds; headings in order; nothing wider than the screen but what scrolls by itself."""
    page = new_page(viewport={"width": width, "height": 720})
    page.goto((run / "report.html").as_uri())
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    levels = [int(tag[1]) for tag in page.locator("h1, h2, h3").evaluate_all("all => all.map(h => h.tagName)")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(len(alt) > 100 for alt in page.locator("img").evaluate_all("all => all.map(i => i.alt)"))


def test_links_of_the_contents_lead_to_sections(page: Page, run: Path) -> None:
    """In the order of the sections, by keyboard too."""
    page.goto((run / "report.html").as_uri())
    targets = page.locator("nav a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert targets == page.locator("main section").evaluate_all("all => all.map(s => '#' + s.id)")
    page.locator("nav a", has_text="Provenance").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#provenance').getBoundingClientRect().top") < 720


def test_prints_on_a4(page: Page, run: Path) -> None:
    """Several pages of 210 x 297 mm."""
    page.goto((run / "report.html").as_uri())
    made = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", made)
    assert 4 <= len(boxes) <= 12
    assert all(
        float(width) == pytest.approx(595, abs=1) and float(height) == pytest.approx(842, abs=1)
        for width, height in boxes
    )


def test_a_title_with_markup_is_text(page: Page, tmp_path: Path) -> None:
    """Whatever a file says in words is shown and not run."""
    protocol: dict[str, Any] = {
        "title": HOSTILE,
        "drug": "ketamine",
        "route": "iv",
        "notes": [HOSTILE],
        "phases": [
            {"name": "<script>{{ 7 * 7 }}</script>", "dose": "30 mg", "over": "40 min", "sessions": {"days": [1]}}
        ],
    }
    tree = {
        "title": HOSTILE,
        "question": HOSTILE,
        "context_of_use": HOSTILE,
        "arms": {"one": {"protocol": protocol}},
        "model": "ketamine_clements1981",
        "population": "adults_trials",
        "n": 5,
        "observe": {"every": "1 h", "for": "2 h"},
        "rules": [{"id": "high", "metric": "peak", "at_most": "200 ng/mL", "in": "90 %", "title": HOSTILE}],
        "notes": [HOSTILE],
    }
    pk.run(pk.load_scenario(tree), out=tmp_path)
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() == HOSTILE
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("script, img:not([src^='data:'])").count() == 0
    assert page.inner_text("body").count("{{ 7 * 7 }}") == 8
