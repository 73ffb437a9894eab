"""Fuzzing led by the code that it reaches (atheris, libFuzzer): ``python tests/fuzz/guided.py -max_total_time=300``.

The other job changes files in ways that somebody thought of. Here bytes are changed, and what reaches new lines of the
readers is kept and changed further. Options are those of libFuzzer; inputs that fail are left as ``crash-...``. Needs
``pip install atheris``, which has wheels for Linux only.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pkmodel"]):
    from pkmodel import kept_json, units
    from pkmodel.app.link import unpacked
    from pkmodel.app.messages import Illegal, Reader
    from pkmodel.errors import InputError
    from pkmodel.specs.expressions import parse_expression
    from pkmodel.specs.kinds import check_file
    from pkmodel.specs.library import load_population

#: Memory is where files are cheap.
_FOLDER = Path(tempfile.mkdtemp(prefix="guided-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def _written(name: str, data: bytes) -> Path:
    file = _FOLDER / name
    file.write_bytes(data)
    return file


def _yaml(data: bytes) -> None:
    check_file(_written("file.yaml", data))


def _formula(data: bytes) -> None:
    found = parse_expression(data.decode("utf-8", errors="surrogateescape"))
    found.evaluate(dict.fromkeys(found.names, 70.0))


def _quantity(data: bytes) -> None:
    value = units.parse(data.decode("utf-8", errors="surrogateescape"), allow_plain=True).value
    if value != value or abs(value) == float("inf"):
        raise AssertionError("a quantity that is no number")


def _people(data: bytes) -> None:
    load_population({"title": "x", "from_csv": {"file": str(_written("people.csv", data))}})


def _kept(data: bytes) -> None:
    found = kept_json.read(_written("inputs.json", data), "a run's")
    for shape in (kept_json.Inputs, kept_json.Identity, kept_json.Manifest, kept_json.Findings):
        with contextlib.suppress(InputError):
            kept_json.checked(found, shape, "file")


def _message(data: bytes) -> None:
    reader = Reader()
    for line in data.decode("utf-8", errors="replace").splitlines():
        with contextlib.suppress(Illegal):
            reader.read(line)


def _link(data: bytes) -> None:
    unpacked(data.decode("utf-8", errors="replace"))


#: What the first byte of an input chooses.
READERS: tuple[Callable[[bytes], None], ...] = (_yaml, _formula, _quantity, _people, _kept, _message, _link)


def one(data: bytes) -> None:
    """Read one input; what is refused is refused by an InputError and by nothing else."""
    if len(data) < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(InputError):
            READERS[data[0] % len(READERS)](data[1:])


def seeds(folder: Path) -> None:
    """Shipped files and a few texts to begin with."""
    from corpus import KINDS, texts

    own = [(0, text.encode()) for kind in KINDS for text in texts(kind)]
    own += [(1, b"CL * (weight / 70) ** 0.75 + where(age > 60, 1, 0)"), (2, b"0.5 mg/kg"), (2, b"14.2 L/h/70kg")]
    own += [(3, b"age,weight,height,sex\n40,70,170,female\n"), (5, b'{"method":"init","data":{}}\n{"method":"update"}')]
    own += [(4, b'{"format": 1, "n": 5, "seed": 1, "models": [], "files": [], "scenario": {"name": "x"}}')]
    for number, (reader, text) in enumerate(own):
        (folder / f"seed{number:03d}").write_bytes(bytes([reader]) + text)


def main() -> None:
    """Fuzz until the options of libFuzzer say that it is enough."""
    with tempfile.TemporaryDirectory(prefix="guided-corpus-") as folder:
        seeds(Path(folder))
        # A minute for one input is a hang; libFuzzer's own limit of memory counts all that numpy maps.
        words = [*sys.argv, folder, "-timeout=10", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1"]
        atheris.Setup(words, one)
        os.environ.setdefault("PYTHONHASHSEED", "0")
        atheris.Fuzz()


if __name__ == "__main__":
    main()
