"""What the workers of the page do: every function here runs in a process of its own, and answers with plain data.

The server calls them through :class:`pkmodel.app.pool.Workers`.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkmodel.app.memory import held, keep
from pkmodel.app.state import Arm, ArmKey, State
from pkmodel.errors import InputError, Problem, RunError

if TYPE_CHECKING:
    from pkmodel.app.compute import Curves
    from pkmodel.app.picture import Look, Picture
    from pkmodel.app.shown import Band, Fits, Line, Shown
    from pkmodel.lessons import Answer
    from pkmodel.suggest import Suggestion

#: What a worker may take beyond what it has when it is warm, bytes: a request that needs more is refused.
MOST_MEMORY = 3 << 30


@dataclass(frozen=True)
class Outcome:
    """The answer of a request, or why there is none; errors themselves do not survive the way between processes."""

    value: Any = None
    problems: tuple[Problem, ...] = ()
    failed: str = ""
    mistake: str = ""
    memory: int = 0
    """Bytes that the worker holds after it; 0 where nobody knows."""


class Failed(Exception):
    """A mistake of the program in a worker, in one line."""


def outcome(do: Callable[..., Any], *args: Any) -> Outcome:
    """Do what is asked, and say how it went."""
    return replace(_outcome(do, *args), memory=held())


def _outcome(do: Callable[..., Any], *args: Any) -> Outcome:
    try:
        return Outcome(do(*args))
    except InputError as error:
        return Outcome(problems=error.problems or (Problem("something", "something else"),))
    except RunError as error:
        return Outcome(failed=str(error))
    except MemoryError:
        return Outcome(failed="This needs more memory than a request of the page may take.")
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        return Outcome(mistake=f"{type(error).__name__}: {said} ({Path(last.filename).name}:{last.lineno})")


def result(found: Outcome) -> Any:
    """The answer of an outcome. Raises InputError, RunError or :class:`Failed` as the worker met them."""
    if found.problems:
        raise InputError(found.problems)
    if found.failed:
        raise RunError(found.failed)
    if found.mistake:
        raise Failed(found.mistake)
    return found.value


def begin() -> None:
    """Begin as a worker: it ends when the server does, and only then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the server ends this one
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(0)


def warm_up() -> None:
    """Compute and draw the fresh page once: kernels are compiled or loaded, libraries imported."""
    import matplotlib

    from pkmodel.app.picture import Look
    from pkmodel.app.state import Crowd

    # Drawn the same, and found faster: the colour of what is not coloured is else looked up in a cycle every time.
    matplotlib.rcParams["patch.facecolor"] = "#1f77b4"
    state = State(crowd=Crowd(n=100))
    made = page_of(state, Look(800, 480), None)
    page_of(state, Look(800, 480), band_of(state, 100))
    assert made.picture is not None
    keep()  # to look through all that again and again takes a quarter of a second each time
    _bound_memory()


def _bound_memory() -> None:
    """Refuse what would take all memory of the machine; where the system cannot, nothing is bounded."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + MOST_MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def page_of(state: State, look: Look | None, band: Band | None) -> Shown:
    """Everything that the page shows of a state, with a picture where ``look`` says how large; a band that is of
    another course is left out.

    Raises InputError where a course, the patient or a model does not do, RunError where a solver gives up.
    """
    from pkmodel.app import compute, tables, take_away
    from pkmodel.app.picture import figure_of, on_screen
    from pkmodel.app.readouts import peak_sentence, readouts
    from pkmodel.app.shown import Shown
    from pkmodel.app.steered import sites_of

    curves = compute.curves(state)
    key = band_key(state, curves)
    people = band.summaries if band is not None and band.key == key else {}
    found = readouts(curves, state.limits)
    headline = peak_sentence(found, {name: curve.result.model.parent for name, curve in curves.by_name.items()})
    said = f" Band of a population, n = {band.n:,}." if band is not None and people else ""
    picture = None
    if look is not None:
        figure = figure_of(state, curves, people, look.width, look.height, kept=True)
        picture = on_screen(figure, look.ratio)
    return Shown(
        until=curves.until,
        headline=headline,
        numbers_html=str(tables.numbers(found, state, curves)),
        evidence_html=str(tables.evidence(curves, people, curves.notes)),
        nurse_html=str(tables.nurse_table(curves.main[state.editing])),
        commands=tuple(take_away.command_lines(state, curves)),
        files={key: take_away.yaml_text(state, key) for key in state.arms},
        fits=_fits(state, curves),
        sites=sites_of(state, curves),
        lines=_lines(state, curves),
        band_key=key,
        picture=picture,
        alt=f"Levels over time. {headline}{said}",
    )


def band_key(state: State, curves: Curves) -> str:
    """What a band depends on, as one word; the patient of the page is not in it."""
    from pkmodel.app.compute import crowd_key

    return hashlib.sha256(repr(crowd_key(state, curves)).encode()).hexdigest()


def band_of(state: State, n: int) -> Band:
    """The band of a state for ``n`` patients. Raises InputError and RunError as :func:`pkmodel.app.compute.bands`."""
    from pkmodel.app import compute
    from pkmodel.app.shown import Band
    from pkmodel.plots.summary import summarised

    curves = compute.curves(state)
    people = compute.bands(state, curves, n)
    return Band.of(band_key(state, curves), n, {name: summarised(result) for name, result in people.items()})


def _fits(state: State, curves: Curves) -> Fits:
    from pkmodel.app import compute, tables
    from pkmodel.app.shown import Fits

    curve, first = curves.main[state.editing], curves.main["a"]
    mine = compute.suited_cached(compute.key_of(state.arm, state.editing))
    others = dict(compute.suited_cached(compute.key_of(state.a, "a")))
    others.pop(first.model, None)
    effects = dict.fromkeys(
        name
        for one in curves.main.values()
        for name in compute.effects_for_cached(compute.key_of(state.arms[one.arm], one.arm), one.model, one.drug)
    )

    def graded(name: str) -> str:
        return f"{name} ({compute.model_of(name).evidence})"

    return Fits(
        state.editing,
        tuple((name, graded(name)) for name in mine),
        tuple(
            (name, graded(name) + (" \u2013 given the S half" if mode == "half" else ""))
            for name, mode in others.items()
        ),
        tuple((name, tables.effect_words(name)) for name in effects),
        curves.effects,
        curve.model,
    )


def _lines(state: State, curves: Curves) -> tuple[Line, ...]:
    import numpy as np

    from pkmodel.app.shown import Line

    found = []
    for name, curve in curves.by_name.items():
        result = curve.result
        outputs = [result.model.parent]
        if state.view.metabolites:
            outputs += [other for other in result.model.outputs if other not in outputs]
        outputs += [effect for effect in curves.effects if effect in result.model.effects]
        named = tuple((one.replace("_", " "), result.model.observables[one]) for one in outputs)
        found.append(Line(name, named, result.time, np.stack([result.level(one)[0] for one in outputs])))
    return tuple(found)


def as_rows(arm: Arm, key: ArmKey) -> tuple[Arm, list[str]]:
    """An arm as rows, and what they do not keep. Raises InputError where rows cannot say it."""
    from pkmodel.app import rows

    return rows.as_rows(arm, key)


def png_of(state: State, band: Band | None) -> bytes:
    """The picture to take away, with the grades of the models under it."""
    from pkmodel.app import compute
    from pkmodel.app.picture import drawn, figure_of

    curves = compute.curves(state)
    people = band.summaries if band is not None and band.key == band_key(state, curves) else {}
    return drawn(figure_of(state, curves, people, 1100, 640, foot=True), 2.0).png


def csv_of(state: State) -> str:
    """The levels to take away."""
    from pkmodel.app import compute, take_away

    return take_away.csv_text(compute.curves(state))


def suggestion_of(model: str, patient: Any, fields: Mapping[str, Any]) -> tuple[Suggestion, Arm]:
    """The answer to the form of the tab that suggests, and the arm that it puts on the page."""
    from pkmodel.app.scene import arm_of_text
    from pkmodel.app.steered import asked

    made = asked(model, patient, fields)
    return made, arm_of_text(made.protocol, model=model, name="suggested")


def lesson_picture(
    name: str, step: int, revealed: bool, prediction: str | float | None, look: Look
) -> tuple[Picture, str]:
    """The picture of a step of a lesson, and its text."""
    from matplotlib.figure import Figure

    from pkmodel.app.picture import DPI, drawn, scale_of
    from pkmodel.lessons import lesson

    now = lesson(name).steps[step]
    scale = scale_of(look.width)
    size = (look.width / DPI / scale, look.height / DPI / scale)
    page = Figure(figsize=size, dpi=DPI * scale, layout="constrained")
    now.draw(page.add_subplot(), revealed=revealed, prediction=prediction)
    return drawn(page, look.ratio), now.alt(revealed=revealed)


def lesson_answer(name: str, step: int) -> Answer:
    """The answer of a step of a lesson."""
    from pkmodel.lessons import lesson

    return lesson(name).steps[step].answer()


def lesson_sheet(name: str, with_answers: bool) -> str:
    """A lesson to print, HTML."""
    from pkmodel.lessons import lesson, worksheet

    return worksheet(lesson(name), with_answers=with_answers)
