"""Rodas5P: a stiff method of order 5 with an embedded one of order 4 and a polynomial of order 4.

Steinebach G. Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia Differential
Equations package. BIT Numer Math 2023;63:27, doi 10.1007/s10543-023-00967-x.

With ``W = I / (gamma h) - J`` a stage is

    W k_i = f(t + c_i h, u_i) + sum_j (C_ij / h) k_j + h d_i df/dt,   u_i = y + sum_j a_ij k_j;

the last arguments differ by one stage vector each (u_7 = u_6 + k_6, u_8 = u_7 + k_7), the new state is ``u_8 + k_8``,
and k_8 is the estimate of the error of u_8.

Inside a step the polynomial goes through both ends, with the slopes f and the changes of the slope g = J f + df/dt
there: a quintic, as good as the step itself. Where a step is much longer than the fastest time constant, slopes magnify
the errors of the state, and the method's own quartic is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from pkmodel.core.emit import Lane, Writer
from pkmodel.core.equations import FIRST, T_START, Equations, T
from pkmodel.core.method import Method, combined
from pkmodel.core.sparse import eliminate

_STAGES = 8
_GAMMA = 0.21193756319429014
_A: tuple[tuple[float, ...], ...] = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
_C: tuple[tuple[float, ...], ...] = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ),
)
_INSIDE = (
    (
        25.948786856663858,
        -2.5579724845846235,
        10.433815404888879,
        -2.3679251022685204,
        0.524948541321073,
        1.1241088310450404,
        0.4272876194431874,
        -0.17202221070155493,
    ),
    (
        -9.91568850695171,
        -0.9689944594115154,
        3.0438037242978453,
        -24.495224566215796,
        20.176138334709044,
        15.98066361424651,
        -6.789040303419874,
        -6.710236069923372,
    ),
    (
        11.419903575922262,
        2.8879645146136994,
        72.92137995996029,
        80.12511834622643,
        -52.072871366152654,
        -59.78993625266729,
        -0.15582684282751913,
        4.883087185713722,
    ),
)
_TIMES = (0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0)
_TIME_SLOPES = (
    0.21193756319429014,
    -0.42387512638858027,
    -0.3384627126235924,
    1.8046452872882734,
    2.325825639765069,
    0.0,
    0.0,
    0.0,
)
#: A step is long when it is more than so many of the fastest time constants.
_MANY = 8.0


def _rows(states: int, observed: int) -> int:
    return states * _STAGES + 7 * observed + states * states


def _vector(equations: Equations, i: int, stage: int) -> int:
    """The row of a stage vector."""
    return equations.rows.own + _STAGES * i + stage


def _kept(equations: Equations, k: int, place: int) -> int:
    """The row of y, f, g at the start of the step (0 to 2), of the quartic's parts (3 to 5), of where it holds (6)."""
    return equations.rows.own + _STAGES * equations.states + 7 * k + place


def _begin(writer: Writer, equations: Equations) -> None:
    rows = equations.rows
    for k, i in enumerate(equations.observed):
        for place, row in enumerate((rows.y + i, rows.f + i, rows.bent + k)):
            writer.store(_kept(equations, k, place), writer.load(row))


def _advance(writer: Writer, equations: Equations, h: Lane) -> tuple[list[Lane], list[list[Lane]]]:
    rows, states = equations.rows, range(equations.states)
    solve = _factors(writer, equations, h)
    inverse = 1.0 / h
    passed = writer.load(T) - writer.load(FIRST)
    argument = [writer.load(rows.y + i) for i in states]
    vector: list[Lane] = []
    for stage in range(_STAGES):
        if stage == 0:
            right = [writer.load(rows.f + i) for i in states]
        else:
            following, right = [], []
            for i in states:
                before = [writer.load(_vector(equations, i, j)) for j in range(stage)]
                if stage < len(_A):
                    following.append(combined(writer.load(rows.y + i), _A[stage], before))
                else:
                    following.append(argument[i] + before[-1])
                right.append(inverse * combined(before[0] * _C[stage][0], _C[stage][1:], before[1:]))
            argument = following
            since = h.times(_TIMES[stage], passed).larger(0.0)
            register = equations.run(writer, argument, since, equations.tape.n_value)
            right = equations.slope(writer, argument, register, right)
        if _TIME_SLOPES[stage] != 0.0:
            for i in equations.drift:
                right[i] = (h * _TIME_SLOPES[stage]).times(writer.load(rows.drift + i), right[i])
        vector = solve(right)
        for i in states:
            writer.store(_vector(equations, i, stage), vector[i])
    return [argument[i] + vector[i] for i in states], [vector]


def _inside(writer: Writer, equations: Equations, h: Lane) -> None:
    """Whether the step is long, and the method's own polynomial."""
    fastest = equations.fastest(writer)
    long = (fastest * h > _MANY).choose(1.0, 0.0)
    for k, i in enumerate(equations.observed):
        vectors = [writer.load(_vector(equations, i, j)) for j in range(_STAGES)]
        for place, factors in enumerate(_INSIDE):
            writer.store(_kept(equations, k, 3 + place), combined(writer.number(0.0), factors, vectors))
        writer.store(_kept(equations, k, 6), long)


def _draw(writer: Writer, equations: Equations) -> list[list[Lane]]:
    """The quintic; or the quartic ``(1 - x) y0 + x (y1 + (1 - x) (K1 + x (K2 + x K3)))``."""
    rows = equations.rows
    h = writer.load(T) - writer.load(T_START)
    polynomials = []
    for k, i in enumerate(equations.observed):
        y0, f0, g0, a, b, c, long = (writer.load(_kept(equations, k, place)) for place in range(7))
        f0, g0 = h * f0, h * h * g0
        f1, g1 = h * writer.load(rows.f + i), h * h * writer.load(rows.bent + k)
        rise = writer.load(rows.y + i) - y0
        u, v = f0 - rise, f1 - rise  # from the straight line, so that nothing large is subtracted
        quintic = (
            f0,
            0.5 * g0,
            0.5 * g1 - 1.5 * g0 - 6.0 * u - 4.0 * v,
            1.5 * g0 - g1 + 8.0 * u + 7.0 * v,
            0.5 * (g1 - g0) - 3.0 * (u + v),
        )
        quartic = (rise + a, b - a, c - b, -c, writer.number(0.0))
        polynomials.append([y0, *((long > 0.5).choose(q, p) for p, q in zip(quintic, quartic, strict=True))])
    return polynomials


def _factors(writer: Writer, equations: Equations, h: Lane) -> Callable[[list[Lane]], list[Lane]]:
    """Factorise W for a step of ``h``; returns what solves ``W x = right``."""
    pattern = np.eye(equations.states, dtype=bool)
    for entry in equations.linked:
        pattern[entry] = True
    elimination = eliminate(pattern)
    place = {state: number for number, state in enumerate(elimination.order)}
    diagonal, zero = 1.0 / (_GAMMA * h), writer.number(0.0)
    row_of: dict[tuple[int, int], int] = {}
    first = _kept(equations, len(equations.observed), 0)
    for (i, j), products in zip(elimination.entries, elimination.products, strict=True):
        source = equations.jacobian_row.get((i, j))
        if i != j and place[i] > place[j] and not products and source is not None:
            row_of[i, j] = source  # an entry of L that is the entry of the Jacobian
            continue
        total = zero if source is None else writer.load(source)
        for k in products:
            total = writer.load(row_of[i, k]).times(writer.load(row_of[k, j]), total)
        if i == j:
            total = 1.0 / (diagonal - total)
        elif place[i] < place[j]:
            total = total * writer.load(row_of[i, i])
        row_of[i, j] = first + len(row_of)
        writer.store(row_of[i, j], total)

    def solve(right: list[Lane]) -> list[Lane]:
        found = list(right)
        for i in elimination.order:
            for j in elimination.lower[i]:
                found[i] = writer.load(row_of[i, j]).times(found[j], found[i])
            found[i] = found[i] * writer.load(row_of[i, i])
        for i in reversed(elimination.order):
            for j in elimination.upper[i]:
                found[i] = writer.load(row_of[i, j]).times(found[j], found[i])
        return found

    return solve


METHOD = Method(
    name="rodas5p",
    rows=_rows,
    terms=6,
    order=5,
    constant=1.25e-4,
    guarded=False,
    reach=inf,
    begin=_begin,
    advance=_advance,
    weigh=lambda errors: errors[0],
    inside=_inside,
    draw=_draw,
)
