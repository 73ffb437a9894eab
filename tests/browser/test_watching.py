"""The watch over pages sees what it is there to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from watching import Watch, assert_accessible

pytestmark = pytest.mark.xdist_group("watching")  # one browser for all of them

WHOLE = (
    "<!doctype html><html lang='en'><head><title>A page</title>{head}</head><body><main><h1>A page</h1>{body}</main>"
)


def written(folder: Path, body: str, head: str = "") -> str:
    place = folder / "page.html"
    place.write_text(WHOLE.format(body=body, head=head), encoding="utf-8")
    return place.as_uri()


def wait_for(page: Page, recorded: list[str]) -> None:
    """Wait until something was recorded, 10 s at most."""
    for _ in range(200):
        if recorded:
            return
        page.wait_for_timeout(50)


def test_a_page_without_fault(page: Page, tmp_path: Path) -> None:
    page.goto(written(tmp_path, "<p>Words.</p>"))
    assert page.title() == "A page"
    assert_accessible(page)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<script>console.error('a complaint')</script>", "a complaint"),
        ("<script>throw new Error('a fault')</script>", "a fault"),
    ],
)
def test_errors_are_seen(page: Page, watch: Watch, tmp_path: Path, body: str, said: str) -> None:
    page.goto(written(tmp_path, body))
    wait_for(page, watch.errors)
    with pytest.raises(AssertionError, match=said):
        watch.assert_quiet()
    watch.errors.clear()


@pytest.mark.parametrize(
    "body",
    ["<img alt='x' src='https://example.org/x.png'>", "<script>new WebSocket('wss://example.org/y')</script>"],
)
def test_requests_to_others_are_seen(page: Page, watch: Watch, tmp_path: Path, body: str) -> None:
    page.goto(written(tmp_path, body))
    wait_for(page, watch.outside)
    wait_for(page, watch.errors)
    with pytest.raises(AssertionError, match=r"example\.org"):
        watch.assert_quiet()
    watch.outside.clear()
    watch.errors.clear()  # the name is not found, which the console says too


def test_barriers_are_seen_where_scripts_are_forbidden(page: Page, tmp_path: Path) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:\">"
    page.goto(written(tmp_path, "<p>Words.</p><img src='data:,'>", policy))
    with pytest.raises(AssertionError, match="image-alt"):
        assert_accessible(page)
    assert_accessible(page, except_for=("image-alt",))


def test_a_page_of_its_own_kind(new_page: Callable[..., Page], tmp_path: Path) -> None:
    plain = new_page(java_script_enabled=False, offline=True)
    plain.goto(written(tmp_path, "<p id=p>before</p><script>document.getElementById('p').textContent='after'</script>"))
    assert plain.inner_text("#p") == "before"
