"""The page served by the command as a user types it, for tests that talk to it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil


@dataclass(frozen=True)
class Served:
    """A page that is served; ``log`` is what the command wrote to standard error."""

    address: str
    port: int
    process: subprocess.Popen[str]
    log: Path

    def family(self) -> list[psutil.Process]:
        """The server and what it started."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes that compute."""
        return [one for one in self.family()[1:] if "spawn_main" in " ".join(one.cmdline())]

    def said(self) -> str:
        """The log until now."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def served(folder: Path, *, within: float = 120.0) -> Iterator[Served]:
    """Serve the page from a folder until the test is over."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-c", "from pkmodel.cli import entry; entry()", "app", "--no-browser", "--port", str(port)]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=file, text=True, cwd=folder)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{port}", log.read_text(encoding="utf-8")
        _wait(address, process, within)
        yield Served(address, port, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        process.stdout.close()


def _wait(address: str, process: subprocess.Popen[str], within: float) -> None:
    until = time.monotonic() + within
    while True:
        try:
            urlopen(address, timeout=5).close()
        except OSError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.1)
        else:
            return
