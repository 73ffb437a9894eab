"""What a guided lesson is made of: steps to predict and to reveal, and the scene to play on with. No page, no printing.

Whoever shows a lesson asks a step's question, takes a prediction, and then draws the truth and tells the answer. Every
answer is computed by the engine, or read from a data file with its citation, when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pkmodel.errors import InputError, Problem, nearest, one_of, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Prediction = str | float | None
Draw = Callable[["Axes", bool, Prediction], None]


@dataclass(frozen=True)
class Answer:
    """What the engine says: the right choice or the number, a sentence, the numbers behind it, and why it is so.

    ``numbers`` are (label, value, unit); ``why`` are paragraphs; ``sources`` say what the answer rests on, with the
    grade of its evidence. ``illustrative`` marks what no publication has measured.
    """

    value: str | float
    sentence: str
    numbers: tuple[tuple[str, float, str], ...] = ()
    why: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    illustrative: bool = False
    unit: str = ""

    def judge(self, prediction: Prediction) -> str:
        """A friendly sentence on how near a prediction is. Raises InputError where it is none."""
        if isinstance(self.value, str):
            return "That is right." if prediction == self.value else f"Not this time. It is: {self.value}."
        if isinstance(prediction, bool) or not isinstance(prediction, (int, float)) or not math.isfinite(prediction):
            raise InputError(Problem(shown(prediction), "a number", "prediction"))
        truth = f"{amount(self.value)}{' ' * bool(self.unit)}{self.unit}"
        if round_alike(prediction, self.value):
            return f"Spot on: {truth}."
        if self.value <= 0 or prediction <= 0:
            return f"It is {truth}; you said {amount(prediction)}."
        ratio = prediction / self.value
        apart = abs(ratio - 1)
        side = "above" if ratio > 1 else "below"
        if apart <= 0.15:
            return f"Very near: {100 * apart:.0f} % {side} the {truth} that comes out."
        if apart <= 0.5:
            return f"The right size: {100 * apart:.0f} % {side} the {truth} that comes out."
        times = ratio if ratio > 1 else 1 / ratio
        said = f"{times:.1f} times too {'high' if ratio > 1 else 'low'}"
        return f"Further off: it is {truth}; {amount(prediction)} is {said}."


def amount(value: float) -> str:
    """A number as a class reads it: three digits at most, no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{round(value, places):,.{places}f}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def round_alike(one: float, other: float) -> bool:
    """Whether two numbers are the same to two per cent."""
    return abs(one - other) <= 0.02 * abs(other) + 1e-12


@dataclass(frozen=True)
class Step:
    """A question with a prediction: one of ``choices``, or a number from ``low`` to ``high`` in ``unit``.

    ``shows`` says in words what the picture holds before the reveal, for whoever does not see it. ``solve`` computes
    the answer and ``picture`` draws; both are kept by the lesson, so that they cost their time once.
    """

    question: str
    kind: Literal["choice", "number"]
    solve: Callable[[], Answer] = field(repr=False)
    picture: Draw = field(repr=False)
    choices: tuple[str, ...] = ()
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    shows: str = ""

    def answer(self) -> Answer:
        """What the engine says."""
        return self.solve()

    def check(self, prediction: object) -> Prediction:
        """The prediction as a choice, or a number within the range.

        Raises InputError where it is neither, with what is asked for.
        """
        if self.kind == "choice":
            if prediction not in self.choices:
                close = nearest(prediction, self.choices)
                raise InputError(Problem(shown(prediction), one_of(self.choices), "prediction", nearest=close))
            return str(prediction)
        expected = f"a number from {self.low:g} to {self.high:g}{' ' * bool(self.unit)}{self.unit}"
        try:
            number = float(prediction)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InputError(Problem(shown(prediction), expected, "prediction")) from None
        if isinstance(prediction, bool) or not self.low <= number <= self.high:
            raise InputError(Problem(shown(prediction), expected, "prediction"))
        return number

    def draw(self, ax: Axes, *, revealed: bool, prediction: Prediction = None) -> None:
        """Draw on ``ax``: what is known before the reveal; afterwards the truth, with the prediction marked.

        A prediction that is given is checked first (InputError).
        """
        if prediction is not None:
            prediction = self.check(prediction)
        self.picture(ax, revealed, prediction)
        if revealed and isinstance(prediction, str):
            from pkmodel.lessons.pictures import said

            said(ax, prediction)

    def alt(self, *, revealed: bool) -> str:
        """The picture in words."""
        return f"{self.shows} {self.answer().sentence}" if revealed else self.shows


@dataclass(frozen=True)
class Scene:
    """What a page shows to play on with, after a lesson.

    ``patient`` are arguments of :class:`pkmodel.Patient`; ``arms`` are (name, name of a protocol or its YAML text,
    model); ``population`` is (name, number of patients) or None; ``limits`` are levels such as "150 ng/mL".
    """

    patient: Mapping[str, Any]
    arms: tuple[tuple[str, str, str], ...]
    effects: tuple[str, ...] = ()
    population: tuple[str, int] | None = None
    outputs: tuple[str, ...] = ("parent",)
    limits: tuple[str, ...] = ()
    until: str = "4 h"
    view: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """A guided lesson: an introduction, one to three steps, what to try next, and the scene to try it on."""

    id: str
    title: str
    minutes: int
    for_whom: str
    intro: tuple[str, ...]
    steps: tuple[Step, ...]
    try_next: tuple[str, ...]
    scene: Scene
