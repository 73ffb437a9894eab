"""Runs one input and says what came of it: valid, refused, or a failure of ours.

Allowed is a valid result without NaN, or an error that says what is wrong: exit code 2 for input (or 3 with a sentence
where a solver or the machine gives up), nothing on standard output beside it, no file left. Not allowed is a traceback,
a warning, more than :data:`SECONDS`, more than :data:`MEMORY`, or a file that was begun.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corpus import written

import pkmodel as pk
from pkmodel import cli, units
from pkmodel.errors import InputError, PkmodelError, RunError
from pkmodel.specs.expressions import parse_expression

#: Seconds and bytes that one input may take.
SECONDS, MEMORY = 10.0, 1_000_000_000

VALID, REFUSED, GAVE_UP, FAILED = "valid", "refused", "gave up", "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of an input; ``why`` tells of a failure, ``mark`` is where it was."""

    what: str
    seconds: float
    memory: int
    why: str = ""
    mark: str = ""


class Wrong(AssertionError):
    """Something was let through that must not be."""


class _TooLong(BaseException):
    """An input took too long; no handler of ours takes it for its own."""


def judge(kind: str, given: Any) -> Outcome:
    """Run an input of a kind in a folder of its own."""
    before, began = _peak(), time.perf_counter()
    what, why, mark = FAILED, "", ""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        try:
            with _limited(), warnings.catch_warnings():
                warnings.simplefilter("error")
                what = RUNNERS[kind](given)
        except InputError as error:
            what = REFUSED
            if not error.problems or not all(item.found and item.expected for item in error.problems):
                what, why = FAILED, "an error that says nothing"
        except RunError as error:
            what = GAVE_UP
            if len(str(error)) < 10:
                what, why = FAILED, "an error that says nothing"
        except _TooLong as late:
            why, mark = f"over {SECONDS:g} s", _mark(late)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            why, mark = "".join(traceback.format_exception(error))[-4000:], _mark(error)
        finally:
            os.chdir(here)
    grown = max(_peak() - before, 0)
    if grown > MEMORY and what != FAILED:
        what, why = FAILED, f"{grown / 1e6:.0f} MB more memory"
    return Outcome(what, time.perf_counter() - began, grown, why, mark)


def _peak() -> int:
    """The most memory that this process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _mark(error: BaseException) -> str:
    """Where an exception was raised, the last place in our own code: two failures with one mark are one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}pkmodel{os.sep}" in frame.filename] or frames
    return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else type(error).__name__


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """No longer than :data:`SECONDS`."""

    def late(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _command(*words: str) -> tuple[int, str, str]:
    """Run a command line in this process; its exit code, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    given, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["pkmodel", *words]
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = given
        signal.signal(signal.SIGTERM, handler)
    return int(code or 0), out.getvalue(), err.getvalue()


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def _finite(values: Any, what: str) -> None:
    _expect(bool(np.isfinite(np.asarray(values, dtype=float)).all()), f"a number of {what} is not finite")


def _checked(text: str | bytes, name: str = "file.yaml") -> bool:
    """Whether ``pkmodel check`` calls a file valid; anything but exit 0 or 2 with a clear error is a failure."""
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass"))
    code, out, err = _command("check", name)
    _expect(code in (0, 2), f"exit {code}: {err}")
    _still(out + err)
    if code == 2:
        lines = err.splitlines()
        _expect(
            bool(lines) and all(line.startswith(("error: ", "note: ")) or " " in line for line in lines),
            f"said {err!r}",
        )
        _expect("Traceback" not in err and len(err) < 20_000, f"said {err[:2000]!r}")
        _expect(any(line.startswith("error: ") for line in lines), f"no error in {err!r}")
    else:
        _expect("a valid" in out, f"said {out!r}")
    return code == 0


def _still(said: str) -> None:
    """Nothing that a terminal would obey is printed."""
    acting = {letter for letter in said if not letter.isprintable() and letter not in "\n\t\u00a0\u202f\u2009"}
    _expect(not acting, f"printed {acting}")


def _raw(content: bytes) -> str:
    return VALID if _checked(content) else REFUSED


def _model(tree: Any) -> str:
    if not _checked(written(tree)):
        return REFUSED
    model = pk.load_model("file.yaml")
    for protocol in ("iv_single", "esketamine_iv_single", "esketamine_nasal_acute"):
        try:
            _simulated(protocol, model)
        except InputError:
            continue
        except RunError as error:
            _expect(len(str(error)) > 20, "a run that failed without a reason")
    return VALID


def _simulated(protocol: Any, model: Any) -> None:
    patient = pk.Patient(weight="70 kg", age="40 y", sex="female", height="165 cm", ancestry="other")
    result = pk.simulate(protocol, model, patient, until="12 h", every="1 h", drug="own")
    _finite(result.to_pandas()["value"], "the levels")
    _finite(result.sessions().select_dtypes("number"), "the sessions")


def _protocol(tree: Any) -> str:
    if not _checked(written(tree)):
        return REFUSED
    protocol = pk.load_protocol("file.yaml")
    model = "ketamine_domino1984" if protocol.drugs[0] == "ketamine" else "esketamine_perezruixo2021"
    code, _, err = _command(
        "protocols", "show", "file.yaml", "--weight", "70 kg", "--age", "40 y", "--height", "170 cm"
    )
    _expect(code in (0, 2) and "Traceback" not in err, f"protocols show: exit {code}: {err}")
    try:
        _simulated(protocol, model)
    except (InputError, RunError):
        return VALID
    return VALID


def _population(tree: Any) -> str:
    from pkmodel.population import sample_covariates

    if not _checked(written(tree)):
        return REFUSED
    drawn = sample_covariates(pk.load_population("file.yaml"), 7, 0, 50)
    for name, values in drawn.covariates.items():
        _finite(values, name)
    return VALID


def _scenario(tree: Any) -> str:
    if not _checked(written(tree)):
        return REFUSED
    scenario = pk.load_scenario("file.yaml")
    _study(pk.run(scenario.with_options(n=min(scenario.spec.n, 4))))
    return VALID


def _study(study: Any) -> None:
    table = study.findings
    for name in ("share", "low", "high"):
        _finite(table[name], f"findings, {name}")
    _finite(table["limit"].dropna(), "findings, limit")  # empty for a rule of clauses, which has no limit of its own
    for name, column in study.band_columns.items():
        if np.asarray(column).dtype.kind == "f":
            _finite(column, f"bands, {name}")


def _effect(tree: Any) -> str:
    if not _checked(written(tree)):
        return REFUSED
    patient = pk.Patient(weight="70 kg", age="40 y", sex="female", height="165 cm")
    for protocol, model in (("iv_single", "ketamine_domino1984"), ("esketamine_iv_single", "esketamine_otto2021")):
        with contextlib.suppress(InputError):
            result = pk.simulate(protocol, model, patient, until="6 h", every="1 h", effects=["./file.yaml"])
            _finite(result.to_pandas()["value"], "the effects")
    return VALID


def _rule(tree: Any) -> str:
    if not _checked(written(tree)):
        return REFUSED
    scenario = {
        "title": "one",
        "arms": {"iv": {"protocol": "iv_single"}},
        "model": "ketamine_domino1984",
        "population": "adults_trials",
        "observe": {"every": "30 min", "for": "6 h after each session start"},
        "n": 3,
        "seed": 1,
        "rules": ["./file.yaml"],
    }
    _study(pk.run(pk.load_scenario(scenario)))
    return VALID


def _records(given: Any) -> str:
    table, model, parameters = given
    result = pk.simulate_records(table, model, parameters or None)
    _finite(result[[name for name in result if str(name).startswith(("value", "amount_"))]], "the records")
    _expect(len(result) == len(table), "rows were lost")
    return VALID


def _people(given: Any) -> str:
    from pkmodel.population import sample_covariates

    raw, tree = given
    Path("people.csv").write_bytes(raw)
    if not _checked(written(tree)):
        return REFUSED
    drawn = sample_covariates(pk.load_population("file.yaml"), 7, 0, 1)
    for name, values in drawn.covariates.items():
        _finite(values, name)
    return VALID


def _text(text: str) -> str:
    """A quantity and a formula; both refuse, or give numbers."""
    what = REFUSED
    with contextlib.suppress(InputError):
        _finite(units.parse(text).value, "a quantity")
        what = VALID
    with contextlib.suppress(InputError):
        found = parse_expression(text)
        found.evaluate(dict.fromkeys(found.names, np.array([70.0, 1e-9])))  # NaN is looked for where it is used
        with contextlib.suppress(InputError):
            found.dimensions(dict.fromkeys(found.names))
        what = VALID
    return what


def _words(words: list[str]) -> str:
    try:
        code, out, err = _command(*words)
    except PkmodelError as error:
        raise Wrong("an error came out of the command line") from error
    _expect(code in (0, 1, 2, 3), f"exit {code}")
    _expect("Traceback" not in err, err)
    _still(out + err)
    _expect("NaN" not in out and " nan" not in out, f"a NaN in {out[:500]}")
    if code in (2, 3):
        _expect(bool(err.strip()), "nothing was said")
        left = sorted(str(path) for path in Path().rglob("*") if path.is_file())
        _expect(not left, f"files were left: {left}")
    return VALID if code in (0, 1) else GAVE_UP if code == 3 else REFUSED


RUNNERS: dict[str, Callable[[Any], str]] = {
    "raw": _raw,
    "models": _model,
    "protocols": _protocol,
    "populations": _population,
    "scenarios": _scenario,
    "effects": _effect,
    "rules": _rule,
    "records": _records,
    "people": _people,
    "text": _text,
    "words": _words,
}
