"""Rows of the page as protocols that the loader of the command line reads, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkmodel import simulate
from pkmodel.app.course import protocol_of, yaml_of
from pkmodel.app.rows import added, as_rows, clicked, nearest_row, removed
from pkmodel.app.state import Arm, Row
from pkmodel.errors import InputError
from pkmodel.population import Patient
from pkmodel.specs.loading import check, library
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.yaml_tree import read_yaml_text

MODEL = "ketamine_clements1981"
PATIENT = Patient(weight="70 kg", age="40 y")


def by_rows(*rows: Row, drug: str = "ketamine") -> Arm:
    return Arm(source="rows", drug=drug, rows=rows)


def levels(*rows: Row, until: str = "12 h") -> np.ndarray:
    return simulate(protocol_of(by_rows(*rows)), MODEL, PATIENT, until=until, every="10 min").level()[0]


@pytest.mark.parametrize("name", sorted(library("protocols")))
def test_a_protocol_of_the_library_is_the_same_by_rows(name: str) -> None:
    arm, lost = as_rows(Arm(protocol=name))
    whole, rows = protocol_of(Arm(protocol=name)).plan(), protocol_of(arm).plan()
    values = PATIENT.population().values()
    assert [planned.start for planned in rows] == pytest.approx([planned.start for planned in whole])
    assert [planned.over for planned in rows] == pytest.approx([planned.over for planned in whole])
    if not lost:
        from pkmodel import dosing

        given = [[dosing.resolve(planned, values, 1).given[0] for planned in plan] for plan in (whole, rows)]
        assert given[0] == pytest.approx(given[1])


def test_a_row_is_what_the_protocol_of_the_library_says() -> None:
    arm, lost = as_rows(Arm(protocol="iv_single"))
    assert lost == []
    assert arm.rows == (Row(dose=0.5, unit="mg/kg", at="0 min", over="40 min"),)


def test_what_rows_do_not_keep_is_said() -> None:
    _, lost = as_rows(Arm(protocol="iv_titrated_with_stops"))
    assert "decisions of the clinic" in lost[0]
    assert "dose caps and rounding" in lost[0]


def test_doses_that_overlap_add_up() -> None:
    infusion, bolus = Row(dose=0.5, over="40 min"), Row(dose=0.2, at="10 min")
    second = Row(dose=1, unit="mg/kg/h", at="30 min", over="20 min")
    together = levels(infusion, bolus, second)
    alone = [levels(infusion)]
    for row, shift in ((bolus, 1), (second, 3)):  # steps of the grid by which it is later
        shifted = levels(row.model_copy(update={"at": "0 min"}))
        alone.append(np.concatenate([np.zeros(shift), shifted[:-shift]]))
    assert together == pytest.approx(sum(alone), rel=1e-9)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 240),
            st.sampled_from([0, 5, 10, 40, 90]),
            st.sampled_from([0.1, 0.25, 0.5]),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_boluses_and_infusions_give_the_sum_of_their_doses(given_rows: list[tuple[int, int, float]]) -> None:
    rows = [Row(dose=dose, at=f"{at} min", over=f"{over} min" if over else "") for at, over, dose in given_rows]
    spec = protocol_of(by_rows(*rows))
    total = sum(part.dose.value for planned in spec.plan() for part in planned.parts)
    assert total == pytest.approx(sum(dose for _, _, dose in given_rows))
    first = min(at for at, _, _ in given_rows)
    last = max(at + over for at, over, _ in given_rows)
    assert spec.plan()[-1].end == pytest.approx((last - first) / 60, abs=1e-6)


def test_repeats_and_tapers() -> None:
    spec = protocol_of(by_rows(Row(dose=0.5, to=0.2, over="40 min", every="7 d", count=4)))
    assert [planned.dose.value for planned in spec.plan()] == pytest.approx([0.5, 0.4, 0.3, 0.2])
    assert [planned.start for planned in spec.plan()] == [0.0, 168.0, 336.0, 504.0]
    rising = protocol_of(by_rows(Row(dose=0.1, to=0.3, every="24 h", count=3)))
    assert [planned.dose.value for planned in rising.plan()] == pytest.approx([0.1, 0.2, 0.3])
    between = protocol_of(by_rows(Row(dose=0.5, to=0.3, every="24 h", count=3), Row(dose=0.1, at="30 h")))
    assert [planned.dose.value for planned in between.plan()] == pytest.approx([0.5, 0.4, 0.1, 0.3])


def test_devices_and_sprays() -> None:
    nose = Row(dose=3, unit="devices", route="intranasal")
    (planned,) = protocol_of(by_rows(nose, drug="esketamine")).plan()
    assert planned.dose.value == 84 and planned.device is not None
    (planned,) = protocol_of(by_rows(Row(dose=5, unit="sprays", route="intranasal"))).plan()
    assert planned.dose.value == 50 and planned.atomiser is not None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row(unit="mg/h", dose=20), "row 1, over"),
        (Row(over="40"), "row 1, over  found 40 without a unit"),
        (Row(at="-3 min"), "row 1, at"),
        (Row(at="soon"), "row 1, at"),
        (Row(count=3), "row 1, every"),
        (Row(unit="devices", route="intranasal", dose=2), "drug  found devices of ketamine"),
        (Row(unit="sprays", route="iv", dose=2), "row 1, route"),
        (Row(unit="sprays", route="intranasal", dose=1.5), "row 1, dose  found 1.5 sprays  expected a whole number"),
        (Row(unit="sprays", route="intranasal", dose=90), "row 1, dose"),
        (Row(dose=9000), "row 1, dose"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(row: Row, said: str) -> None:
    with pytest.raises(InputError) as caught:
        protocol_of(by_rows(row))
    assert said in str(caught.value)
    assert "phases" not in str(caught.value)


def test_what_cannot_be_given_at_the_same_time_is_refused() -> None:
    with pytest.raises(InputError, match="row 2, at"):
        protocol_of(
            by_rows(Row(dose=0.5, over="40 min"), Row(dose=50, unit="mg", route="oral", at="20 min"), drug="esketamine")
        )
    with pytest.raises(InputError, match="row 2, at"):
        protocol_of(by_rows(Row(dose=0.5, over="40 min"), Row(dose=50, unit="mg", at="20 min")))


def test_the_file_says_what_the_page_shows() -> None:
    arm = by_rows(Row(dose=0.5, over="40 min"), Row(dose=0.2, at="4 h"))
    assert check(read_yaml_text(yaml_of(arm), "file"), ProtocolSpec).plan() == protocol_of(arm).plan()


def test_rows_come_and_go() -> None:
    arm = by_rows(Row(dose=0.5, over="40 min"))
    two = added(arm, Row(at="60 min"))
    assert len(two.rows) == 2 and removed(two, 1) == arm
    with pytest.raises(InputError, match="no dose left"):
        removed(arm, 0)
    with pytest.raises(InputError, match="row 6"):
        removed(arm, 5)


def test_a_click_is_a_time_that_a_hand_can_hit() -> None:
    assert clicked(0.5061, shown=7) == "30 min"
    assert clicked(3.367, shown=7) == "202 min"
    assert clicked(49.9, shown=400) == "50 h"
    assert clicked(-1, shown=7) == "0 min"


def test_the_dose_under_a_pointer() -> None:
    arm = by_rows(Row(dose=0.5, over="40 min"), Row(at="4 h", count=2, every="2 h"))
    assert nearest_row(arm, 0.4, within=0.05) == 0
    assert nearest_row(arm, 6.04, within=0.1) == 1
    assert nearest_row(arm, 2.5, within=0.1) is None
    assert nearest_row(Arm(), 0.0, within=1) is None
