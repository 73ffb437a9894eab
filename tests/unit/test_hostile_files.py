"""Files and names of a stranger who means no good: each is refused in one clear error, or does nothing."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Command, Outcome

import pkmodel as pk

KINDS = ("models", "protocols", "populations", "scenarios", "effects", "rules")


def _refused(outcome: Outcome, *said: str, code: int = 2) -> None:
    """One clear error, no traceback, and nothing on standard output beside the disclaimer."""
    assert outcome.code == code, outcome
    lines = outcome.err.splitlines()
    assert lines and all(line.startswith("error: ") for line in lines)
    assert "Traceback" not in outcome.err
    assert all(letter.isprintable() or letter == "\n" for letter in outcome.err)
    for part in said:
        assert part in outcome.err


# --- text of YAML files ---------------------------------------------------------------------------------------------

DEEP = 10_000
BOMBS = {
    "aliases": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "merge": "a: &a {x: 1}\nb: {<<: *a}\n",
    "lists": "a: " + "[" * DEEP + "]" * DEEP + "\n",
    "maps": "a: " + "{a: " * DEEP + "1" + "}" * DEEP + "\n",
    "indents": "".join(" " * n + "a:\n" for n in range(1000)),
    "keys": "".join(f"k{n}: 1\n" for n in range(60_000)),
    "object": "a: !!python/object/apply:os.system ['true']\n",
    "two": "a: 1\n---\nb: 2\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_yaml_bomb_is_refused(name: str, tmp_path: Path, command: Command) -> None:
    """Aliases that multiply, ten thousand levels, sixty thousand keys, tags that make objects."""
    file = tmp_path / "bomb.yaml"
    file.write_text(BOMBS[name], encoding="utf-8")
    _refused(command("check", file), "bomb.yaml")


@pytest.mark.parametrize("size", [1_000_001, 100_000_000])
def test_a_large_file_is_not_read(size: int, tmp_path: Path, command: Command) -> None:
    """It may be 100 MB of nothing."""
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(size)
    _refused(command("check", file), "a file of more than 1 MB")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (r'"\e[2J\e[31mgone"', r"\x1b[2J\x1b[31mgone"),
        (r'"verdict \u202ekorb"', r"verdict \u202ekorb"),
        (r'"a\u2066b"', r"a\u2066b"),
        (r'"\b\b\bmet"', r"\x08\x08\x08met"),
        (r'"\r\r"', "unseen"),
        (r'"\a"', r"\x07"),
    ],
)
@pytest.mark.parametrize("place", ["title: {}\n", "{}: 1\n", "phases: [{{name: {}}}]\n"])
def test_what_acts_unseen_is_refused(place: str, written: str, said: str, tmp_path: Path, command: Command) -> None:
    """Controls that a terminal obeys, and marks that turn a line around; in the error they are written out."""
    file = tmp_path / "unseen.yaml"
    file.write_text(place.format(written), encoding="utf-8")
    _refused(command("check", file), "unseen.yaml:1", "unseen character", said)


SCRIPTS = [
    "Ünïcode",
    "пациент",
    "مريض",
    "患者",
    "🧪 👩‍⚕️",
    "ʻokina",
    "می\u200cخواهم",
    "70\u202fkg",
    "e\u0301",
    "<b>&amp;</b>",
    "a:b|c`d`",
    "%s{0}$HOME",
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_titles_and_files_in_any_script(name: str, tree: dict[str, Any], tmp_path: Path, command: Command) -> None:
    """They come back as they were, in files and in the directory's name."""
    tree |= {"n": 5, "title": name, "question": name}
    plain = name.replace("/", "")
    file, out = tmp_path / f"{plain}.yaml", tmp_path / plain
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    outcome = command("run", file, "-o", out)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[:2] == [name, name]
    found = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    assert found["title"] == found["question"] == name
    assert command("report", out).code == 0
    assert html.escape(name) in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*SCRIPTS, "a b", "1", "a\nb", "__class__.x", ""])
def test_names_that_are_keys_are_plain(name: str, tree: dict[str, Any], tmp_path: Path, command: Command) -> None:
    """An arm is a column, a heading and a word on the command line."""
    tree |= {"arms": {name: tree["arms"]["iv"], "nasal": tree["arms"]["nasal"]}}
    tree["compare"]["reference"] = "nasal"
    file = tmp_path / "arms.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    _refused(command("check", file), "arms")


# --- formulas -------------------------------------------------------------------------------------------------------

FORMULAS = [
    "9**9**9",
    "weight ** 9 ** 9 ** 9",
    "(" * DEEP + "weight" + ")" * DEEP,
    "-" * 399 + "1",
    "().__class__.__bases__",
    "__import__('os').system('true')",
    "(lambda: 1)()",
    "[weight for weight in (1, 2)]",
    "weight.real",
    "exp(exp(exp(1000)))",
    "1/0",
    "'a' * 1000000000",
    "open('/etc/passwd')",
    "weight if True else 1",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_neither_escapes_nor_explodes(formula: str, tmp_path: Path, command: Command) -> None:
    """In the file of a model; that of a number without bounds is refused where it is first worked out."""
    tree = yaml.safe_load((Path(pk.__file__).parent / "models" / "ketamine_clements1981.yaml").read_text("utf-8"))
    tree["derived"] = {"X": {"formula": formula, "unit": "1", "from": "nowhere", "evidence": "assumed"}}
    file = tmp_path / "formula.yaml"
    file.write_text(yaml.safe_dump(tree, width=10**6), encoding="utf-8")
    _refused(command("check", file), "formula.yaml", "derived.X")


# --- the directory of a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and beside it the two shards of one."""
    from pkmodel import report
    from pkmodel.specs.library import load_scenario

    folder = tmp_path_factory.mktemp("runs")
    report.run(load_scenario("iv_titrated").with_options(n=8), folder / "run", jobs=1)
    scenario = load_scenario("iv_versus_nasal").with_options(n=16)
    for shard in (1, 2):
        report.run_shard(scenario, f"{shard}/2", folder / f"shard{shard}", jobs=1, block=8)
    return folder


COMMANDS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "report": lambda at: ("report", at / "run"),
    "replay": lambda at: ("replay", at / "run"),
    "merge": lambda at: ("merge", at / "shard1", at / "shard2", "-o", at / "merged"),
    "resume": lambda at: ("run", at / "shard2", "--resume"),
}
#: Files that a command takes what it does from.
READ = {
    "report": ("run/findings.json", "run/manifest.json", "run/inputs.json"),
    "replay": ("run/manifest.json", "run/inputs.json"),
    "merge": ("shard2/parts/run.json", "shard1/parts/inputs.json"),
    "resume": ("shard2/parts/run.json", "shard2/parts/inputs.json"),
}
TEXTS = {
    "nothing": "",
    "a list": "[]",
    "deep lists": "[" * 100_000,
    "deep maps": '{"a":' * 100_000,
    "NUL": "\0",
    "half": '{"n": 1',
    "no number": '{"n": NaN}',
    "infinite": '{"n": 1e999}',
    "bytes": "\udcff\udcfe",
    "nothing known": '{"\\u001b[31m": 1}',
}


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in READ.items() for file in files])
def test_a_damaged_json_file_is_refused(name: str, file: str, text: str, copied: Path, command: Command) -> None:
    """Whatever stands in it."""
    (copied / file).write_bytes(TEXTS[text].encode("utf-8", errors="surrogateescape"))
    _refused(command(*COMMANDS[name](copied)), file)
    assert not (copied / "merged").exists()


def _places(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of plain data, and of lists the first item."""
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree[:1]) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from _places(value, (*place, key))


STRANGE = [None, -1, 1e30, [], {}, "x", True, ["a"], {"a": 1}, 10**30, "\x1b[31m"]


@pytest.mark.parametrize(
    ("name", "file"),
    [("report", "run/manifest.json"), ("report", "run/inputs.json"), ("merge", "shard2/parts/run.json")],
)
def test_a_value_of_another_kind_is_refused_or_does_nothing(
    name: str, file: str, copied: Path, command: Command
) -> None:
    """Each value in turn is replaced: by one strange value each, which goes round."""
    text = (copied / file).read_text(encoding="utf-8")
    refused = 0
    for number, place in enumerate(_places(json.loads(text))):
        tree = json.loads(text)
        holder = tree
        for part in place[:-1]:
            holder = holder[part]
        holder[place[-1]] = STRANGE[number % len(STRANGE)]
        (copied / file).write_text(json.dumps(tree), encoding="utf-8")
        outcome = command(*COMMANDS[name](copied))
        assert outcome.code in (0, 2), (place, outcome)
        if outcome.code == 2:
            _refused(outcome)
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("damage", ["empty", "half", "junk", "gone"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("report", "run/patients.parquet"),
        ("report", "run/bands.parquet"),
        ("report", "run/findings.csv"),
        ("merge", "shard2/parts/00001/state.npz"),
        ("merge", "shard2/parts/00001/metrics.parquet"),
    ],
)
def test_a_damaged_table_is_refused(name: str, file: str, damage: str, copied: Path, command: Command) -> None:
    """Cut off, overwritten, or not there."""
    raw = (copied / file).read_bytes()
    if damage == "gone":
        (copied / file).unlink()
    else:
        new = {"empty": b"", "half": raw[: len(raw) // 2], "junk": b"\xff\0PAR1" * 500}[damage]
        (copied / file).write_bytes(new)
    _refused(command(*COMMANDS[name](copied)), file if name == "merge" else file.split("/")[-1])
    assert not (copied / "merged").exists()


@pytest.mark.parametrize("name", ["patients", "bands"])
@pytest.mark.parametrize("lie", ["renamed", "text", "missing values", "no rows"])
def test_a_table_that_lies_about_its_columns_is_refused(name: str, lie: str, copied: Path, command: Command) -> None:
    """Its heads say numbers, and it holds others, text, none, or no row."""
    file = copied / "run" / f"{name}.parquet"
    table = pq.read_table(file)
    column = {"patients": "weight_kg", "bands": "p50"}[name]
    at, count = table.column_names.index(column), table.num_rows
    if lie == "renamed":
        table = table.rename_columns([f"{item}_" if item == column else item for item in table.column_names])
    elif lie == "no rows":
        table = table.slice(0, 0)
    else:
        values = ["70 kg"] * count if lie == "text" else [None] * count
        table = table.set_column(at, column, pa.array(values, pa.string() if lie == "text" else pa.float64()))
    pq.write_table(table, file)
    _refused(command("report", copied / "run"), f"{name}.parquet")


@pytest.mark.parametrize("lie", ["renamed", "text", "missing values", "no rows"])
def test_a_replay_says_that_a_table_differs(lie: str, copied: Path, command: Command) -> None:
    """Which is what a replay is for."""
    file = copied / "run" / "metrics.parquet"
    table = pq.read_table(file)
    at, count = table.column_names.index("value"), table.num_rows
    changed = {
        "renamed": lambda: table.rename_columns([f"{name}_" for name in table.column_names]),
        "text": lambda: table.set_column(at, "value", pa.array(["x"] * count)),
        "missing values": lambda: table.set_column(at, "value", pa.array([None] * count, pa.float64())),
        "no rows": lambda: table.slice(0, 0),
    }
    pq.write_table(changed[lie](), file)
    outcome = command("replay", copied / "run")
    assert outcome.code == 1 and "metrics.parquet" in outcome.out and "Traceback" not in outcome.err


# --- paths and links ------------------------------------------------------------------------------------------------

SIMULATE = ("simulate", "iv_single", "--model", "ketamine_domino1984", "--weight", "70 kg", "--until", "1 h")


ELSEWHERE = [
    "../../../../../../etc/passwd",
    "..",
    "~root/x.yaml",
    "%2e%2e/x.yaml",
    "iv_single\n",
    "iv_single\0",
    "\\\\host\\x",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_refused(name: str, command: Command) -> None:
    """Names are looked up in a list; a path is a YAML file or nothing."""
    _refused(command("protocols", "show", name))
    _refused(command("simulate", "iv_single", "--model", name, "--weight", "70 kg"))


@pytest.mark.parametrize("name", ["...yaml", "..yaml"])
def test_the_name_of_a_file_leads_nowhere(
    name: str, tree: dict[str, Any], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario in ``...yaml`` is called ``..``, and results/.. was where its files went."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path(name).write_text(yaml.safe_dump(tree), encoding="utf-8")
    _refused(command("run", f"./{name}", "--n", 5), "--out")
    assert [path.name for path in Path().iterdir()] == [name]


@pytest.mark.parametrize("name", ["x\0.csv", "x" * 300 + ".csv", "loop.csv", "gone/x.csv", "a/" * 3000 + "x.csv"])
def test_a_path_that_cannot_be_written_is_refused(
    name: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is computed, and with nothing left behind."""
    monkeypatch.chdir(tmp_path)
    Path("loop.csv").symlink_to("loop.csv")
    _refused(command(*SIMULATE, "-o", name), "--out")
    _refused(command("run", "iv_versus_nasal", "--n", 5, "-o", name.replace("gone/x.csv", "/proc/nowhere")), "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["loop.csv"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(exists: bool, tmp_path: Path, command: Command) -> None:
    """The file that ``-o`` names, and files in a directory of results that somebody prepared."""
    precious = tmp_path / "precious"
    if exists:
        precious.write_text("precious", encoding="utf-8")
    link, out = tmp_path / "levels.csv", tmp_path / "out"
    link.symlink_to(precious)
    assert command(*SIMULATE, "-o", link).code == 0
    out.mkdir()
    for name in ("findings.csv", "manifest.json", "report.html", "joint.csv"):  # the last is not written by this run
        (out / name).symlink_to(precious)
    assert command("run", "iv_versus_nasal", "--n", 5, "-o", out).code == 0
    assert not link.is_symlink() and link.read_text(encoding="utf-8").startswith("subject,")
    assert not any(path.is_symlink() for path in out.iterdir())
    assert precious.exists() == exists and (not exists or precious.read_text(encoding="utf-8") == "precious")


@pytest.mark.parametrize("name", ["parts", ".pkmodel-complete-x", ".pkmodel-x"])
def test_a_link_to_a_directory_is_not_emptied(name: str, tmp_path: Path, command: Command) -> None:
    """Folders that a run clears away, as links to somebody's own."""
    own, out = tmp_path / "own", tmp_path / "out"
    own.mkdir()
    (own / "precious").write_text("precious", encoding="utf-8")
    out.mkdir()
    (out / name).symlink_to(own)
    outcome = command("run", "iv_versus_nasal", "--n", 5, "-o", out)
    assert outcome.code in (0, 2) and "Traceback" not in outcome.err
    assert (own / "precious").read_text(encoding="utf-8") == "precious"
    assert os.listdir(own) == ["precious"]  # noqa: PTH208


def test_a_directory_that_is_a_link_is_written_to(tmp_path: Path, command: Command) -> None:
    """As people do who keep their results on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert command("run", "iv_versus_nasal", "--n", 5, "-o", tmp_path / "out").code == 0
    assert (tmp_path / "disk" / "findings.csv").is_file() and (tmp_path / "out").is_symlink()


# --- markup ---------------------------------------------------------------------------------------------------------

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %} ]]> --> [x](javascript:alert(1))"


class _Elements(HTMLParser):
    """The elements of a page with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def _elements(text: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = _Elements()
    parser.feed(text)
    return parser.found


def test_markup_in_every_text_makes_no_element(tree: dict[str, Any], tmp_path: Path, command: Command) -> None:
    """The report of a run whose title, question, notes and phase are markup has the elements of a plain one."""

    def page(text: str, name: str) -> str:
        changed = json.loads(json.dumps(tree))
        changed |= {"n": 5, "title": text, "question": text, "context_of_use": text}
        changed["arms"]["nasal"]["protocol"] |= {"title": text, "notes": [text]}
        changed["arms"]["nasal"]["protocol"]["phases"][0]["name"] = text[:80]
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(changed), encoding="utf-8")
        outcome = command("run", file, "-o", tmp_path / name)
        assert outcome.code == 0, outcome.err
        return (tmp_path / name / "report.html").read_text(encoding="utf-8")

    hostile, plain = page(MARKUP, "hostile"), page("plain words", "plain")
    assert _elements(hostile) == _elements(plain)
    assert "49" not in hostile.split("<title>")[1].split("</title>")[0]
    assert "&lt;script&gt;alert(1)" in hostile and "<script" not in hostile
