"""What a browser may say: what the page's script sends comes through as it is, and nothing else comes through."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkmodel.app.connection import MOST_WAITING, Connections
from pkmodel.app.course import protocol_of
from pkmodel.app.messages import MOST_FIELDS, MOST_LETTERS, MOST_NAMES, TOO_LONG, Illegal, Reader
from pkmodel.app.page import _flat
from pkmodel.app.state import Arm, Row, State, edited
from pkmodel.errors import InputError

HELLO = {"method": "init", "data": {".clientdata_url_search": "?s=abc", ".clientdata_output_curve_width": 800}}


def _reader() -> Reader:
    made = Reader()
    assert made.read(json.dumps(HELLO)) is not None
    return made


def _read(**data: Any) -> dict[str, Any]:
    text = _reader().read(json.dumps({"method": "update", "data": data}))
    return {} if text is None else json.loads(text)["data"]


def test_what_the_page_sends_comes_through() -> None:
    edits = {"n": 1, "edits": {"person.weight": "93", "view.log": True, "effects": ["a", "b"], "limits.upper": ""}}
    act = {"n": 2, "act": "reveal", "arg": "", "fields": {"prediction": "12.5"}}
    assert _read(edits=edits, act=act) == {"edits": edits, "act": act}
    assert _read(curve_click={"x": 1.5, "y": 3, "domain": {}})["curve_click"]["x"] == 1.5
    assert json.loads(Reader().read(json.dumps(HELLO)) or "") == HELLO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "7",
        '{"method": "init"}',
        '{"method": "init", "data": []}',
        '{"data": {}}',
        '{"method": "uploadInit", "args": [[{"name": "x", "size": 1, "type": ""}]], "tag": 1}',
        '{"method": "init", "data": {}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps({"method": ["update"], "data": {}}),
    ],
)
def test_what_no_page_sends_ends_the_connection(text: str) -> None:
    with pytest.raises(Illegal):
        _reader().read(text)


def test_nothing_is_said_before_hello() -> None:
    with pytest.raises(Illegal):
        Reader().read('{"method": "update", "data": {}}')


@pytest.mark.parametrize(
    "data",
    [
        {"shell": "rm"},
        {"__class__": 1},
        {"edits": "person.weight"},
        {"edits": {"edits": {"a" * 81: 1}}},
        {"edits": {"edits": {"person": {"weight": 1}}}},
        {"edits": {"edits": {"also": [["a"]]}}},
        {"edits": {"edits": {"also": ["a"] * 10_000}}},
        {"edits": {"edits": {"person.weight": math.nan}}},
        {"edits": {"edits": {"person.weight": math.inf}}},
        {"edits": {"edits": {"person.weight": 10**400}}},
        {"edits": {"edits": {f"a.rows.{index}.dose": 1 for index in range(MOST_FIELDS + 1)}}},
        {"act": {"act": 5}},
        {"act": {"act": "x" * 41}},
        {"act": ["undo"]},
        {"curve_click": {"x": "1"}},
        {"curve_click": {"x": math.nan}},
        {"curve_hover": {"x": True}},
        {"tab": {"a": 1}},
        {".clientdata_output_curve_width": {"a": 1}},
        {".clientdata_output_curve_width": math.inf},
        {".clientdata_../x": 1},
        {"file:shiny.file": [{"name": "x"}]},
    ],
)
def test_what_no_field_holds_is_dropped(data: dict[str, Any]) -> None:
    assert _read(**data) == {}


def test_a_text_that_is_too_long_comes_through_as_words_that_say_so() -> None:
    most, more = "x" * MOST_LETTERS, "x" * (MOST_LETTERS + 1)
    edits = {"a.rows.0.at": more, "a.rows.0.over": most, "also": [more, "a"]}
    found = _read(edits={"n": 1, "edits": edits}, act={"n": 2, "act": "reveal", "arg": "", "fields": {"level": more}})
    assert found["edits"]["edits"] == {"a.rows.0.at": TOO_LONG, "a.rows.0.over": most, "also": [TOO_LONG, "a"]}
    assert found["act"]["fields"] == {"level": TOO_LONG}


STATE = State(a=Arm(source="rows", rows=(Row(),)), b=Arm(source="text", text="x"), also=("x",), effects=("y",))


@pytest.mark.parametrize("path", [path for path in _flat(STATE.model_dump(mode="json")) if path != "a.rows"])
def test_no_field_takes_these_words_for_what_it_holds(path: str) -> None:
    """But for the text of a course and its times, whose words are read when the course is made."""
    try:
        edited(STATE, {path: TOO_LONG})
    except InputError:
        return
    assert path in ("a.text", "b.text", "a.rows.0.at", "a.rows.0.over", "a.rows.0.every")
    arm = Arm(source="text", text=TOO_LONG) if path.endswith("text") else edited(STATE, {path: TOO_LONG}).a
    with pytest.raises(InputError):
        protocol_of(arm, "a")


def test_a_page_uses_so_many_names_and_no_more() -> None:
    reader = _reader()
    told = {f".clientdata_output_x{index}_width": 1 for index in range(5000)}
    passed = json.loads(reader.read(json.dumps({"method": "update", "data": told})) or "")["data"]
    assert len(passed) == MOST_NAMES - 2  # two were said with hello


def test_a_link_is_all_that_is_left_of_the_address() -> None:
    query = "?_inputs_&edits=1&_values_&s=abc&_state_id_=../../x"
    read = json.loads(Reader().read(json.dumps({"method": "init", "data": {".clientdata_url_search": query}})) or "")
    assert read["data"] == {".clientdata_url_search": "?s=abc"}
    none = json.loads(
        Reader().read(json.dumps({"method": "init", "data": {".clientdata_url_search": "?_inputs_&x=1"}})) or ""
    )
    assert none["data"] == {".clientdata_url_search": ""}


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=12), part, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["edits", "act", "curve_click", "tab", ".clientdata_pixelratio", ".clientdata_url_search"])


@given(st.dictionaries(NAMES | st.text(max_size=12), TREES, max_size=4))
@settings(max_examples=300)
def test_whatever_is_said_is_read_or_dropped(data: dict[str, Any]) -> None:
    text = _reader().read(json.dumps({"method": "update", "data": data}))
    if text is not None:
        left = json.loads(text, parse_constant=lambda name: pytest.fail(name))["data"]
        assert set(left) <= set(data)
        if "act" in left:
            assert set(left["act"]) == {"n", "act", "arg", "fields"} and isinstance(left["act"]["fields"], dict)


async def _connected(
    app: Any, incoming: list[dict[str, Any]], *, stuck: bool = False, most: int = 10
) -> tuple[list[Any], Connections]:
    """What an application sends to a browser that says ``incoming`` and then nothing; ``stuck``: that takes nothing."""
    sent: list[Any] = []
    waiting = list(incoming)

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        if stuck:
            await asyncio.sleep(3600)
        sent.append(message)

    made = Connections(app, most)
    async with asyncio.timeout(20):
        await made({"type": "websocket"}, receive, send)
    return sent, made


def _text(message: Any) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": message if isinstance(message, str) else json.dumps(message)}


def test_a_connection_ends_at_what_no_page_sends_with_a_code_that_says_so() -> None:
    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(json.loads(message["text"]))

    sent, made = asyncio.run(_connected(app, [_text(HELLO), _text("nonsense")]))
    assert heard == [HELLO]
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert made.open == 0
    sent, _ = asyncio.run(_connected(app, [_text(HELLO), {"type": "websocket.receive", "bytes": b"\x00"}]))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_who_takes_nothing_is_let_go_and_keeps_nobody_waiting() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(40):
            await send({"type": "websocket.send", "text": "x" * (MOST_WAITING // 20)})
        ended.append(await receive())

    asyncio.run(_connected(app, [], stuck=True))
    assert ended == [{"type": "websocket.disconnect", "code": 1008}]


def test_so_many_pages_are_open_and_no_more() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not asked")

    sent, _ = asyncio.run(_connected(app, [{"type": "websocket.connect"}], most=0))
    assert sent == [{"type": "websocket.close", "code": 1013}]
