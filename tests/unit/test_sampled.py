"""Areas and times above of sampled curves, and hybrid constants: figures for comparison with other programs."""

from __future__ import annotations

import numpy as np
import pytest

from pkmodel.errors import InputError
from pkmodel.hybrid import hybrid_constants
from pkmodel.sampled import sampled_auc, sampled_time_above

#: Rounding of a handful of additions.
CLOSE = 1e-14


def test_trapezoids() -> None:
    """1/2 + 1 + 3/2 x 2."""
    assert sampled_auc([0, 1, 2, 4], [0, 1, 1, 2]) == 4.5
    assert sampled_auc([3.0], [5.0]) == 0.0


def test_an_exponential_is_exact_by_its_logarithm() -> None:
    """Samples of exp(-k t): the area and the time above are those of the curve, however few samples."""
    k, time = 0.3, np.array([0.0, 0.5, 4.0, 10.0])
    level = np.exp(-k * time)
    assert sampled_auc(time, level, "linear_up_log_down") == pytest.approx((1 - np.exp(-3.0)) / k, rel=CLOSE)
    above = sampled_time_above(time, level, 0.4, "linear_up_log_down")
    assert above == pytest.approx(np.log(1 / 0.4) / k, rel=CLOSE)
    assert sampled_auc(time, level, "linear") > (1 - np.exp(-3.0)) / k


def test_to_zero_and_from_zero_is_a_straight_line() -> None:
    """There is no exponential through 0."""
    for method in ("linear", "linear_up_log_down"):
        assert sampled_auc([0, 1, 2], [0, 6, 0], method) == 6.0
        assert sampled_time_above([0, 1, 2], [0, 6, 0], 3.0, method) == 1.0


def test_a_fall_by_one_rounding() -> None:
    """Two neighbouring numbers have a ratio that may round to 1; the area stays finite."""
    high = 2.0 - 2.0**-52
    low = np.nextafter(high, 0.0)
    assert sampled_auc([0.0, 1.0], [high, low], "linear_up_log_down") == pytest.approx(high, rel=CLOSE)
    assert sampled_time_above([0.0, 1.0], [high, low], high, "linear_up_log_down") == 0.0


def test_a_threshold_of_nothing() -> None:
    """All of the time is at or above 0, and none above infinity less."""
    assert sampled_time_above([0, 1, 3], [2, 0, 1], 0.0) == 3.0
    assert sampled_time_above([0, 1, 3], [2, 0, 1], 9.0) == 0.0
    assert sampled_time_above([0, 1, 3], [2, 1, 4], -1.0, "linear_up_log_down") == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [1, 2], "log"), r"method  found log  expected one of linear, linear_up_log_down"),
        (([0, 1], [1, 2, 3]), r"as many levels as times"),
        (([], []), r"at least one"),
        (([0, 0], [1, 2]), r"expected rising times"),
        (([1, 0], [1, 2]), r"expected rising times"),
        (([0, np.nan], [1, 2]), r"expected rising times"),
        (([0, 1], [1, -2]), r"levels of at least 0"),
        (([0, 1], [1, np.inf]), r"levels of at least 0"),
    ],
)
def test_refused(arguments: tuple[object, ...], message: str) -> None:
    """What is no sampled curve."""
    with pytest.raises(InputError, match=message):
        sampled_auc(*arguments)  # type: ignore[arg-type]


def test_a_threshold_must_be_a_number() -> None:
    """NaN is above nothing and below nothing."""
    with pytest.raises(InputError, match=r"threshold  found nan"):
        sampled_time_above([0, 1], [1, 2], float("nan"))


@pytest.mark.parametrize(
    "micro",
    [
        {"k10": 0.25},
        {"k10": 0.25, "k12": 0.24, "k21": 0.075},
        {"k10": 0.25, "k12": 0.24, "k21": 0.075, "k13": 0.1, "k31": 0.0049},
        {"k10": 0.0, "k12": 0.24, "k21": 0.075, "k13": 0.1, "k31": 0.075},
        {"k10": 1.0, "k12": 0.0, "k21": 1.0},
    ],
)
def test_hybrid_constants_are_the_model(micro: dict[str, float]) -> None:
    """The sum of exponentials is the unit-bolus curve of the matrix, equal rates and closed systems included."""
    from scipy.linalg import expm

    k = {"k12": 0.0, "k21": 0.0, "k13": 0.0, "k31": 0.0, **micro}
    matrix = np.array(
        [[-k["k10"] - k["k12"] - k["k13"], k["k21"], k["k31"]], [k["k12"], -k["k21"], 0], [k["k13"], 0, -k["k31"]]]
    )
    found = hybrid_constants(**micro, volume=7.0)
    assert found.coefficients.sum() == pytest.approx(1 / 7.0, rel=CLOSE)
    for time in (0.1, 2.0, 30.0):
        curve = float((found.coefficients * np.exp(-found.rates * time)).sum())
        assert curve == pytest.approx(expm(matrix * time)[0, 0] / 7.0, rel=1e-13)


@pytest.mark.parametrize(("name", "value"), [("k10", -0.1), ("k12", float("nan")), ("volume", 0.0)])
def test_hybrid_constants_refused(name: str, value: float) -> None:
    """Negative, not finite, no volume."""
    given: dict[str, float] = {"k10": 0.1, name: value}
    with pytest.raises(InputError, match=rf"^{name}  found"):
        hybrid_constants(**given)
