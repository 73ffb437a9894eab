"""What must hold for the exact kernels whatever the compartments, the doses and the times.

Where a number is compared with its exact value the tolerance comes from the arithmetic, see :func:`slack`;
where the same operations must be carried out the comparison is bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from random import Random

import exact
import mpmath
import numpy as np
import pytest
from exact import Dose, Floats
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pkmodel.core import crossing
from pkmodel.core.kinds import USUAL, Look
from pkmodel.core.levels import levels as kernel
from pkmodel.core.structure import structure_of
from pkmodel.engine import grid_of
from pkmodel.schedule import EventList, Events

EPS = float(np.finfo(float).eps)
#: Room for crossing times: far more than a sum of six exponentials between a handful of doses can have.
ROOM = 64


def examples(count: int) -> settings:
    """The same examples in every run, and no limit on the time of one (the first may compile a kernel)."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.data_too_large]
    )


# ---------------------------------------------------------------------------------------------- the arithmetic


def norm(rates: Floats) -> float:
    """The 1-norm of a rate matrix: at most twice the fastest rate at which a compartment empties."""
    return float(np.abs(rates).sum(axis=-2).max())


def slack(rates: Floats, hours: Floats | float) -> Floats:
    """The relative error that float64 allows a level, ``hours`` after the first dose.

    A diagonal entry is a rounded sum of rates, and an error of EPS in it moves a level by EPS * rate * hours.
    The kernel's propagator of its base step is rounded too: EPS / 2 of it, with 4 * norm steps or fewer in an hour
    (the largest power of two up to 1 / (2 norm)), which squaring multiplies up to 2 EPS * norm * hours.
    Each stretch between stops then costs one product per binary digit of its length, with as many roundings as
    there are compartments, of random sign: 32 EPS for the ten stretches or so of a case.
    """
    return EPS * (32.0 + 2.0 * norm(rates) * np.asarray(hours, dtype=float))


def errors(found: Floats, expected: Floats, largest: float) -> Floats:
    """Errors in the norm of the package: relative to the level, or to 1e-9 of the largest one where it is lower."""
    return np.abs(found - expected) / np.maximum(np.abs(expected), 1e-9 * largest)


# ------------------------------------------------------------------------------------------------- the kernels


def block_events(patients: Sequence[Sequence[Dose]]) -> Events:
    """Events of patients whose doses agree in kind and compartment, in their order."""
    found = EventList(len(patients))
    for doses in zip(*patients, strict=True):
        time, amount = np.array([dose.time for dose in doses]), np.array([dose.amount for dose in doses])
        if doses[0].duration:
            found.infusion(time, np.array([dose.duration for dose in doses]), doses[0].compartment, amount)
        else:
            found.bolus(time, doses[0].compartment, amount)
    return found.events()


def block_levels(rates: Floats, patients: Sequence[Sequence[Dose]], time: Floats, *, grid: bool = False) -> Floats:
    """Amounts (n, t, c) of a block; with ``grid`` its steps are taken by their own propagators."""
    events, states = block_events(patients), np.arange(rates.shape[1])
    structure = structure_of((rates != 0.0).any(axis=0), np.empty(0, dtype=np.int64), events.port_compartment)
    on_grid, unit = grid_of(time) if grid else (np.zeros(time.size, dtype=bool), 1.0)
    found, scale = np.empty((len(rates), states.size, time.size)), np.ones((states.size, len(rates)))
    kernel(structure, rates, np.zeros(rates.shape[:2]), events, time[:, None], on_grid, unit, states, scale, out=found)
    return found.transpose(0, 2, 1)


def levels(rates: Floats, doses: Sequence[Dose], time: Sequence[float] | Floats, *, grid: bool = False) -> Floats:
    """Amounts (t, c) of one patient."""
    return block_levels(rates[None], [doses], np.asarray(time, dtype=float), grid=grid)[0]


@dataclass(frozen=True)
class Scanned:
    """What ``crossing.scan`` fills, as it is."""

    stats: Floats
    time_above: Floats
    first_crossing: Floats
    crossings: Floats
    n_crossings: Floats

    def crossing_times(self, threshold: int) -> list[float]:
        """Crossings of one threshold by the only output of the only patient."""
        assert self.n_crossings[0, 0, threshold] <= ROOM
        return self.crossings[0, 0, threshold, : self.n_crossings[0, 0, threshold]].tolist()


def block_scan(
    rates: Floats,
    patients: Sequence[Sequence[Dose]],
    boundary: Sequence[float],
    outputs: Sequence[int],
    thresholds: Sequence[float] = (),
    *,
    look: Look = USUAL,
) -> Scanned:
    """Scan a block; every output of every patient has the same thresholds."""
    size, intervals, count, limits = len(patients), len(boundary) - 1, len(outputs), len(thresholds)
    found = Scanned(
        stats=np.full((size, intervals, count, crossing.N_STATS), np.nan),
        time_above=np.full((size, intervals, count, limits), np.nan),
        first_crossing=np.full((size, intervals, count, limits), np.nan),
        crossings=np.full((size, count, limits, ROOM), np.nan),
        n_crossings=np.full((size, count, limits), -1, dtype=np.int64),
    )
    crossing.scan(
        rates,
        np.zeros(rates.shape[:2]),
        block_events(patients),
        np.asarray(boundary, dtype=float)[:, None],
        np.array(outputs, dtype=np.int64),
        np.tile(np.asarray(thresholds, dtype=float)[None, :, None], (count, 1, size)),
        found.stats,
        found.time_above,
        found.first_crossing,
        found.crossings,
        found.n_crossings,
        look,
    )
    return found


# ---------------------------------------------------------------------------------------------- the strategies


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers spread over decades, from 10**low to 10**high."""
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


@st.composite
def networks(draw: st.DrawFn, *, size: int = 0, closed: bool = False, fastest: float = 2.0) -> Floats:
    """A rate matrix of one to six compartments (or ``size``), cycles and dead ends included.

    A few rates come again and again, so that equal ones (defective matrices) are common.
    """
    count = size or draw(st.integers(1, 6))
    rate = st.one_of(st.just(0.0), st.sampled_from([0.25, 1.0, 8.0]), powers(-3.0, fastest))
    matrix = np.zeros((count, count))
    for source in range(count):
        for target in range(count):
            flow = 0.0 if closed and source == target else draw(rate)
            matrix[source, source] -= flow
            if source != target:
                matrix[target, source] += flow
    return matrix


@st.composite
def courses(draw: st.DrawFn, compartments: int, *, most: int = 3) -> list[Dose]:
    """One to ``most`` doses in the first day: boluses over six decades, infusions at rates within one.

    A port holds the sum of the rates that pour into it, so what is left when the larger of two ends is known
    to EPS of the larger: infusions that overlap in one compartment are therefore of comparable rates here.
    """
    found = []
    for _ in range(draw(st.integers(1, most))):
        time, into = draw(st.floats(0.0, 24.0)), draw(st.integers(0, compartments - 1))
        if draw(st.booleans()):
            found.append(Dose(time, into, draw(powers(-3.0, 3.0))))
        else:
            duration = draw(st.floats(0.05, 12.0))
            found.append(Dose(time, into, draw(st.floats(1.0, 8.0)) * duration, duration))
    return found


def dyadic(low: int, high: int) -> st.SearchStrategy[float]:
    """Times in whole 64ths of an hour, whose sums and differences are exact."""
    return st.integers(64 * low, 64 * high).map(lambda count: count / 64.0)


def first(doses: Sequence[Dose]) -> float:
    """The time of the first dose."""
    return min(dose.time for dose in doses)


def stops(doses: Sequence[Dose]) -> set[float]:
    """Every time at which something begins or ends."""
    return {dose.time for dose in doses} | {dose.end for dose in doses if dose.duration}


LATER = st.lists(st.floats(0.0, 200.0), min_size=1, max_size=4, unique=True)


# -------------------------------------------------------------------------------------------- exact solutions


@pytest.mark.parametrize(
    ("matrix", "time"),
    [
        ([[-3.0]], 2.5),
        ([[-1.0, 0.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, -1.0]], 7.1),  # a transit chain: one eigenvalue, defective
        ([[-400.0, 0.0, 1.0], [400.0, -0.013, 0.0], [0.0, 0.013, -1.0]], 24.3),  # a cycle, stiff
    ],
)
def test_the_oracle_agrees_with_mpmath(matrix: list[list[float]], time: float) -> None:
    """The integer exponential and mpmath's at 60 digits differ by less than 1e-50."""
    found = exact.exponential(exact.fixed(matrix), Fraction(time))
    with mpmath.workdps(60):
        expected = mpmath.expm(mpmath.matrix(matrix) * mpmath.mpf(time))
        for (row, column), value in np.ndenumerate(found):
            assert abs(mpmath.mpf(value) / exact.ONE - expected[row, column]) < mpmath.mpf(10) ** -50


@examples(60)
@given(data=st.data(), rates=networks(), later=LATER)
def test_networks_against_exact_levels(data: st.DataObject, rates: Floats, later: list[float]) -> None:
    """Every compartment of any network is exact to what float64 allows, at every stop and between."""
    doses = data.draw(courses(len(rates)))
    time = sorted({*later, *stops(doses)})
    expected, _ = exact.course(rates, doses, time)
    found = levels(rates, doses, time)
    allowed = slack(rates, np.maximum(np.array(time) - first(doses), 0.0))
    assert (errors(found, expected, expected.max()).max(axis=1) <= allowed).all()
    assert (found >= 0.0).all()


@pytest.mark.parametrize("on_grid", [True, False])
@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param([[-300.0, 0.0], [300.0, -0.03]], id="fast depot, slow body"),
        pytest.param([[-100.01, 0.01], [0.01, -0.01]], id="fast body, slow deep store"),
        pytest.param([[-0.02, 0.0], [0.02, -200.0]], id="slow body, fast effect site"),
    ],
)
def test_a_slow_compartment_beside_a_fast_one(matrix: list[list[float]], on_grid: bool) -> None:
    """Rates 1e4 apart, over four weeks: the slow compartment keeps its digits, on a daily grid and in leaps.

    EPS * norm * hours would be 1e-11 to 9e-11 here. But a slow diagonal entry is kept as its distance from 1,
    which makes the error one of the slow rate: EPS * slow * hours, at most 20 EPS, and the roundings of 28 steps.
    """
    rates, time = np.array(matrix), 24.0 * np.arange(29)
    with mpmath.workdps(50):
        day = mpmath.expm(mpmath.matrix(matrix) * 24)
        state = mpmath.matrix([100.0, 0.0])
        expected = [state]
        for _ in range(28):
            state = day * state
            expected.append(state)
        exactly = np.array([[float(state[0]), float(state[1])] for state in expected])
    dose = [Dose(0.0, 0, 100.0)]
    if on_grid:
        assert grid_of(time)[0][1:].all()
        found = levels(rates, dose, time, grid=True)
    else:
        found = np.concatenate([levels(rates, dose, [moment]) for moment in time])
    slow = float(np.abs(np.diag(rates)).min())
    allowed = EPS * (8.0 + np.arange(29) + slow * time)
    # No allowance for low levels: even 1e-21 of the dose is right to this many digits.
    assert (np.abs(found - exactly).max(axis=1) <= allowed * np.abs(exactly).max(axis=1)).all()
    assert (np.abs(found - exactly) <= allowed[:, None] * exactly)[:, exactly[-1] > 0.0].all()


# ------------------------------------------------------------------------------------------------- invariants


@examples(40)
@given(data=st.data(), rates=networks(), later=LATER, doublings=st.integers(-40, 40), decades=st.integers(-12, 12))
def test_levels_are_proportional_to_the_dose(
    data: st.DataObject, rates: Floats, later: list[float], doublings: int, decades: int
) -> None:
    """Bit for bit for a power of two, which changes no mantissa; to rounding for a power of ten."""
    doses = data.draw(courses(len(rates)))
    time = sorted({*later, *stops(doses)})
    base = levels(rates, doses, time)
    doubled = levels(rates, [replace(dose, amount=dose.amount * 2.0**doublings) for dose in doses], time)
    seen = base > 1e-250  # below, a denormal number on the way may have lost bits
    assert (doubled[seen] == base[seen] * 2.0**doublings).all()
    scaled = levels(rates, [replace(dose, amount=dose.amount * 10.0**decades) for dose in doses], time)
    allowed = 2.0 * slack(rates, np.maximum(np.array(time) - first(doses), 0.0))  # both sides have their error
    assert (errors(scaled / 10.0**decades, base, base.max()).max(axis=1) <= allowed).all()


@examples(40)
@given(data=st.data(), rates=networks(), later=LATER)
def test_doses_superpose(data: st.DataObject, rates: Floats, later: list[float]) -> None:
    """Two courses given together are the sum of the two given alone."""
    one, other = data.draw(courses(len(rates))), data.draw(courses(len(rates)))
    time = sorted({*later, *stops(one), *stops(other)})
    together, apart = levels(rates, [*one, *other], time), levels(rates, one, time) + levels(rates, other, time)
    hours = np.maximum(np.array(time) - min(first(one), first(other)), 0.0)
    # Both sides have their error; nothing is negative, so a sum has no larger relative error than its parts.
    assert (errors(together, apart, apart.max()).max(axis=1) <= 2.0 * slack(rates, hours)).all()


@examples(40)
@given(data=st.data(), rates=networks(), shift=dyadic(-1000, 10000), grid=st.booleans())
def test_a_later_course_is_the_same_course(data: st.DataObject, rates: Floats, shift: float, grid: bool) -> None:
    """Moving doses and times together changes no bit, where the moved times are exact."""
    doses = [
        replace(dose, time=data.draw(dyadic(0, 24)), duration=data.draw(dyadic(1, 6)) if dose.duration else 0.0)
        for dose in data.draw(courses(len(rates)))
    ]
    time = data.draw(dyadic(0, 4)) + data.draw(st.sampled_from([0.25, 1.0, 2.5])) * np.arange(40)
    later = [replace(dose, time=dose.time + shift) for dose in doses]
    assert (levels(rates, later, time + shift, grid=grid) == levels(rates, doses, time, grid=grid)).all()


@examples(40)
@given(data=st.data(), rates=networks(closed=True, fastest=1.0), later=st.lists(st.floats(0.0, 48.0), max_size=4))
def test_without_elimination_nothing_is_lost(data: st.DataObject, rates: Floats, later: list[float]) -> None:
    """What was given is in the body, to 1e-12: rates of at most 50 /h from a compartment, for two days.

    EPS * norm * hours is 1e-12 for the fastest of these; its roundings do not all point one way.
    """
    doses = data.draw(courses(len(rates)))
    time = np.array(sorted({*later, *stops(doses)}))
    delivered = np.zeros(time.size)
    for dose in doses:
        if dose.duration:
            delivered += dose.rate * np.clip(time - dose.time, 0.0, dose.end - dose.time)
        else:
            delivered += dose.amount * (time >= dose.time)
    held = levels(rates, doses, time).sum(axis=1)
    assert (np.abs(held - delivered) <= 1e-12 * delivered).all()


@examples(40)
@given(
    data=st.data(),
    rates=networks(),
    later=LATER,
    start=st.floats(0.0, 24.0),
    parts=st.lists(st.floats(0.05, 6.0), min_size=2, max_size=4),
    rate=st.floats(0.5, 50.0),
)
def test_infusions_in_a_row_are_one_long_infusion(
    data: st.DataObject, rates: Floats, later: list[float], start: float, parts: list[float], rate: float
) -> None:
    """The instant at which one infusion ends and the next begins leaves no trace, and nothing pours on after."""
    into = data.draw(st.integers(0, len(rates) - 1))
    row, begin = [], start
    for part in parts:
        row.append(Dose(begin, into, rate * part, part))
        begin = row[-1].end
    whole = Dose(start, into, rate * (begin - start), begin - start)
    time = sorted({*later, *stops(row), whole.end})
    split, long = levels(rates, row, time), levels(rates, [whole], time)
    # Where an infusion ends is rounded: EPS / 2 of the time, which counts as much as a rate's error over it does.
    hours = np.array(time)
    assert (errors(split, long, long.max()).max(axis=1) <= 2.0 * slack(rates, hours)).all()


@pytest.mark.parametrize("given_rates", [(0.1, 0.2), (0.3, 0.1, 0.7), (0.7, 0.1, 0.1)])
def test_a_pump_that_has_stopped_gives_nothing(given_rates: tuple[float, ...]) -> None:
    """Rates that overlap are added and taken back; what their rounding would leave does not pour on for ever."""
    assert np.subtract.reduce([sum(given_rates), *given_rates]) != 0.0
    rates, time = np.array([[-4.0]]), np.array([8.0, 20.0, 40.0])
    doses = [Dose(float(start), 0, rate * 4.0, 4.0) for start, rate in enumerate(given_rates)]
    running = [replace(dose, duration=100.0) for dose in doses]  # the patient before, whose pumps never stop
    found = block_levels(np.stack([rates, rates]), [running, doses], time)[1, :, 0]
    expected = exact.course(rates, doses, time.tolist())[0][:, 0]
    # Relative to the level itself, 1e-60 of the peak at the end, where a rate left over would hold it at 1e-17.
    assert (np.abs(found / expected - 1.0) <= 2.0 * slack(rates, time)).all()


@examples(25)
@given(
    data=st.data(), count=st.integers(2, 5), compartments=st.integers(1, 6), shuffle=st.randoms(use_true_random=False)
)
def test_a_patient_is_the_same_in_any_company(
    data: st.DataObject, count: int, compartments: int, shuffle: Random
) -> None:
    """Alone, together or in another order: the same bits, from both kernels, with times shared or not."""
    rates = np.stack([data.draw(networks(size=compartments)) for _ in range(count)])
    shared = data.draw(courses(compartments))
    patients = []
    for _ in range(count):
        late = data.draw(st.floats(0.0, 3.0))
        times = data.draw(st.floats(0.1, 10.0))
        patients.append([replace(dose, time=dose.time + late, amount=dose.amount * times) for dose in shared])
    if data.draw(st.booleans()):  # all at the same times: one column of times for the block
        patients = [
            [replace(dose, time=common.time) for dose, common in zip(doses, shared, strict=True)] for doses in patients
        ]
    time, edges, outputs = np.arange(0.0, 20.0, 0.5), [0.3, 7.0, 20.0], list(range(compartments))
    together = block_levels(rates, patients, time, grid=True)
    figures = block_scan(rates, patients, edges, outputs, [0.7, 20.0])
    mixed = list(range(count))
    shuffle.shuffle(mixed)
    shuffled = block_levels(rates[mixed], [patients[number] for number in mixed], time, grid=True)
    assert (shuffled == together[mixed]).all()
    for number in range(count):
        alone = block_levels(rates[number : number + 1], [patients[number]], time, grid=True)
        assert (alone[0] == together[number]).all()
        single = block_scan(rates[number : number + 1], [patients[number]], edges, outputs, [0.7, 20.0])
        for name in ("stats", "time_above", "first_crossing", "crossings", "n_crossings"):
            np.testing.assert_array_equal(getattr(single, name)[0], getattr(figures, name)[number], err_msg=name)


@examples(40)
@given(
    data=st.data(),
    rates=networks(),
    day=st.sampled_from([0, 7, 365]),
    start=st.floats(0.0, 30.0),
    step=st.floats(0.01, 3.0),
)
def test_a_grid_is_as_exact_as_any_times(
    data: st.DataObject, rates: Floats, day: int, start: float, step: float
) -> None:
    """The step of a grid has its own propagator; the levels are those of the chain of squares, a year on too."""
    doses = [replace(dose, time=dose.time + 24.0 * day) for dose in data.draw(courses(len(rates)))]
    time = (24.0 * day + start) + step * np.arange(120)
    assert grid_of(time)[0][1:].all()
    on_grid, anywhere = levels(rates, doses, time, grid=True), levels(rates, doses, time)
    largest = levels(rates, doses, sorted(stops(doses))).max()
    # Both sides have their error, and 120 products; a time is rounded to EPS of itself, which moves a level by
    # its slope: at most `norm` on the way down, and on the way up size / step (a power of the time since a dose).
    rounding = EPS * time.max() * (norm(rates) + len(rates) / step)
    allowed = 2.0 * slack(rates, np.maximum(time - first(doses), 0.0)) + EPS * 120.0 + rounding
    assert (errors(on_grid, anywhere, largest).max(axis=1) <= allowed).all()


@pytest.mark.parametrize("day", [0, 7, 100, 365])
@pytest.mark.parametrize("minutes", [1.0, 5.0])
def test_a_grid_does_not_drift(day: int, minutes: float) -> None:
    """A day on a grid that starts late in a course: no step is longer or shorter than it should be.

    Levels fall by exp(-0.5 t), exactly. Each product is one rounding, of half an EPS at most; the times are
    rounded to EPS of themselves, which counts once, not once per step.
    """
    start, rate = 24.0 * day, 0.5
    time = start + minutes / 60.0 * np.arange(int(24 * 60 / minutes) + 1)
    found = levels(np.array([[-rate]]), [Dose(start, 0, 1.0)], time, grid=True)[:, 0]
    allowed = EPS * (4.0 + 0.5 * np.arange(time.size) + 2.0 * rate * time)
    assert (np.abs(found / np.exp(-rate * (time - start)) - 1.0) <= allowed).all()


# ----------------------------------------------------------------------------------------- figures inside steps


def samples(doses: Sequence[Dose], low: float, high: float) -> Floats:
    """Times from ``low`` to ``high``, dense behind every stop, where something fast may happen."""
    behind = np.geomspace(1e-4, 250.0, 160)
    every = np.concatenate([[low, high], *(stop + behind for stop in sorted({low, *stops(doses)}))])
    return np.unique(every[(every >= low) & (every <= high)])


@examples(40)
@given(data=st.data(), rates=networks(), width=st.floats(0.5, 100.0), inside=st.floats(0.05, 0.95))
def test_areas_and_ends_are_exact(data: st.DataObject, rates: Floats, width: float, inside: float) -> None:
    """Area, first and last level of every compartment over two windows, against the exact integral."""
    doses = data.draw(courses(len(rates)))
    low = data.draw(st.floats(0.0, 24.0))
    edges = [low, low + inside * width, low + width]
    assume(not stops(doses) & set(edges))  # at an edge the kernel and the oracle stand on different sides
    amounts, areas = exact.course(rates, doses, edges)
    found = block_scan(rates[None], [doses], edges, range(len(rates))).stats[0]
    largest, _ = exact.course(rates, doses, sorted(stops(doses)))
    allowed = slack(rates, max(edges[-1] - first(doses), 0.0))
    top = max(largest.max(), amounts.max())
    assert (errors(found[:, :, crossing.START], amounts[:-1], top) <= allowed).all()
    assert (errors(found[:, :, crossing.END], amounts[1:], top) <= allowed).all()
    for interval in range(2):
        span = edges[interval + 1] - edges[interval]
        assert (errors(found[interval, :, crossing.AREA], areas[interval + 1], top * span) <= allowed).all()


@examples(40)
@given(data=st.data(), rates=networks(), width=st.floats(0.5, 150.0), unit=st.floats(1 / 64, 4.0), areas=st.booleans())
def test_the_steps_of_a_scan_change_no_figure(
    data: st.DataObject, rates: Floats, width: float, unit: float, areas: bool
) -> None:
    """Steps of any length, with running integrals beside the levels or without: the same but for roundings."""
    doses = data.draw(courses(len(rates)))
    edges = [first(doses), first(doses) + width]
    assume(edges[1] not in stops(doses))
    usual = block_scan(rates[None], [doses], edges, range(len(rates))).stats[0, 0]
    other = block_scan(rates[None], [doses], edges, range(len(rates)), look=Look(unit=unit, areas=areas)).stats[0, 0]
    largest = usual[:, crossing.PEAK].max()
    allowed = 2.0 * slack(rates, width) * np.maximum(usual[:, crossing.PEAK], 1e-9 * largest)  # both have their error
    for which in (crossing.START, crossing.END, crossing.PEAK):
        assert (np.abs(other[:, which] - usual[:, which]) <= allowed).all()
    if areas:
        assert (np.abs(other[:, crossing.AREA] - usual[:, crossing.AREA]) <= allowed * width).all()
    else:
        assert (other[:, crossing.AREA] == 0.0).all()


@examples(60)
@given(data=st.data(), rates=networks(), width=st.floats(0.5, 150.0))
def test_no_level_is_above_the_peak_or_below_the_least(data: st.DataObject, rates: Floats, width: float) -> None:
    """The peak is the level at its time, and no sample is higher or below the least, in every compartment."""
    doses = data.draw(courses(len(rates)))
    low = data.draw(st.one_of(st.just(first(doses)), st.floats(0.0, 24.0)))
    edges = [low, low + width]
    assume(edges[1] not in stops(doses))
    found = block_scan(rates[None], [doses], edges, range(len(rates)), look=Look(valleys=True)).stats[0, 0]
    assert (found[:, crossing.LEAST] <= np.minimum(found[:, crossing.START], found[:, crossing.END])).all()
    peak, when = found[:, crossing.PEAK], found[:, crossing.TIME_OF_PEAK]
    # The time of a peak at the end of a step is a sum of three: one rounding beyond the edge is allowed.
    assert ((when >= edges[0]) & (when <= np.nextafter(edges[1], np.inf))).all()
    time = samples(doses, *edges)
    sampled = levels(rates, doses, time)
    hours = max(edges[1] - first(doses), 0.0)
    largest = levels(rates, doses, sorted(stops(doses))).max()
    allowed = 2.0 * slack(rates, hours)  # both sides have their error
    assert (sampled.max(axis=0) - peak <= allowed * np.maximum(peak, 1e-9 * largest)).all()
    # Between two samples a level falls no further than its steepest slope takes it; here only that none is missed.
    assert (found[:, crossing.LEAST] - sampled.min(axis=0) <= allowed * np.maximum(peak, 1e-9 * largest)).all()
    reached, _ = exact.course(rates, doses, sorted(set(when)))
    at = reached[np.searchsorted(sorted(set(when)), when), np.arange(len(rates))]
    # The slope is 0 at a peak, so that a time rounded to EPS costs nothing; at a kink the time is a stop's own.
    assert (errors(at, peak, largest) <= allowed).all()


@examples(60)
@given(
    data=st.data(), rates=networks(), width=st.floats(0.5, 150.0), share=st.floats(0.01, 0.99), cut=st.floats(0.1, 0.9)
)
def test_crossings_split_the_course_into_above_and_below(
    data: st.DataObject, rates: Floats, width: float, share: float, cut: float
) -> None:
    """Every crossing is one, none is missing, and time above and first crossing follow from them."""
    doses = data.draw(courses(len(rates)))
    into = data.draw(st.integers(0, len(rates) - 1))
    low = data.draw(st.one_of(st.just(first(doses)), st.floats(0.0, 24.0)))
    edges = [low, low + width]
    assume(edges[1] not in stops(doses))
    peak = float(block_scan(rates[None], [doses], edges, [into]).stats[0, 0, 0, crossing.PEAK])
    limit = share * peak
    assume(limit > 1e-9 * levels(rates, doses, sorted(stops(doses))).max())  # below, a level has no digits to promise
    found = block_scan(rates[None], [doses], edges, [into], [limit])
    times = found.crossing_times(0)
    assert times == sorted(times)
    assert all(edges[0] <= moment <= edges[1] for moment in times)

    # The level at a crossing is the threshold, but for the rounding of the level and of the time (slope x time).
    hours = max(edges[1] - first(doses), 0.0)
    moved = 0.0  # how far the crossings may lie from where exact arithmetic has them, all together
    if times:
        reached, _ = exact.course(rates, doses, times)
        for moment, state in zip(times, reached, strict=True):
            pouring = sum(
                dose.rate for dose in doses if dose.duration and dose.compartment == into and on(dose, moment)
            )
            slope = abs(float(rates[into] @ state) + pouring)
            assert abs(state[into] - limit) <= slack(rates, hours) * limit + 4.0 * EPS * moment * slope
            moved += float(slack(rates, hours)) * limit / slope if slope > 0.0 else np.inf

    # Between crossings, doses and edges a level stays on one side, that of the middle.
    marks = sorted({*edges, *times, *(stop for stop in stops(doses) if edges[0] < stop < edges[1])})
    middle = [0.5 * (begin + end) for begin, end in pairwise(marks)]
    side = levels(rates, doses, middle)[:, into] - limit
    doubtful = np.abs(side) <= 4.0 * slack(rates, hours) * limit  # it touches the threshold, or a piece of no length
    above = side > 0.0
    lengths = np.diff(marks)
    expected = float(lengths[above].sum())
    # Times are rounded to EPS of themselves, at both ends of every piece.
    tolerance = 2.0 * EPS * edges[1] * len(marks) + float(lengths[doubtful].sum())
    assert abs(found.time_above[0, 0, 0, 0] - expected) <= tolerance
    if not doubtful.any():
        begin = marks[int(np.argmax(above))] if above.any() else np.inf
        first_time = found.first_crossing[0, 0, 0, 0]
        assert first_time == begin or abs(first_time - begin) <= 2.0 * EPS * edges[1]
        time = samples(doses, *edges)
        sampled = levels(rates, doses, time)[:, into] - limit
        clear = (np.abs(sampled) > 4.0 * slack(rates, hours) * limit) & ~np.isin(time, marks)
        piece = np.searchsorted(marks, time) - 1
        assert ((sampled > 0.0) == above[np.clip(piece, 0, len(above) - 1)])[clear].all()

    # A window cut in two has the same figures; a level reached on another way crosses that much earlier or later.
    halves = block_scan(rates[None], [doses], [edges[0], low + cut * width, edges[1]], [into], [limit])
    assert halves.stats[0, :, 0, crossing.PEAK].max() == pytest.approx(
        peak, rel=2.0 * float(slack(rates, hours)), abs=0
    )
    assert halves.time_above[0, :, 0, 0].sum() == pytest.approx(
        found.time_above[0, 0, 0, 0], rel=0, abs=tolerance + 4.0 * EPS * edges[1] + 2.0 * moved
    )


def test_a_dose_at_an_edge_belongs_to_the_interval_after_it() -> None:
    """At a session's start the level is the one before its dose; of several edges there the last takes the dose."""
    k = 0.25
    doses = [Dose(0.0, 0, 100.0), Dose(8.0, 0, 50.0), Dose(8.0, 0, 30.0, 4.0)]
    found = block_scan(np.array([[[-k]]]), [doses], [0.0, 8.0, 8.0, 12.0], [0], [50.0])
    before = 100.0 * np.exp(-8.0 * k)
    pumped = 30.0 / 4.0 / k
    end = pumped + (before + 50.0 - pumped) * np.exp(-4.0 * k)
    area = (before + 50.0 + 30.0 - end) / k  # what left, over its rate
    exactly = np.array(
        [
            [100.0, before, 100.0, 0.0, (100.0 - before) / k, before],
            [before, before, before, 8.0, 0.0, before],
            [before + 50.0, end, before + 50.0, 8.0, area, end],
        ]
    )
    # 32 steps of 1/4 h or so at the most, each a rounding, and a difference of numbers four times larger.
    np.testing.assert_allclose(found.stats[0, :, 0], exactly, rtol=64.0 * EPS, atol=0.0)
    falls = np.log(100.0 / 50.0) / k
    later = np.log((before + 50.0 - pumped) / (50.0 - pumped)) / k
    np.testing.assert_allclose(found.time_above[0, :, 0, 0], [falls, 0.0, later], rtol=64.0 * EPS, atol=0.0)
    np.testing.assert_array_equal(found.first_crossing[0, :, 0, 0], [0.0, np.inf, 8.0])
    np.testing.assert_allclose(found.crossing_times(0), [falls, 8.0 + later], rtol=64.0 * EPS, atol=0.0)


def test_a_dip_between_two_peaks_is_not_stepped_over() -> None:
    """Two waves of absorption, 24 transit compartments each, peak at 1.18 h and 2.32 h with a dip at 1.65 h.

    The scan's steps grow with the time since the dose. One that doubled it, from 1 h to 2 h, would go from rising
    to rising over the first peak and the dip.
    """
    chain, count = 24, 49
    rates = np.zeros((count, count))
    for wave, rate in ((0, 20.0), (1, 10.0)):
        for link in range(wave * chain, (wave + 1) * chain):
            onward = link + 1 if link + 1 < (wave + 1) * chain else count - 1
            rates[link, link] -= rate
            rates[onward, link] += rate
    rates[-1, -1] = -50.0
    doses = [Dose(0.0, 0, 50.0), Dose(0.0, chain, 100.0)]
    time = np.linspace(0.0, 6.0, 6001)
    sampled = levels(rates, doses, time)[:, -1]
    rising = np.diff(sampled) > 0.0
    turns = np.flatnonzero((rising[1:] != rising[:-1]) & (sampled[1:-1] > 0.0)) + 1
    first_peak, dip, second_peak = sampled[turns]
    lower = min(first_peak, second_peak)
    # Half way; and so near a turn that both crossings lie within one step, 0.001 h apart.
    limits = [0.5 * (dip + lower), dip * (1.0 + 1e-5), lower * (1.0 - 1e-5)]
    found = block_scan(rates[None], [doses], [0.0, 6.0], [count - 1], limits)
    for number, limit in enumerate(limits):
        times = np.array(found.crossing_times(number))
        assert times.size == 4
        assert (np.diff([0.0, *times, 6.0]) > 0.0).all()
        assert times[0] < time[turns[0]] < times[1] < time[turns[1]] < times[2] < time[turns[2]] < times[3]
        inside = times[1] - times[0] + times[3] - times[2]
        assert found.time_above[0, 0, 0, number] == pytest.approx(inside, rel=0, abs=8.0 * EPS * 6.0)
        reached = levels(rates, doses, times)[:, -1]
        # Two errors of the level; times are rounded to EPS, over which a level moves by norm * EPS * time at most.
        assert (np.abs(reached / limit - 1.0) <= 2.0 * slack(rates, times)).all()
    # The nearest sample is half a step away or less: (0.0005 h)^2 / 2 over the square of the width, 0.2 h.
    peak = found.stats[0, 0, 0, crossing.PEAK]
    assert max(first_peak, second_peak) <= peak <= max(first_peak, second_peak) * (1.0 + 4e-6)


def on(dose: Dose, moment: float) -> bool:
    """Whether an infusion is running at a moment."""
    return dose.time <= moment < dose.end
