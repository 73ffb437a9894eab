"""The page as a value: its fields, its link, its history."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkmodel.app.history import History
from pkmodel.app.link import MOST_BYTES, MOST_LETTERS, packed, unpacked
from pkmodel.app.state import UNITS, Arm, Crowd, Limits, Person, Row, State, View, edited, label_of
from pkmodel.errors import InputError

NUMBERS = st.floats(0.001, 900, allow_nan=False)
TEXTS = st.text(max_size=20)
ROWS = st.builds(
    Row,
    dose=NUMBERS,
    unit=st.sampled_from(UNITS),
    at=TEXTS,
    over=TEXTS,
    every=TEXTS,
    count=st.integers(1, 200),
    to=st.none() | NUMBERS,
)
ARMS = st.builds(
    Arm,
    name=st.text(max_size=24),
    source=st.sampled_from(["library", "rows", "text"]),
    drug=st.sampled_from(["ketamine", "esketamine"]),
    rows=st.lists(ROWS, max_size=4).map(tuple),
    text=st.text(max_size=200),
)
STATES = st.builds(
    State,
    person=st.builds(
        Person,
        weight=NUMBERS,
        weight_unit=st.sampled_from(["kg", "lb"]),
        age=st.floats(0, 120),
        severity=st.none() | NUMBERS,
    ),
    a=ARMS,
    b=st.none() | ARMS,
    effects=st.lists(st.sampled_from(["nausea", "heart_rate"]), max_size=2).map(tuple),
    limits=st.builds(Limits, upper=st.none() | NUMBERS, discharge=st.none() | NUMBERS),
    crowd=st.builds(Crowd, n=st.integers(0, 5000), seed=st.integers(0, 2**31)),
    view=st.builds(View, log=st.booleans(), clock=st.sampled_from(["", "09:00"]), arm=st.sampled_from(["a", "b"])),
)


@given(STATES)
@settings(max_examples=60, deadline=None)
def test_a_link_brings_every_page_back(state: State) -> None:
    text = packed(state)
    assert unpacked(text) == state
    assert all(letter.isalnum() or letter in "-_" for letter in text)


def _link(tree: Any) -> str:
    raw = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return base64.urlsafe_b64encode(zlib.compress(raw)).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "%00\u00e9",
        "",
        "A" * (MOST_LETTERS + 1),
        packed(State(person=Person(weight=81)))[:-6],
        _link(b"0" * (MOST_BYTES + 10)),
        _link([1, 2]),
        _link({"person": {"weight": "heavy"}}),
        _link({"person": {"weight": 1e9}}),
        _link({"shell": "rm"}),
        _link(b'{"person": {"weight": NaN}}'),
        _link(b"[" * 20_000),
        _link({"a": {"protocol": "../../etc/passwd"}}),
        _link({"version": 2}),
    ],
)
def test_a_damaged_or_hostile_link_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        unpacked(text)


def test_a_link_that_unpacks_to_a_flood_is_not_unpacked() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 50_000_000)).decode()
    with pytest.raises(InputError):
        unpacked(bomb[:MOST_LETTERS])


def test_text_of_fields_becomes_numbers() -> None:
    state = edited(State(), {"person.weight": "82.5", "limits.upper": "120", "view.log": True, "effects": ["nausea"]})
    assert (state.person.weight, state.limits.upper, state.view.log, state.effects) == (82.5, 120.0, True, ("nausea",))
    assert edited(state, {"limits.upper": ""}).limits.upper is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"person.weight": "heavy"}, "weight  found heavy  expected a number such as 0.5"),
        ({"person.weight": ""}, "weight  found nothing  expected a number"),
        ({"person.age": "-3"}, "age  found -3"),
        ({"view.clock": "25:00"}, "clock time of the start  found 25:00  expected a time of day"),
        ({"person.hat": "red"}, "found person.hat  expected a field of the page"),
        ({"person.weight": "nan"}, "weight"),
        ({"a.rows.3.dose": 1}, "expected a field of the page"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        edited(State(), changes)
    assert said in str(caught.value)


def test_another_unit_is_the_same_patient() -> None:
    state = edited(State(), {"person.weight_unit": "lb", "person.height_unit": "inch"})
    assert (state.person.weight, state.person.height) == (154.3, 66.9)
    back = edited(state, {"person.weight_unit": "kg"})
    assert back.person.weight == pytest.approx(70, abs=0.05)
    assert edited(State(), {"person.weight": "150", "person.weight_unit": "lb"}).person.weight == 150


def test_without_a_second_course_the_first_is_edited() -> None:
    assert State(view=View(arm="b")).editing == "a"
    second = Arm(name="second")
    assert State(b=second, view=View(arm="b")).arm == second


def test_undo_and_redo() -> None:
    history = History(State())
    first, second, third = (edited(State(), {"person.weight": weight}) for weight in (71, 72, 73))
    assert history.put(first, "person.weight", 0.0)
    assert history.put(second, "person.weight", 0.5)  # the same drag
    assert history.put(third, "person.weight", 9.0)
    assert not history.put(third, "person.weight", 10.0)
    assert history.undo() and history.now == second
    assert history.undo() and history.now == State()
    assert not history.undo()
    assert history.redo() and history.redo() and history.now == third
    assert not history.redo()
    history.undo()
    history.put(first, "other", 20.0)
    assert not history.redo()


def test_rows_are_named_as_the_page_does() -> None:
    assert label_of("a.rows.1.dose") == "row 2, dose"
    assert label_of("b.rows.0.over") == "B, row 1, over"


def test_a_change_leaves_what_it_does_not_change_the_very_same() -> None:
    """A history of a hundred pages holds sixty rows once."""
    before = State(a=Arm(source="rows", rows=(Row(), Row(dose=0.5), Row(dose=0.7))), b=Arm(name="nasal"))
    lighter = edited(before, {"person.weight": "60"})
    assert lighter.person.weight == 60 and lighter.a is before.a and lighter.b is before.b
    stronger = edited(lighter, {"a.rows.1.dose": "0.6"})
    assert [row.dose for row in stronger.a.rows] == [0.2, 0.6, 0.7]
    assert stronger.a.rows[0] is before.a.rows[0] and stronger.a.rows[2] is before.a.rows[2]
    assert stronger.person is lighter.person and stronger.b is before.b
    assert edited(before, {"b.name": "drip"}).b == Arm(name="drip")
