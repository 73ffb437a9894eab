"""The page under load: many pages open at once, moving sliders, switching protocols and bands, opening and closing.

    python benches/page_load.py [--pages 50] [--minutes 10] [--browsers 1]

Starts `pkmodel app` on a free port. Every page is a websocket that says what a browser would say; a page that had its
answer thinks for a second or so before it asks again. A real browser or two look once a minute whether the page can be
used. Printed are answers, their latencies, errors, and the memory of the server and its workers once a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "tests"))

from serving import Served, served  # noqa: E402
from speaking import Speaker  # noqa: E402

PROTOCOLS = (
    "esketamine_iv_single",
    "iv_single",
    "iv_taper_dose_and_interval",
    "esketamine_nasal_acute",
    "iv_six_infusions",
)
#: What a page does next, and how often.
DEEDS = {"weight": 40, "age": 10, "limit": 10, "protocol": 6, "band": 4, "effect": 3, "click": 3, "undo": 5, "leave": 4}


@dataclass
class Tally:
    """What was answered: latencies (s) by deed, and what went wrong."""

    took: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    opened: int = 0

    def add(self, deed: str, seconds: float) -> None:
        """Count an answer."""
        self.took.setdefault(deed, []).append(seconds)


async def page(served_: Served, seed: int, until: float, tally: Tally, think: float) -> None:
    """One pupil: opens the page, plays, leaves, comes again."""
    chance = random.Random(seed)
    await asyncio.sleep(chance.uniform(0, min(10.0, think * 10)))
    while time.monotonic() < until:
        try:
            begin = time.perf_counter()
            async with Speaker(served_.address) as one:
                await one.until(lambda one=one: one.pictures, 60)
                tally.opened += 1
                tally.add("open", time.perf_counter() - begin)
                await play(one, chance, until, tally, think)
                if one.errors:
                    tally.wrong.append(f"output: {one.errors[0]}")
        except (OSError, TimeoutError) as error:
            tally.wrong.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(1)


async def play(one: Speaker, chance: random.Random, until: float, tally: Tally, think: float) -> None:
    """Do one thing after the other until it is time to leave."""
    names, weights = list(DEEDS), list(DEEDS.values())
    while time.monotonic() < until:
        deed = chance.choices(names, weights)[0]
        if deed == "leave":
            return
        begin = time.perf_counter()
        if deed == "undo":
            await one.act("undo")
            await one.edit({"new.at": "30 min"})
        elif deed == "click":
            await one.say({"method": "update", "data": {"curve_click": {"x": chance.uniform(0, 5)}}})
            await one.edit({"new.at": "30 min"})
        else:
            await one.edit(_changes(deed, chance))
        tally.add(deed, time.perf_counter() - begin)
        await asyncio.sleep(chance.expovariate(1 / think))


def _changes(deed: str, chance: random.Random) -> dict[str, object]:
    match deed:
        case "weight":
            return {"person.weight": str(chance.randint(45, 120))}
        case "age":
            return {"person.age": str(chance.randint(20, 80))}
        case "limit":
            return {"limits.upper": str(chance.choice([80, 120, 150, ""]))}
        case "protocol":
            return {"@.protocol": chance.choice(PROTOCOLS)}
        case "band":
            return {"crowd.n": chance.choice(["0", "0", "100", "300", "1000"]), "crowd.seed": chance.randint(1, 5)}
        case _:
            return {"effects": chance.choice([[], ["dissociation_olofsen2022"]])}


def memory(served_: Served) -> str:
    """MB of the server and its workers (resident), and how many processes and open files there are."""
    own, *_ = served_.family()
    workers = [round(one.memory_info().rss / 1e6) for one in served_.workers()]
    return f"server {own.memory_info().rss / 1e6:.0f} MB, workers {workers} MB, {own.num_fds()} open files"


async def watched(served_: Served, begin: float, until: float, tally: Tally, browsers: int) -> None:
    """Say once a minute how it goes."""
    minute = 0
    while True:
        now = time.monotonic()
        print(f"minute {(now - begin) / 60:4.1f}: {memory(served_)}, {_count(tally)} answers", flush=True)
        if browsers:
            try:
                took = await asyncio.to_thread(looked, served_.address, browsers)
                tally.add("in a real browser, a weight", took)
            except Exception as error:
                tally.wrong.append(f"browser: {error}")
        minute += 1
        pause = min(begin + 60 * minute, until) - time.monotonic()
        if time.monotonic() >= until:
            return
        await asyncio.sleep(max(pause, 0.01))


def looked(address: str, browsers: int) -> float:
    """Whether the page can be used: s from a change of weight to its picture, the slowest of so many browsers."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"]
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        slowest = 0.0
        for _ in range(browsers):
            window = chromium.new_page()
            window.goto(address)
            window.wait_for_selector("#curve img", timeout=60_000)
            before = window.get_attribute("#curve img", "src")
            begin = time.perf_counter()
            window.fill("#f-person-weight", str(random.randint(45, 120)) + ".5")
            window.press("#f-person-weight", "Enter")
            window.wait_for_function("(src) => document.querySelector('#curve img').src !== src", arg=before)
            slowest = max(slowest, time.perf_counter() - begin)
        chromium.close()
    return slowest


def _count(tally: Tally) -> int:
    return sum(map(len, tally.took.values()))


async def load(served_: Served, pages: int, minutes: float, browsers: int, think: float = 1.0) -> Tally:
    """Load a page that is served, and tell."""
    tally = Tally()
    begin = time.monotonic()
    until = begin + 60 * minutes
    pupils = [page(served_, seed, until, tally, think) for seed in range(pages)]
    await asyncio.gather(*pupils, watched(served_, begin, until, tally, browsers))
    return tally


def main() -> None:
    """Load and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--browsers", type=int, default=1)
    parser.add_argument(
        "--think", type=float, default=1.0, help="s between an answer and the next question, on average"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as one:
        tally = asyncio.run(load(one, asked.pages, asked.minutes, asked.browsers, asked.think))
        time.sleep(5)
        print(f"all have left: {memory(one)}")
        log = one.said()
    whole = sorted(seconds for took in tally.took.values() for seconds in took)
    print(f"\n{len(whole)} answers, {tally.opened} pages opened, {len(tally.wrong)} errors")
    for deed, took in [*sorted(tally.took.items()), ("all", whole)]:
        parts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 99
        print(
            f"{deed:28} n {len(took):6}  median {parts[49]:6.2f} s  95 % {parts[94]:6.2f} s  slowest {max(took):6.2f} s"
        )
    for line in dict.fromkeys(tally.wrong):
        print(f"wrong: {line} ({tally.wrong.count(line)} times)")
    print(f"log of the server, {len(log)} bytes:\n{log}")


if __name__ == "__main__":
    main()
