"""A real Chromium for the tests of pages: one to a test file, and every page of a test watched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from watching import Watch

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",  # in a container the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name but the machine's own is ever looked up.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
_WAIT = 30_000  # ms; a machine under load is slow, and no test measures time
expect.set_options(timeout=_WAIT)


def _chromium() -> str:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(_NAMES)} (Debian: apt install chromium)")
    return found


# To a file and not to the session: while Playwright is up its event loop counts as running in this thread, and
# tests of other files may want one of their own.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    _chromium()
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium, headless; under pytest-xdist every worker has its own."""
    started = playwright.chromium.launch(executable_path=_chromium(), headless=True, args=list(_ARGUMENTS))
    yield started
    started.close()


@pytest.fixture
def watch() -> Watch:
    """What the pages of this test did wrong so far; the test fails at its end where it is not empty."""
    return Watch()


@pytest.fixture
def new_page(browser: Browser, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Open a page in a context of its own: ``new_page(java_script_enabled=False, viewport={...}, offline=True)``.

    The options are those of Playwright's ``new_context``. When the test is over, it fails if a page had an error in its
    console or asked anything of another machine.
    """
    contexts = []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        context.set_default_timeout(_WAIT)
        watch.follow(context)
        contexts.append(context)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()
    watch.assert_quiet()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One page of 1280 x 720, watched."""
    return new_page()
