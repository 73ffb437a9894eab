"""DOP853: an explicit method of order 8 with a polynomial of order 7, for what is not stiff.

The numbers and their source are in :mod:`pkmodel.core.dop853`. The estimate is that of the program DOP853, for each
state alone: ``e5**2 / sqrt(e5**2 + e3**2 / 100)``. For a decay of rate r it can be relied on while r h is below 4;
nearer to the limit of stability, at 6.4, it misses errors, and the polynomial magnifies them. So steps end at r h = 3.
"""

from __future__ import annotations

from pkmodel.core import dop853
from pkmodel.core.emit import Lane, Writer
from pkmodel.core.equations import FIRST, T_START, Equations, T
from pkmodel.core.method import Method, combined

#: Stages of the step itself; with those of the polynomial.
_STEP, _ALL = 12, 16
#: The estimate is at least this times the square of that of order 3; for decays the two are about the same.
_LEAST = 0.05


def _rows(states: int, observed: int) -> int:
    return states * (_ALL + 1)


def _vector(equations: Equations, i: int, stage: int) -> int:
    """The row of a stage vector."""
    return equations.rows.own + _ALL * i + stage


def _start(equations: Equations, i: int) -> int:
    """The row of a state at the start of the last step."""
    return equations.rows.own + _ALL * equations.states + i


def _stage(writer: Writer, equations: Equations, stage: int, passed: Lane, h: Lane, start: int) -> None:
    """The slope at a stage, from those of the stages before it; the state at the start of the step begins at a row."""
    factors = dop853.STAGES[stage]
    argument = []
    for i in range(equations.states):
        before = [writer.load(_vector(equations, i, j)) if a != 0.0 else h for j, a in enumerate(factors)]
        moved = combined(writer.number(0.0), factors, before)
        argument.append(h.times(moved, writer.load(start + i)))
    since = h.times(dop853.NODES[stage], passed).larger(0.0)
    register = equations.run(writer, argument, since, equations.tape.n_value)
    slope = equations.slope(writer, argument, register, [writer.number(0.0)] * equations.states)
    for i in range(equations.states):
        writer.store(_vector(equations, i, stage), slope[i])


def _begin(writer: Writer, equations: Equations) -> None:
    for i in range(equations.states):
        writer.store(_start(equations, i), writer.load(equations.rows.y + i))
        writer.store(_vector(equations, i, 0), writer.load(equations.rows.f + i))


def _advance(writer: Writer, equations: Equations, h: Lane) -> tuple[list[Lane], list[list[Lane]]]:
    passed = writer.load(T) - writer.load(FIRST)
    for stage in range(1, _STEP):
        _stage(writer, equations, stage, passed, h, equations.rows.y)
    state: list[Lane] = []
    estimates: list[list[Lane]] = [[], []]
    zero = writer.number(0.0)
    for i in range(equations.states):
        vectors = [writer.load(_vector(equations, i, j)) for j in range(_STEP)]
        state.append(h.times(combined(zero, dop853.STEP, vectors), writer.load(equations.rows.y + i)))
        for estimate, factors in zip(estimates, (dop853.FIFTH, dop853.THIRD), strict=True):
            estimate.append(h * combined(zero, factors, vectors))
    return state, estimates


def _weigh(errors: list[Lane]) -> Lane:
    """The estimate of DOP853, unless that of order 5 is small by chance. All fall with the eighth power of the step."""
    fifth, third = errors
    size = (fifth * fifth).times(1.0, 0.01 * (third * third)).root()
    usual = size.equals(0.0).choose(0.0, fifth * (fifth / size))
    return usual.larger(_LEAST * (third * third))


def _inside(writer: Writer, equations: Equations, h: Lane) -> None:
    """Nothing is known before the slope at the end of the step is."""


def _draw(writer: Writer, equations: Equations) -> list[list[Lane]]:
    """y0 + x (F0 + (1 - x) (F1 + x (F2 + (1 - x) (F3 + x (F4 + (1 - x) (F5 + x F6))))))."""
    start = writer.load(T_START)
    h, passed = writer.load(T) - start, start - writer.load(FIRST)
    rows, zero = equations.rows, writer.number(0.0)
    for i in range(equations.states):
        writer.store(_vector(equations, i, _STEP), writer.load(rows.f + i))
    for stage in range(_STEP + 1, _ALL):
        _stage(writer, equations, stage, passed, h, _start(equations, 0))
    polynomials = []
    for i in equations.observed:
        vectors = [writer.load(_vector(equations, i, j)) for j in range(_ALL)]
        y0 = writer.load(_start(equations, i))
        rise = writer.load(rows.y + i) - y0
        f0, f1 = h * vectors[0], h * vectors[_STEP]
        parts = [rise, f0 - rise, (rise - f1) + (rise - f0)]
        parts += [h * combined(zero, factors, vectors) for factors in dop853.INSIDE]
        polynomial = [parts[-1]]
        for number in range(len(parts) - 1, 0, -1):
            polynomial = [zero, *polynomial] if number % 2 == 0 else _falling(polynomial, zero)
            polynomial[0] = polynomial[0] + parts[number - 1]
        polynomials.append([y0, *polynomial])
    return polynomials


def _falling(polynomial: list[Lane], zero: Lane) -> list[Lane]:
    """A polynomial in x, times 1 - x."""
    return [a - b for a, b in zip([*polynomial, zero], [zero, *polynomial], strict=True)]


METHOD = Method(
    name="dop853",
    rows=_rows,
    terms=8,
    order=8,
    constant=5e-7,
    guarded=True,
    reach=3.0,
    begin=_begin,
    advance=_advance,
    weigh=_weigh,
    inside=_inside,
    draw=_draw,
)
