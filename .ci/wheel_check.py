"""What the wheel must do where nothing but its environment is: called by .ci/pythons in an empty directory.

python wheel_check.py DIRECTORY
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BIN = Path(sys.executable).parent
#: No compiler can be found, or would work: only the environment is on the PATH.
ENVIRONMENT = {
    "PATH": str(BIN),
    "HOME": os.environ["HOME"],
    "CC": "/bin/false",
    "CXX": "/bin/false",
    "LC_ALL": "C.UTF-8",
}
PORT = 8791


def run(*words: str, folder: str) -> None:
    """Run a command, and say how long it took."""
    begin = time.perf_counter()
    subprocess.run([BIN / words[0], *words[1:]], cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    print(f"{time.perf_counter() - begin:6.1f} s  {' '.join(words)}", flush=True)


def page(folder: str) -> None:
    """The page answers."""
    begin = time.perf_counter()
    app = subprocess.Popen([BIN / "pkmodel", "app", "--port", str(PORT)], cwd=folder, env=ENVIRONMENT)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5) as answer:
                    text = answer.read().decode()
                    break
            except OSError:
                if app.poll() is not None or time.perf_counter() - begin > 300:
                    raise
                time.sleep(0.2)
    finally:
        app.terminate()
        app.wait(30)
    if "for patient care" not in text:
        raise SystemExit("the page does not say what it is not for")
    print(f"{time.perf_counter() - begin:6.1f} s  pkmodel app, until it answers", flush=True)


def size(folder: Path) -> float:
    """MB of what is under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Run all of it."""
    folder = sys.argv[1]
    print(f"{size(BIN.parent):6.0f} MB installed, with the page")
    run("python", "-c", "import pkmodel", folder=folder)
    run("python", "-c", "import pkmodel", folder=folder)
    run("pkmodel", "--help", folder=folder)
    run("pkmodel", "selftest", folder=folder)
    run("pkmodel", "selftest", folder=folder)
    run("pkmodel", "verify", "ketamine_clements1981", folder=folder)
    run("pkmodel", "run", "iv_taper_versus_flat", "--n", "200", folder=folder)
    if not (Path(folder) / "results" / "iv_taper_versus_flat" / "report.html").is_file():
        raise SystemExit("the run left no report")
    page(folder)


if __name__ == "__main__":
    main()
