"""The shared C programs that mark the limit.

Without them or without a compiler there is nothing to hold a time against, and a bench says so. Without AVX-512 the
same C is compiled for four lanes (:mod:`narrow`), and a bench says that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from narrow import narrowed
from workloads import Floats

#: A line of time as the programs print it: what was run, the threads, the median and its unit.
_TIMED = re.compile(r"^(.*?)\s*threads=(\d)\s+median=\s*([\d.]+) (ms|s)", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A compiled C program; ``name`` says how it was compiled."""

    path: Path
    name: str
    inputs: str
    arguments: tuple[str, ...] = ()

    def seconds(self, variant: str, runs: int) -> Mapping[int, float]:
        """Run it: the median seconds of a variant by threads."""
        command = [str(self.path), f"inputs/{self.inputs}", "out", str(runs), *self.arguments]
        text = subprocess.run(command, cwd=self.path.parent, check=True, capture_output=True, text=True).stdout
        lines = {
            (what, int(threads)): float(median) * {"ms": 1e-3, "s": 1.0}[unit]
            for what, threads, median, unit in _TIMED.findall(text)
        }
        found = {threads: median for (what, threads), median in lines.items() if variant in what}
        if 1 not in found:
            raise ValueError(f"{self.path.name} did not print {variant!r}: {text}")
        return found

    def levels(self, columns: int) -> Floats:
        """What it wrote of the first 20 patients, (20, columns, times)."""
        table = np.loadtxt(self.path.parent / "out_subset20.csv", delimiter=",", skiprows=1)
        return table[:, 2:].reshape(20, -1, columns).transpose(0, 2, 1)


def program(folder: Path, source: str, inputs: str, *arguments: str) -> Program | str:
    """Compile a C program in the folder; or why there is none.

    Without AVX-512 it is the program on four lanes, :mod:`narrow`, and its name says so.
    """
    if not shutil.which("gcc"):
        return "no gcc to compile the C limit with"
    file, kind, flags = folder / f"{source}.c", "C", ["-mprefer-vector-width=512"]
    if not _has_avx512():
        file = folder / f"{source}_narrow.c"
        file.write_text(narrowed(source, (folder / f"{source}.c").read_text()))
        kind, flags = "C on four lanes", []
    # As the head of each program says.
    optimised = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
    command = ["gcc", *optimised, *flags, file.name, "-o", source, "-lmvec", "-lm"]
    if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode:
        return f"gcc could not make {file.name} here"
    return Program(folder / source, kind, inputs, arguments)


def _has_avx512() -> bool:
    """Whether this machine has the vectors that the C programs are written for."""
    described = Path("/proc/cpuinfo")
    return described.exists() and "avx512f" in described.read_text()
