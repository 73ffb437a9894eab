"""Strategies: files, tables, words and quantities that are nearly right."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pandas as pd
from corpus import HOSTILE, KINDS, UNITS, Place, Tree, files, places, texts, walk, written
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FACTORS = (0.5, 2.0, 0.9, 1.1, -1.0, 0.0, 10.0, 1e3, 1e-3, 1e9, 1e-9, 1e300, 1e-300)


@st.composite
def trees(draw: DrawFn, kind: str, most: int = 4) -> Tree:
    """A shipped file of a kind with a few things changed."""
    tree = copy.deepcopy(draw(st.sampled_from(files(kind)))[1])
    for _ in range(draw(st.integers(0, most))):
        tree = _changed(draw, kind, tree)
    return tree


def _changed(draw: DrawFn, kind: str, tree: Tree) -> Tree:
    everywhere = walk(tree)
    if not everywhere:
        return tree
    place, key, value = draw(st.sampled_from(everywhere))
    what = draw(st.sampled_from(("number", "number", "unit", "other", "other", "hostile", "drop", "misspell", "more")))
    if what == "number":
        return _put(tree, place, _scaled(draw, value))
    if what == "unit":
        if isinstance(value, str) and _NUMBER.match(value):
            number = _NUMBER.match(value)
            assert number is not None
            return _put(tree, place, f"{number[0]} {draw(st.sampled_from(UNITS))}")
        return _put(tree, place, _scaled(draw, value))
    if what == "other":  # what stands under this key elsewhere, in a file of this kind or of another
        of = draw(st.sampled_from((kind, kind, kind, *KINDS)))
        known = places(of).get(str(key)) or places(kind).get(str(key)) or HOSTILE
        return _put(tree, place, copy.deepcopy(draw(st.sampled_from(known))))
    if what == "hostile":
        return _put(tree, place, copy.deepcopy(draw(st.sampled_from(HOSTILE))))
    if what == "drop":
        return _dropped(tree, place)
    if what == "misspell":
        return _renamed(tree, place, _misspelt(draw, str(key)))
    holder = _at(tree, place[:-1])
    if isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    else:
        extra = draw(st.sampled_from(sorted(places(kind))))
        holder[extra] = copy.deepcopy(draw(st.sampled_from(places(kind)[extra])))
    return tree


def _scaled(draw: DrawFn, value: Any) -> Any:
    """The same with another number in it, where there is one."""
    factor = draw(st.sampled_from(_FACTORS))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return draw(st.sampled_from((value + 1, value - 1, value * 2, int(min(max(value * factor, -1e15), 1e15)))))
    if isinstance(value, float):
        return value * factor
    if isinstance(value, str) and (found := list(_NUMBER.finditer(value))):
        one = draw(st.sampled_from(found))
        return f"{value[: one.start()]}{float(one[0]) * factor:.6g}{value[one.end() :]}"
    return copy.deepcopy(draw(st.sampled_from(HOSTILE)))


def _misspelt(draw: DrawFn, name: str) -> str:
    at = draw(st.integers(0, max(len(name) - 1, 0)))
    ways = (name[:at] + name[at + 1 :], name[:at] + name[at : at + 1] + name[at:], name.upper(), f"{name} ", f"x{name}")
    return draw(st.sampled_from(ways))


def _at(tree: Tree, place: Place) -> Any:
    for part in place:
        tree = tree[part]
    return tree


def _put(tree: Tree, place: Place, value: Any) -> Tree:
    _at(tree, place[:-1])[place[-1]] = value
    return tree


def _dropped(tree: Tree, place: Place) -> Tree:
    del _at(tree, place[:-1])[place[-1]]
    return tree


def _renamed(tree: Tree, place: Place, name: str) -> Tree:
    holder = _at(tree, place[:-1])
    if isinstance(holder, dict):
        kept = {(name if key == place[-1] else key): value for key, value in holder.items()}
        holder.clear()
        holder.update(kept)
    return tree


@st.composite
def raw_files(draw: DrawFn) -> bytes:
    """A shipped file of any kind broken as text or as bytes."""
    text = draw(st.sampled_from(texts(draw(st.sampled_from(KINDS)))))
    raw = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        to = min(len(raw), at + draw(st.sampled_from((0, 1, 2, 5, 40, 400))))
        put = draw(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=4), st.text(max_size=4).map(_bytes)))
        raw = raw[:at] + put + raw[to:]
    ending = draw(st.sampled_from(("keep", "keep", "keep", "windows", "mark", "utf-16", "cut", "twice")))
    if ending == "windows":
        return raw.replace(b"\n", b"\r\n")
    if ending == "mark":
        return b"\xef\xbb\xbf" + raw
    if ending == "utf-16":
        return raw.decode(errors="replace").encode("utf-16")
    if ending == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    return raw + b"\n---\n" + raw if ending == "twice" else raw


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


_PIECES = (
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!python/object/apply:os.system [id]\n",
    b"- ",
    b": ",
    b"\t",
    b"[" * 60,
    b"{",
    b"}",
)
_PIECES += (
    b"'",
    b'"',
    b"|\n",
    b">",
    b"#",
    b"\0",
    b"\x07",
    b"\xff\xfe",
    b"%YAML 1.1\n",
    b"---\n",
    b"...\n",
    b"? ",
    b"\r",
)
_PIECES += (
    b"on: yes\n",
    b"0x1F",
    b"0o17",
    b"1_000",
    b"12:30:45",
    b".nan",
    b"-.inf",
    b"~",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
)


@st.composite
def words(draw: DrawFn) -> list[str]:
    """A command line: a command with options that it has, and values of all sorts."""
    command = list(draw(st.sampled_from(_COMMANDS)))
    for _ in range(draw(st.integers(0, 3))):
        what = draw(st.integers(0, 9))
        if what < 6:
            command.append(draw(st.sampled_from(_OPTIONS)))
            command.append(draw(st.sampled_from(_VALUES)))
        elif what < 8:
            command.append(draw(st.sampled_from(_VALUES)))
        elif command:
            del command[draw(st.integers(0, len(command) - 1))]
    return command


_ONE = ("--model", "ketamine_clements1981", "--weight", "70 kg", "--until", "2 h")
_COMMANDS: tuple[tuple[str, ...], ...] = (
    (),
    ("models",),
    ("models", "show", "ketamine_kamp2020"),
    ("effects", "show", "dissociation_olofsen2022"),
    ("protocols", "--json"),
    ("protocols", "show", "iv_single", "--weight", "70 kg"),
    ("protocols", "export", "iv_single", "--weight", "70 kg", "--for", "nonmem"),
    ("scenarios", "show", "nasal_induction"),
    ("populations", "show", "adults_trials"),
    ("lessons",),
    ("lessons", "show", "bolus"),
    ("schema", "protocol"),
    ("check", "nothing.yaml"),
    ("simulate", "iv_single", *_ONE),
    ("simulate", "iv_single", *_ONE, "-o", "out.csv"),
    ("run", "nasal_induction", "--n", "3", "-o", "out"),
    ("compare", "iv_single", "iv_six_infusions", "--n", "3"),
    ("design", "iv_single", "--parameter", "dose", "--rule", "ceiling", "--n", "5"),
    ("suggest", "ketamine_kamp2020", "--target", "150 ng/mL", "--weight", "70 kg"),
    ("replay", "out"),
    ("report", "out"),
    ("merge", "out", "-o", "merged"),
    ("verify", "ketamine_clements1981"),
)
_OPTIONS = ("--weight", "--age", "--sex", "--height", "--model", "--n", "--seed", "--jobs", "-o", "--until", "--every")
_OPTIONS += ("--effect", "--engine", "--tolerance", "--json", "--strict", "--rule", "--parameter", "--drug", "--help")
_OPTIONS += (
    "--population",
    "--severity",
    "--ancestry",
    "--cyp2b6-activity",
    "--metrics",
    "--shard",
    "--fail-on",
    "--x",
)
_OPTIONS += (
    "--threshold",
    "--target",
    "--reference",
    "--ledger",
    "--records",
    "--pump",
    "--hold",
    "--resume",
    "--chunk",
)
# No path that leads out of the folder: some of these are written to. Those have tests of their own.
_VALUES = tuple(str(value) for value in HOSTILE if not {"/", "\0"} & set(str(value)[:1]) and ".." not in str(value))
_VALUES += (
    "70 kg",
    "70",
    "40 y",
    "female",
    "1",
    "2",
    "1/2",
    "3/2",
    "ode",
    "1e-6",
    "all",
    "iv_single",
    "dose",
    "ceiling",
)
_VALUES += (
    "ketamine_clements1981",
    "esketamine_perezruixo2021",
    "parent",
    "50 ng/mL",
    "2 h",
    "5 min",
    "out.csv",
    "out.png",
)
_VALUES += ("out.xyz", ".", "/dev/full/x.csv", "nothing/out.csv", "met", "broken", "-1", "0", "99999999999")


@st.composite
def records(draw: DrawFn) -> tuple[pd.DataFrame, Any, dict[str, Any]]:
    """A table of records, a model and its parameters; most of them nearly right."""
    rows = draw(st.integers(0, 6))
    steps = draw(st.lists(st.sampled_from((0.0, 0.5, 1, 24)), min_size=rows, max_size=rows))
    columns: dict[str, Any] = {"time": np.cumsum(steps)}
    wrong = draw(st.integers(0, 3)) == 0
    names = (*_COLUMNS, *_STRANGE) if wrong else _COLUMNS
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=7, unique=True)):
        cells: SearchStrategy[Any] = st.sampled_from(_CELLS.get(name.lower(), (0, 1, 2.5)))
        if wrong and draw(st.booleans()):
            cells = st.one_of(cells, st.sampled_from(HOSTILE))
        columns[name] = draw(st.lists(cells, min_size=rows, max_size=rows))
    model = draw(st.sampled_from((*_PARAMETERS, *_PARAMETERS, "ketamine_domino1984", "xx")))
    sizes: SearchStrategy[Any] = st.sampled_from((1, 4.0, 30, 0.5, 30, 4, 1e-3, 1e6))
    if draw(st.integers(0, 3)) == 0:
        sizes = st.one_of(sizes, st.sampled_from((0, -1, float("nan"), float("inf"), "x", None, 1e308, 5e-324)))
    given = {name: draw(sizes) for name in _PARAMETERS.get(model, ()) if draw(st.integers(0, 30))}
    return pd.DataFrame(columns), model, given


_PARAMETERS = {
    "one_compartment": ("CL", "V1"),
    "two_compartment": ("CL", "V1", "Q2", "V2"),
    "three_compartment": ("CL", "V1", "Q2", "V2", "Q3", "V3", "KA"),
}
_COLUMNS = ("id", "evid", "amt", "cmt", "rate", "addl", "ii", "ss", "lag", "f", "mdv", "note")
_STRANGE = ("TIME", "dur", "rat", "CL", "WT", "weight", "age", "ammt", "value", "amount_central", "time ")
_CELLS: dict[str, tuple[Any, ...]] = {
    "id": (1, 1, 2, "a"),
    "time": (0, 0.5, 1, 1, 24),
    "evid": (0, 1, 1, 2, 3, 4),
    "amt": (0, 100, 35.5),
    "cmt": (1, 2, "central", "depot", 1.0),
    "rate": (0, 10, -1, -2),
    "dur": (0, 1, 0.5),
    "rat": (0, 10),
    "addl": (0, 1, 3, 10**6),
    "ii": (0, 12, 24),
    "ss": (0, 0, 1, 2),
    "lag": (0, 0.25, 13),
    "f": (1, 0.5, 0),
    "weight": (70, 50),
    "cl": (4, 5),
}


@st.composite
def people(draw: DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A CSV table of people, broken, and the population file that reads it."""
    header = draw(st.lists(st.sampled_from(_HEADERS), min_size=1, max_size=7))
    cells = st.one_of(st.sampled_from(("70", "40", "170", "female", "male", "1", "0.5")), st.sampled_from(_VALUES))
    if draw(st.integers(0, 2)) == 0:
        header = ["sex", "age [y]", "height [cm]", "weight [kg]"]
    lines = [header]
    for _ in range(draw(st.integers(0, 4))):
        good = ["female", "40", "170", "70"] if len(header) == 4 else None
        line = (
            list(good)
            if good and draw(st.booleans())
            else draw(st.lists(cells, min_size=len(header), max_size=len(header)))
        )
        if draw(st.integers(0, 5)) == 0:
            line = line[:-1]
        lines.append(line)
    glue = draw(st.sampled_from((",", ",", ",", ";", "\t")))
    raw = "\n".join(glue.join(line) for line in lines).encode("utf-8", errors="surrogatepass")
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from(_PIECES)) + raw[at:]
    tree: dict[str, Any] = {
        "title": "people",
        "from_csv": {"file": draw(st.sampled_from(("people.csv",) * 8 + _PATHS))},
    }
    if draw(st.integers(0, 3)) == 0:
        tree["from_csv"]["draw"] = draw(st.sampled_from(("in_order", "bootstrap", "x")))
    return raw, tree


_HEADERS = (
    "sex",
    "age [y]",
    "height [cm]",
    "weight [kg]",
    "weight [lb]",
    "ancestry",
    "severity",
    "age",
    "weight",
    "",
    "x",
)
_PATHS = ("../../etc/passwd", "/etc/passwd", "/dev/zero", "people.csv/x", ".", "", "nothing.csv", "p\u0000x")

#: Quantities and formulas: what parsers of text get.
TEXTS = st.one_of(
    st.sampled_from([str(value) for value in HOSTILE]),
    st.text(alphabet="0123456789.eE+-*/() %,mgkgLhnuy\u00b5_<>=[]'\"\\", max_size=30),
    st.builds(
        lambda number, unit, tail: f"{number} {unit}{tail}",
        st.one_of(st.floats().map(repr), st.integers().map(str)),
        st.sampled_from(UNITS),
        st.sampled_from(("", "", "/", "**2", "^-1", " per kg", "*h", "/0", "\n", " " * 9)),
    ),
    st.recursive(
        st.sampled_from(("weight", "age", "1", "70", "0.75", "V1", "1e308", "0")),
        lambda inner: st.one_of(
            st.builds(
                lambda a, op, b: f"({a} {op} {b})",
                inner,
                st.sampled_from(("+", "-", "*", "/", "**", ">", "and", "%")),
                inner,
            ),
            st.builds(lambda f, a: f"{f}({a})", st.sampled_from(("exp", "log", "sqrt", "min", "open", "where")), inner),
        ),
        max_leaves=20,
    ),
)


def tree_text(kind: str) -> SearchStrategy[str]:
    """A changed file of a kind, as it is written."""
    return trees(kind).map(written)
