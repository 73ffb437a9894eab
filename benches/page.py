"""How fast the page is: first curve, redraw while a slider moves, a band, and ten browsers at once.

    python benches/page.py [--browsers 10]

Starts `pkmodel app` on a free port and drives Debian's Chromium, headless. Times are in ms, from the event in the
browser to the picture that belongs to it, as the browser sees them; the median and the slowest are printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"]
#: Notes when the picture changes, and gives the time from now to the next picture.
WATCH = """() => {
  window.nextPicture = (act) => new Promise((done) => {
    const box = document.getElementById("curve");
    const begin = performance.now();
    const look = new MutationObserver(async () => {
      const img = box.querySelector("img");
      if (!img) return;
      await img.decode().catch(() => {});
      look.disconnect();
      done(performance.now() - begin);
    });
    look.observe(box, { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] });
    act();
  });
}"""
MOVE = """async (weight) => {
  const el = document.getElementById("f-person-weight-slider");
  return await nextPicture(() => { el.value = weight; el.dispatchEvent(new Event("input", { bubbles: true })); });
}"""
BAND = """async (seed) => {
  const el = document.getElementById("f-crowd-seed");
  const begin = performance.now();
  const has = () => document.querySelector("#curve img").alt.includes("n = 1,000");
  const until = async (test) => { while (!test()) await new Promise((done) => setTimeout(done, 4)); };
  el.value = seed;
  el.dispatchEvent(new Event("change", { bubbles: true }));
  await until(() => !has());
  await until(has);
  return performance.now() - begin;
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--browsers", type=int, default=10)
    asked = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = Path(__file__).parent.parent
    command = [
        sys.executable,
        "-c",
        "from pkmodel.cli import entry; entry()",
        "app",
        "--no-browser",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "PYTHONPATH": str(here)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=None, text=True, env=environment) as app:
        assert app.stdout is not None
        address = app.stdout.readline().strip()
        try:
            with sync_playwright() as started:
                chromium = started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
                measure(chromium, address, asked.browsers)
                chromium.close()
        finally:
            app.terminate()


def measure(chromium: Browser, address: str, browsers: int) -> None:
    """All figures, one line each."""
    first = []
    for _ in range(5):
        page = chromium.new_page(viewport={"width": 1280, "height": 720})
        first.append(opened(page, address))
        page.close()
    said("first curve after opening", first)
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    opened(page, address)
    page.wait_for_timeout(500)
    said("redraw of one patient, slider", [page.evaluate(MOVE, 50 + 2 * step) for step in range(20)])
    page.click("#tab-curves")
    page.select_option("#f-crowd-n", "1000")
    page.wait_for_timeout(3000)
    said("band of 1,000 patients", [page.evaluate(BAND, seed) for seed in range(2, 8)])
    said("redraw under a band of 1,000", [page.evaluate(MOVE, 51 + 2 * step) for step in range(20)])
    page.close()
    pages = [chromium.new_page(viewport={"width": 1280, "height": 720}) for _ in range(browsers)]
    for page in pages:
        opened(page, address)
    pages[0].wait_for_timeout(1000)
    rounds = []
    for step in range(4):
        for place, page in enumerate(pages):  # all at once, none with the weight of a fresh page
            page.evaluate(f"() => {{ window.result = ({MOVE})({61.5 + step + 5 * place}); }}")
        rounds += [page.evaluate("async () => await window.result") for page in pages]
    said(f"redraw in {browsers} browsers at once", rounds)


def opened(page: Page, address: str) -> float:
    """Open the page; ms until its first curve is drawn."""
    page.goto(address, wait_until="commit")
    page.wait_for_selector("#curve img")
    took = page.evaluate("performance.now()")
    page.evaluate(WATCH)
    return float(took)


def said(what: str, times: list[float]) -> None:
    """Print the median and the slowest."""
    print(
        f"{what:36} median {statistics.median(times):7.0f} ms   slowest {max(times):7.0f} ms   n {len(times)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
