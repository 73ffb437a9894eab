"""The served page against what no browser of a teacher would send: it says no, stays up, and its log stays quiet."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import random
import socket
import zlib
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import websockets
from serving import Served
from speaking import Speaker, hello
from websockets.asyncio.client import connect

from pkmodel.app.connection import MOST_MESSAGE
from pkmodel.app.link import packed
from pkmodel.app.state import Arm, Crowd, Row, State, View

pytestmark = pytest.mark.xdist_group("page")  # one server for all tests of the page

#: How many messages are tried on the open page; the long job sets more.
MESSAGES = int(os.environ.get("PKMODEL_PAGE_MESSAGES", "300"))


def _asked(page: Served, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """An answer to a request as it is written, nothing of its path tidied."""
    line = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    try:
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        line.close()


def _usable(page: Served) -> None:
    """A new page opens, draws, and takes a change."""

    async def one() -> None:
        async with Speaker(page.address) as speaker:
            await speaker.until(lambda: speaker.pictures)
            await speaker.edit({"person.weight": "81"})
            assert "peaks at" in speaker.shown["headline"]
            assert not speaker.errors

    asyncio.run(one())


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%252e%252e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/lib/shiny-1.8.0/../../../../../../etc/passwd",
        "/lib/jquery-3.6.0/%2e%2e/%2e%2e/%2e%2e/_app.py",
        "/../serve.py",
        "/%2e%2e/serve.py",
        "/page.css%00.py",
        "/page.css/../../serve.py",
        "/session/nobody/download/..%2f..%2fetc%2fpasswd",
        "/session/nobody/dataobj/shinytest",
        "/" + "a" * 20_000,
    ],
)
def test_no_file_outside_of_its_own_is_given(page_served: Served, path: str) -> None:
    status, _, body = _asked(page_served, "GET", path)
    assert status in (400, 404, 414)
    assert b"root:" not in body and b"import" not in body


def test_it_listens_on_this_machine_and_nowhere_else(page_served: Served) -> None:
    open_ = [one for own in page_served.family() for one in own.net_connections("inet")]
    assert {one.laddr.ip for one in open_ if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert {one.laddr.port for one in open_ if one.status == psutil.CONN_LISTEN} == {page_served.port}


def test_the_downloads_of_a_page_are_its_own_names_and_nothing_else(page_served: Served) -> None:
    async def one() -> str:
        async with Speaker(page_served.address) as speaker:
            await speaker.until(lambda: speaker.pictures)

            def status(name: str, method: str = "GET") -> tuple[int, bytes]:
                code, _, body = _asked(page_served, method, f"/session/{speaker.session}/{name}")
                return code, body

            code, body = await asyncio.to_thread(status, "download/yaml_a")
            assert code == 200 and b"drug: esketamine" in body
            code, body = await asyncio.to_thread(status, "download/csv")
            assert code == 200 and body.startswith(b"curve,model,subject,time_h")
            for name in ("download/..%2f..%2fetc%2fpasswd", "download//etc/passwd", "dataobj/shinytest", "upload/1"):
                assert (await asyncio.to_thread(status, name))[0] == 404
            assert (await asyncio.to_thread(status, "upload/1", "POST"))[0] == 405
            return speaker.session

    gone = asyncio.run(one())
    assert _asked(page_served, "GET", f"/session/{gone}/download/yaml_a")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_it_is_read_only(page_served: Served, method: str) -> None:
    assert _asked(page_served, method, "/")[0] in (400, 405)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/page.js", {}, 200),
        ("GET", "/lib/jquery-3.6.0/jquery-3.6.0.min.js", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("GET", "/", {"Host": "evil.example"}, 403),
        ("GET", "/", {"Host": "[::1"}, 403),
        ("GET", "/", {"Origin": "http://evil.example"}, 403),
        ("POST", "/", {}, 405),
    ],
)
def test_every_answer_has_the_headers_that_keep_a_page_to_itself(
    page_served: Served, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found, said, _ = _asked(page_served, method, path, **headers)
    assert found == status
    policy = said["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe-eval" not in policy and "unsafe-inline" not in policy.partition("style-src")[0]
    assert said["x-content-type-options"] == "nosniff" and said["x-frame-options"] == "DENY"
    assert "server" not in said


def test_a_page_of_another_site_opens_no_connection(page_served: Served) -> None:
    async def one() -> None:
        address = f"ws://127.0.0.1:{page_served.port}/websocket/"
        for origin in ("http://evil.example", "null"):
            with pytest.raises(websockets.InvalidStatus):
                async with connect(address, origin=origin):  # type: ignore[arg-type]
                    pass

    asyncio.run(one())


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        (None, "nonsense", 1008),
        (None, json.dumps({"method": "update", "data": {"edits": {}}}), 1008),
        (hello(), json.dumps(hello()), 1008),
        (hello(), b"\x00\xff", 1008),
        (hello(), "[" * 100_000, 1008),
        (hello(), json.dumps({"method": "uploadInit", "args": [[{"name": "x", "size": 1}]], "tag": 1}), 1008),
        (hello(), "x" * (10 << 20), 1009),
        (hello(), json.dumps({"method": "update", "data": {"tab": "x" * MOST_MESSAGE}}), 1009),
    ],
    ids=["no JSON", "before hello", "hello twice", "bytes", "deep", "an upload", "10 MB", "a large one"],
)
def test_what_no_page_sends_ends_its_connection_alone(page_served: Served, first: Any, then: Any, code: int) -> None:
    async def one() -> None:
        async with connect(f"ws://127.0.0.1:{page_served.port}/websocket/", max_size=None) as line:
            if first is not None:
                await line.send(json.dumps(first))
            with pytest.raises(websockets.ConnectionClosed) as ended:
                await line.send(then)
                async with asyncio.timeout(30):
                    async for _ in line:
                        pass
                raise websockets.ConnectionClosedOK(line.protocol.close_rcvd, None)
            assert line.protocol.close_rcvd is not None, ended.value
            assert line.protocol.close_rcvd.code == code

    asyncio.run(one())


def test_after_all_that_it_can_be_used(page_served: Served) -> None:
    _usable(page_served)


ROWS = Arm(source="rows", rows=(Row(),))
REFUSED = [
    {"crowd.n": 10**9},
    {"crowd.n": "1e9"},
    {"crowd.population": "../../etc/passwd"},
    {"view.hours": 876_000},
    {"view.clock": "99:99"},
    {"person.weight": "NaN"},
    {"person.weight": "1e400"},
    {"person.weight": []},
    {"person.weight_unit": ["lb"]},
    {"person": "me"},
    {"a": None},
    {"effects": "x" * 1999},
    {"a.rows.0.count": 1_000_000},
    {"a.rows.0.at": "876000 h ago"},
    {"a.rows.0.over": "9" * 1998 + " h"},  # the most letters that a field may have
    {"a.rows.0.over": "9" * 2001 + " h"},  # more than those
    {"person.weight": "7" * 100_000},
    {"a.rows.0.dose": "-0"},
    {"a.rows.10000.dose": 1},
    {"a.source": "text"},
    {"a.__class__.__init__": "x"},
    {"version": 2},
]


def test_fields_that_hold_too_much_or_the_wrong_kind_are_refused_and_the_curve_stays(page_served: Served) -> None:
    async def one() -> None:
        async with Speaker(page_served.address, f"?s={packed(State(a=ROWS))}") as speaker:
            await speaker.until(lambda: speaker.pictures)
            headline = speaker.shown["headline"]
            for changes in REFUSED:
                await speaker.edit(changes)
                assert "expected" in speaker.says or "found" in speaker.says, (changes, speaker.says)
                assert speaker.shown["headline"] == headline, changes
                assert len(speaker.says) < 2000
                await speaker.act("reset")
                await speaker.act("undo")
                await speaker.edit({"new.at": "5 min"})
            assert not speaker.errors

    asyncio.run(one())


def test_a_model_that_is_none_is_said_beside_the_curve_of_the_usual_one(page_served: Served) -> None:
    """As one is that does not fit the course: which model is drawn instead stands with its evidence."""

    async def one() -> None:
        async with Speaker(page_served.address, f"?s={packed(State(a=ROWS))}") as speaker:
            await speaker.until(lambda: speaker.pictures)
            headline = speaker.shown["headline"]
            await speaker.edit({"a.model": "__import__"})
            said = "__import__ does not fit this course"
            await speaker.until(lambda: said in str(speaker.shown["evidence"]))
            assert speaker.shown["headline"] == headline
            assert not speaker.errors

    asyncio.run(one())


def _link(raw: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(raw, 9)).decode().rstrip("=")


def _bomb() -> str:
    """A link of 9 kB whose end is GB away: zeros, packed, cut to what a link may have."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(9)) + packer.flush()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "link",
    [
        "%00%ff",
        base64.urlsafe_b64encode(random.Random(1).randbytes(6000)).decode(),
        "A" * 100_000,
        _bomb(),
        _link(b"[" * 30_000),
        _link(b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
        _link(b'{"person": {"weight": Infinity}}'),
        _link(json.dumps({"a": {"rows": [{}] * 10_000, "source": "rows"}}).encode()[:60_000]),
        _link(json.dumps({"crowd": {"n": "many"}}).encode()),
        _link(b'{"a": {"source": "text", "text": "a: &a [1]\\nb: &b [*a, *a]\\nc: [*b, *b]"}}'),
    ],
    ids=["bytes", "random", "long", "bomb", "deep lists", "deep maps", "infinity", "rows", "types", "yaml"],
)
def test_a_hostile_link_is_a_fresh_page_with_a_sentence(page_served: Served, link: str) -> None:
    async def one() -> None:
        async with Speaker(page_served.address, f"?s={link}") as speaker:
            await speaker.until(lambda: speaker.pictures)
            assert "The link could not be read" in speaker.says
            assert "peaks at 158 ng/mL" in speaker.shown["headline"]

    asyncio.run(one())


LONG = """title: A course without end
drug: ketamine
source: {citation: none, evidence: unsourced}
route: iv
phases:
  - {name: a, dose: 0.5 mg/kg, over: 40 min, sessions: {every: 1 h, count: 1000000}}
"""
CENTURY = LONG.replace("1 h, count: 1000000", "365 d, count: 100")


def test_a_course_of_a_million_sessions_or_a_hundred_years_holds_up_nobody(page_served: Served) -> None:
    async def both() -> None:
        arms = [Arm(source="text", text=LONG), Arm(source="text", text=CENTURY)]
        speakers = [Speaker(page_served.address, f"?s={packed(State(a=arm, crowd=Crowd(n=5000)))}") for arm in arms]
        other = Speaker(page_served.address)
        async with other:
            await other.until(lambda: other.pictures)
            async with speakers[0], speakers[1]:
                for weight in range(60, 66):
                    await other.edit({"person.weight": weight}, within=30)
                for speaker in speakers:
                    await speaker.until(lambda speaker=speaker: speaker.pictures, 90)
                assert "The link could not be read" in speakers[0].says

    asyncio.run(both())
    assert max(one.memory_info().rss for one in page_served.family()) < 2e9


def test_more_messages_than_anybody_sends(page_served: Served) -> None:
    """Names, places and values at random, some of them legal: answered or dropped, and the page works on."""
    chance = random.Random(20261126)
    paths = [
        "person.weight",
        "person.age",
        "a.protocol",
        "@.protocol",
        "a.rows.0.dose",
        "view.hours",
        "view.arm",
        "crowd.n",
        "also",
        "effects",
        "limits.upper",
        "new.dose",
        "new.at",
        "x",
        "",
        ".",
        "a..b",
        "a.rows.-1.dose",
    ]
    values: list[Callable[[], Any]] = [
        lambda: chance.choice(
            ["", "70", "-1", "1e308", "b", "\u00b2", "\ud83d\ude00", "esketamine_nasal_acute", "<b>"]
        ),
        lambda: chance.choice([None, True, 0, -1, 1e308, 2**52, 0.1]),
        lambda: chance.choice([[], ["nausea"], ["x"] * 20, {"a": 1}, [[1]], {}]),
        lambda: "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(30))),
    ]
    deeds = ["undo", "redo", "reset", "preset", "add", "remove", "rows", "beside", "alone", "arm", "swap", "suggest"]
    deeds += ["follow", "lesson", "lessons", "reveal", "step", "again", "play", "nothing", "__init__"]

    def value() -> Any:
        return chance.choice(values)()

    def message() -> dict[str, Any]:
        match chance.randrange(6):
            case 0 | 1:
                edits = {chance.choice(paths): value() for _ in range(chance.randrange(1, 4))}
                return {"edits": {"n": value(), "edits": edits}}
            case 2:
                arg = chance.choice(["", "a", "b", "0", "\u00b2", "bolus", "infusion_length", "9" * 9])
                return {"act": {"act": chance.choice(deeds), "arg": arg, "fields": {"level": value()}}}
            case 3:
                name = chance.choice(["curve_click", "curve_dblclick", "curve_hover"])
                return {name: chance.choice([None, {"x": value()}, {"x": 2.5}, value()])}
            case 4:
                name = chance.choice(["width", "height", "hidden", "bg"])
                return {f".clientdata_output_curve_{name}": value(), ".clientdata_pixelratio": value()}
            case _:
                return {chance.choice(["tab", "x", "a:b:c", "x:shiny.file", ".clientdata_", "edits"]): value()}

    async def one() -> None:
        left = MESSAGES
        while left > 0:
            async with Speaker(page_served.address) as speaker:
                await speaker.until(lambda: speaker.pictures)
                for _ in range(min(left, 100)):
                    await speaker.say({"method": "update", "data": message()})
                    if chance.random() < 0.1:
                        await speaker.edit({"person.sex": "female"}, within=300)
                await speaker.edit({"person.sex": "female"}, within=300)
                assert not speaker.errors
                left -= 100

    asyncio.run(one())
    _usable(page_served)


def test_a_thousand_connections_that_were_opened_and_left_keep_nobody_waiting(page_served: Served) -> None:
    lines = []
    try:
        for index in range(1000):
            line = socket.create_connection(("127.0.0.1", page_served.port), timeout=30)
            line.sendall(b"" if index % 2 else b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            lines.append(line)
        _usable(page_served)
    finally:
        for line in lines:
            line.close()
    _usable(page_served)


def test_a_browser_that_reads_nothing_keeps_nobody_waiting(page_served: Served) -> None:
    """It asks for pictures and never takes them; its connection fills, and others are answered all the same."""

    async def both() -> None:
        stuck = socket.create_connection(("127.0.0.1", page_served.port), timeout=30)
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        key = base64.b64encode(bytes(16))
        stuck.sendall(
            b"GET /websocket/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        stuck.sendall(_frame(json.dumps(hello(width=2000.0, height=1500.0))))
        try:
            async with Speaker(page_served.address) as other:
                await other.until(lambda: other.pictures)
                for index in range(30):
                    edits = {"n": index, "edits": {"person.weight": 50 + index}}
                    stuck.sendall(_frame(json.dumps({"method": "update", "data": {"edits": edits}})))
                    await other.edit({"person.weight": 60 + index}, within=30)
        finally:
            stuck.close()

    asyncio.run(both())


def _frame(text: str) -> bytes:
    """A websocket's frame of text as a browser sends it, masked with zeros."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


def test_what_is_written_into_names_and_titles_is_text() -> None:
    """In the HTML that a worker makes; no browser is asked."""
    from pkmodel.app.work import page_of

    script = "<img src=x onerror=x()>"
    text = CENTURY.replace("A course without end", script).replace("365 d", "7 d").replace("count: 100", "count: 3")
    arms = {"a": Arm(source="text", text=text, name=script), "b": Arm(name="</pre><script>")}
    shown = page_of(State(**arms, view=View(hours=2)), None, None)
    for html in (shown.numbers_html, shown.evidence_html, shown.nurse_html):
        assert "<img" not in html and "<script" not in html
    assert "&lt;img src=x" in shown.numbers_html
    assert "&lt;img src=x" in shown.evidence_html
