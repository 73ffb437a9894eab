"""Large runs: blocks, resuming after a kill, shards, a cluster, replay, and the same bytes whatever the split."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pkmodel as pk
from pkmodel import blocks, cluster, joined, kept_inputs, lock, merging, report, run_files, run_folder, study
from pkmodel.specs.library import Scenario

Command = Callable[..., Any]
BLOCK, N = 64, 300
#: What must not depend on how a run is split.
FILES = (
    "findings.csv",
    "comparison.csv",
    "needed.csv",
    "metrics.parquet",
    "patients.parquet",
    "bands.parquet",
    "findings.json",
)


def _run(scenario: Scenario, out: Path, **how: Any) -> None:
    """A run in small blocks, without pictures."""
    report.run(scenario, out, pictures=False, **{"block": BLOCK, **how})


def _shard(scenario: Scenario, which: str, out: Path, **how: Any) -> range:
    """A shard of the same."""
    return report.run_shard(scenario, which, out, block=BLOCK, **how)


@pytest.fixture(scope="module")
def small(scenario: Scenario) -> Scenario:
    """Five blocks of patients, the last one not full."""
    return scenario.with_options(n=N)


@pytest.fixture(scope="module")
def whole(small: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one go."""
    out = tmp_path_factory.mktemp("whole") / "run"
    _run(small, out)
    return out


def _same(folder: Path, whole: Path) -> None:
    for name in (*FILES, "failing.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (folder / "parts").exists()


@pytest.mark.parametrize(("jobs", "chunk"), [(2, None), (3, 17), (7, 64), (1, 1000)])
def test_bytes_depend_on_no_split(small: Scenario, whole: Path, tmp_path: Path, jobs: int, chunk: int | None) -> None:
    """1, 2, 3 and 7 threads, chunks smaller and larger than a block."""
    _run(small, tmp_path, jobs=jobs, chunk=chunk)
    _same(tmp_path, whole)


def test_blocks_find_what_one_piece_finds(small: Scenario, whole: Path) -> None:
    """A run in memory, without blocks, has the same findings, comparison and bands; rows are in order of patients."""
    done = study.run(small)
    found = json.loads((whole / "findings.json").read_text())
    assert found["findings"] == [vars(item) for item in done.results]
    assert found["comparison"] == done.comparisons
    bands = pq.read_table(whole / "bands.parquet").to_pydict()
    assert bands["p95"] == pytest.approx(done.band_columns["p95"], rel=0, abs=0)
    with pq.ParquetFile(whole / "metrics.parquet") as file:
        assert file.num_row_groups == 5 * 2
        rows = file.read_row_group(2).to_pydict()
    assert sorted(set(rows["patient"])) == list(range(BLOCK + 1, 2 * BLOCK + 1))
    assert set(rows["arm"]) == {"iv"}


def test_joined_files_are_their_parts(tmp_path: Path) -> None:
    """Rows, order, dictionaries, nulls and statistics of 20 files with one or two row groups each."""
    rng = np.random.default_rng(1)
    tables = []
    for index in range(20):
        words = pa.array([None if k % 7 == 0 else f"w{(k + index) % 5}" for k in range(50)]).dictionary_encode()
        tables.append(pa.table({"patient": np.arange(50) + 50 * index, "word": words, "value": rng.random(50)}))
        pq.write_table(tables[-1], tmp_path / f"{index}.parquet", row_group_size=30 + 10 * (index % 3))
    parts = [tmp_path / f"{index}.parquet" for index in range(20)]
    joined.join(parts, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == pa.concat_tables(tables).to_pydict()
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        assert [group.column(0).statistics.min for group in groups if group.num_rows >= 30][:3] == [0, 50, 100]
        assert sum(group.num_rows for group in groups) == file.metadata.num_rows == 1000
    (tmp_path / "torn.parquet").write_bytes(parts[0].read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a whole Parquet file"):
        joined.join([parts[0], tmp_path / "torn.parquet"], tmp_path / "bad.parquet")


@pytest.mark.parametrize("of", [1, 3, 16])
def test_shards_make_the_run(small: Scenario, whole: Path, tmp_path: Path, of: int) -> None:
    """1, 3 and 16 shards (some of them empty: there are five blocks), merged in another order than made."""
    held = [_shard(small, f"{index}/{of}", tmp_path / str(index)) for index in range(1, of + 1)]
    assert [patient for part in held for patient in part] == list(range(N))
    merging.merge([tmp_path / str(index) for index in range(of, 0, -1)], tmp_path / "out", pictures=False)
    _same(tmp_path / "out", whole)
    shards = json.loads((tmp_path / "out" / "manifest.json").read_text())["shards"]
    assert {item["shard"] for item in shards} == {f"{index}/{of}" for index in range(1, of + 1)}


def test_merge_refuses_what_does_not_belong_together(small: Scenario, tmp_path: Path) -> None:
    """A shard that is missing, there twice, of another seed, of another division, or unfinished: each is named."""
    for index in (1, 2, 3):
        _shard(small, f"{index}/3", tmp_path / f"s{index}")
    _shard(small.with_options(seed=99), "3/3", tmp_path / "other")
    _shard(small, "2/2", tmp_path / "half")
    out = tmp_path / "out"
    for names, said in (
        (("s1", "s3"), r"no shard 2/3, expected all 3 shards"),
        (("s1", "s2", "s2", "s3"), r"shard 2/3 again, as in .*s2"),
        (("s1", "s2", "other"), r"other.* seed .*99, expected 11, as in .*s1"),
        (("s1", "half"), r"shard 1/3 in .*s1 and shard 2/2 in .*half, expected shards of one division"),
        (("s1", "nowhere"), r"nowhere.*no such file, expected a shard's run.json"),
    ):
        with pytest.raises(pk.InputError, match=said.replace(", expected", ".*expected")):
            merging.merge([tmp_path / name for name in names], out)
    shutil.rmtree(tmp_path / "s2" / "parts" / "00001")
    with pytest.raises(pk.InputError, match=r"s2.*shard 2/3, unfinished: 1 of 2 blocks"):
        merging.merge([tmp_path / f"s{index}" for index in (1, 2, 3)], out)
    _shard(small, "2/3", tmp_path / "s2", resume=True)
    merging.merge([tmp_path / f"s{index}" for index in (1, 2, 3)], out, pictures=False)
    assert not (out / "parts").exists()


def _broken_off(small: Scenario, out: Path, after: int, error: type[BaseException] = KeyboardInterrupt) -> None:
    """A run that ends with an error after so many patients."""

    def stop(done: int, _: int) -> None:
        if done > after:
            raise error

    _run(small, out, chunk=32, progress=stop)


def test_interrupted_run_is_kept_and_gone_on_with(small: Scenario, whole: Path, tmp_path: Path) -> None:
    """Said where it is kept; refused without --resume, and where anything has changed; then finished."""
    with pytest.raises(pk.errors.Interrupted, match=r"2 of 5 blocks of patients are kept in .*parts: --resume goes on"):
        _broken_off(small, tmp_path, 2 * BLOCK + 10)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    with pytest.raises(pk.InputError, match=r"holds an unfinished run \(2 blocks of patients are done\).*--resume"):
        _run(small, tmp_path)
    for changed, said in (
        (small.with_options(seed=12), r"seed.*found 12, expected 11"),
        (small.with_options(n=301), r"n .*found 301, expected 300"),
    ):
        with pytest.raises(pk.InputError) as caught:
            _run(changed, tmp_path, resume=True)
        (problem,) = caught.value.problems
        assert problem.path in said and problem.found in said and problem.expected.split(",")[0] in said
    with pytest.raises(pk.InputError, match=r"options\.metrics"):
        _run(small, tmp_path, resume=True, all_metrics=True)
    with pytest.raises(pk.InputError, match=r"inputs\.protocol"):
        _run(_retitled(small), tmp_path, resume=True)
    seen: list[int] = []
    _run(small, tmp_path, resume=True, progress=lambda done, _: seen.append(done))
    assert seen[0] == 2 * BLOCK and seen[-1] == N, "what was done is not done again"
    _same(tmp_path, whole)


def _retitled(scenario: Scenario) -> Scenario:
    """The scenario with a protocol whose file has changed."""
    key = next(key for key in scenario.inputs if key.startswith("protocol"))
    item = scenario.inputs[key]
    document = replace(item.document, text=item.document.text + "\n# another\n")
    return replace(scenario, inputs={**scenario.inputs, key: replace(item, document=document)})


def test_command_line_resumes_from_the_directory_alone(
    small: Scenario, whole: Path, tmp_path: Path, command: Command
) -> None:
    """``run DIR --resume`` and ``merge`` take everything from the directories, the block size of the run too."""
    with pytest.raises(pk.errors.Interrupted):
        _broken_off(small, tmp_path / "run", 2 * BLOCK + 10)
    found = command("run", tmp_path / "run", "--resume", "--jobs", "2", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["n"] == N
    _same(tmp_path / "run", whole)
    _shard(small, "1/1", tmp_path / "shard")
    assert command("merge", tmp_path / "shard", "-o", tmp_path / "merged").code == 0
    _same(tmp_path / "merged", whole)


def test_command_line_shards(command: Command, tmp_path: Path) -> None:
    """``run --shard`` says whom it holds; a wrong shard is one clear message."""
    found = command("run", "nasal_induction", "--n", "8", "--shard", "1/2", "-o", tmp_path / "a")
    assert (found.code, "shard 1/2, no patient" in found.err) == (0, True), found.err
    found = command("run", "nasal_induction", "--n", "8", "--shard", "2/2", "-o", tmp_path / "b", "--json")
    assert json.loads(found.out)["last"] == 8
    assert command("merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c").code == 0
    for wrong in ("0/4", "5/4", "3", "a/b", "1/0", ""):
        found = command("run", "nasal_induction", "--n", "8", "--shard", wrong, "-o", tmp_path / "d")
        assert (found.code, "such as 3/16" in found.err) == (2, True), wrong
    assert not (tmp_path / "d").exists()
    found = command("merge", tmp_path / "b", "-o", tmp_path / "e")
    assert (found.code, "no shard 1/2" in found.err) == (2, True)


#: Runs in a process of its own that makes a child for every attempt, so that nothing is loaded or compiled again. A
#: child is killed after a time, or kills itself before the so manieth step on the disk: while blocks come, at the end,
#: and while files take their places. After each it is looked whether a file that is there is whole.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path
import pyarrow.parquet as pq
from pkmodel import blocks, report, workplace
from pkmodel.specs.library import load_scenario

out, points = Path(sys.argv[1]), json.loads(sys.argv[3])
scenario = load_scenario(json.loads(sys.argv[2]))
count = 0

def dying(real):
    def act(*words, **named):
        global count
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        count -= 1
        return real(*words, **named)
    return act

def look():
    files = [path for path in (out / "killed").glob("*") if path.is_file() and not path.name.startswith(".")]
    for file in files:
        if file.suffix == ".parquet":
            pq.read_metadata(file)
        elif file.suffix == ".json":
            json.loads(file.read_text())
    if any(file.name == "manifest.json" for file in files):
        whole = {path.name for path in (out / "warm").glob("*")}
        assert {file.name for file in files} == whole, files
    return len(files)

def run(name):
    report.run(scenario, out / name, block=64, chunk=32, resume=True, pictures=False)

run("warm")
for kind, point in points:
    child = os.fork()
    if child == 0:
        if kind == "step":
            count = point
            for place, name in ((blocks, "sync"), (workplace, "sync"), (os, "replace"), (os, "unlink")):
                setattr(place, name, dying(getattr(place, name)))
        run("killed")
        os._exit(0)
    if kind == "time":
        time.sleep(point)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    parts = out / "killed" / "parts"
    done = len(list(parts.glob("[0-9]*"))) if parts.is_dir() else -1
    print(kind, os.WIFSIGNALED(status), done, look(), flush=True)
run("killed")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_killed_many_times_and_resumed(small: Scenario, whole: Path, tmp_path: Path) -> None:
    """SIGKILL at 24 points drawn with a fixed seed, resumed each time: in the end the bytes of the run in one go."""
    draw = random.Random(20261126)
    points = []
    for turn in range(24):
        step = ("step", draw.randrange((9, 70)[turn % 4 == 1]))
        points.append(step if turn % 2 else ("time", draw.uniform(0.0, 0.15)))
    tree = small.inputs["scenario"].document.tree | {"n": N}
    words = [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(tree), json.dumps(points)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 24
    assert [kind for kind, killed, *_ in lines if killed == "True"].count("step") >= 5, done.stdout
    assert len({left for _, _, left, _ in lines}) > 2, "not at one point only"
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (whole / name).read_bytes(), name
    left, expected = ({path.name for path in (tmp_path / name).iterdir()} for name in ("killed", "warm"))
    assert left == expected


def test_nothing_depends_on_the_clock(
    small: Scenario, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that goes back two years with every look at it: only the manifest says another time."""

    class Clock(datetime):
        at = datetime(2001, 9, 9, tzinfo=UTC)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            Clock.at -= timedelta(days=2)
            return Clock.at

    monkeypatch.setattr(time, "time", lambda: Clock.now().timestamp())
    monkeypatch.setattr(run_files, "datetime", Clock)
    monkeypatch.setattr(lock, "datetime", Clock)
    _run(small, tmp_path, chunk=64, progress=lambda *_: None)
    _same(tmp_path, whole)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (tmp_path, whole)]
    assert manifests[0].pop("created") < "2002" and manifests[1].pop("created") > "2020"
    assert manifests[0] == manifests[1]


def test_two_runs_do_not_share_a_directory(small: Scenario, tmp_path: Path) -> None:
    """The second one is told, and the first goes on."""

    def second(done: int, _: int) -> None:
        if done == 2 * BLOCK:
            with pytest.raises(pk.InputError, match="another run is at work"):
                _run(small, tmp_path, resume=True)

    _run(small, tmp_path, chunk=BLOCK, progress=second)
    assert (tmp_path / "findings.csv").is_file()


def test_replay_is_equal_bit_by_bit(small: Scenario, whole: Path, tmp_path: Path, command: Command) -> None:
    """From the directory alone, moved elsewhere; and it says so."""
    shutil.copytree(whole, tmp_path / "moved")
    found = command("replay", tmp_path / "moved")
    assert found.code == 0, found.err
    for name in (*FILES[:-1], "failing.csv"):
        assert f"{name}: the same bytes" in found.out
    assert "replayed: equal bit by bit" in found.out


def test_replay_of_a_run_that_stopped_when_it_knew(tmp_path: Path, command: Command) -> None:
    """It stops there again, with the intervals that allow for the looking."""
    joined = {
        "id": "both",
        "any": [{"metric": "peak", "at_most": "150 ng/mL"}, {"metric": "total_dose", "at_most": "30 mg"}],
    }
    tree = {
        "title": "T",
        "arms": {"one": {"protocol": "iv_single"}},
        "model": "ketamine_clements1981",
        "population": "adults_trials",
        "observe": {"every": "1 h", "for": "2 h"},
        "rules": [{**joined, "in": "90 %"}],
        "precision": {"rule": "both", "half_width": "10 %", "max_n": 2000},
    }
    done = report.run(pk.load_scenario(tree), tmp_path, pictures=False)
    assert done.precise is not None
    assert 256 <= done.n < 2000
    found = command("replay", tmp_path)
    assert found.code == 0, found.out
    assert "findings.csv: the same bytes" in found.out


def test_replay_names_what_differs(whole: Path, tmp_path: Path, command: Command) -> None:
    """A share, a level in its last bit, a level in its fifth digit, a changed input: exit codes and names."""
    moved = tmp_path / "moved"
    shutil.copytree(whole, moved)
    text = (moved / "findings.csv").read_text()
    (moved / "findings.csv").write_text(text.replace("broken", "met", 1))
    found = command("replay", moved, "--json")
    assert found.code == 1
    files = {item["file"]: item for item in json.loads(found.out)["files"]}
    assert files["findings.csv"]["how"] == "differs" and "'met' in the run" in files["findings.csv"]["said"]
    assert files["metrics.parquet"]["how"] == "bits"
    (moved / "findings.csv").write_text(text)

    table = pq.read_table(whole / "bands.parquet")
    place = table.column_names.index("p95")
    for change, how in ((2.0**-50, "close"), (1e-5, "differs")):
        values = table["p95"].to_numpy().copy()
        values[7] *= 1.0 + change
        pq.write_table(table.set_column(place, "p95", pa.array(values)), moved / "bands.parquet")
        found = command("replay", moved, "--json")
        assert found.code == 1, "on the same machine nothing but equal bits will do"
        files = {item["file"]: item for item in json.loads(found.out)["files"]}
        assert (files["bands.parquet"]["how"], files["bands.parquet"]["largest"] > 0) == (how, True)
        manifest = json.loads((moved / "manifest.json").read_text())
        (moved / "manifest.json").write_text(json.dumps(manifest | {"cpu": {**manifest["cpu"], "name": "another"}}))
        assert command("replay", moved).code == (0 if how == "close" else 1)
        (moved / "manifest.json").write_text(json.dumps(manifest))
    pq.write_table(table, moved / "bands.parquet")

    inputs = json.loads((moved / "inputs.json").read_text())
    inputs["files"][0]["text"] += "\n"
    (moved / "inputs.json").write_text(json.dumps(inputs))
    found = command("replay", moved)
    assert (found.code, "the text was changed" in found.err) == (2, True)
    assert command("replay", tmp_path / "nowhere").code == 2
    assert command("replay", tmp_path).code == 2


def test_inputs_make_the_scenario_again(tmp_path: Path) -> None:
    """With its own models, and with others in their place; the files themselves are not looked at."""
    for loaded in (pk.load_scenario("iv_titrated"), pk.load_scenario("nasal_induction").with_options(n=5, seed=3)):
        again = kept_inputs.scenario_of(json.loads(json.dumps(kept_inputs.plain(loaded))), "inputs.json")
        assert run_folder.identity(blocks.Job(again)) == run_folder.identity(blocks.Job(loaded))
    model = pk.specs.loading.library("models")["ketamine_kamp2020"].read_text()
    (tmp_path / "own.yaml").write_text(model.replace("ketamine_kamp2020", "own"))
    loaded = pk.load_scenario("iv_taper_versus_flat").with_options(n=3).with_models([str(tmp_path / "own.yaml")])
    kept = json.loads(json.dumps(kept_inputs.plain(loaded)))
    (tmp_path / "own.yaml").unlink()
    again = kept_inputs.scenario_of(kept, "inputs.json")
    assert [model.id for model in again.arms[0].models] == ["own"]
    assert run_folder.identity(blocks.Job(again)) == run_folder.identity(blocks.Job(loaded))


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two worker processes on this machine."""
    import warnings

    import distributed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster_of_two:
            yield cluster_of_two


@pytest.mark.filterwarnings("ignore")  # of Dask itself, when its worker dies
def test_cluster_loses_nothing_with_a_worker(small: Scenario, whole: Path, tmp_path: Path, workers: Any) -> None:
    """One of two workers is killed when the first block has arrived: the bytes of the run in one process."""
    pids = [worker.pid for worker in workers.workers.values()]
    killed: list[int] = []

    def kill(done: int, _: int) -> None:
        if done and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    _run(small, tmp_path, scheduler=workers.scheduler_address, progress=kill)
    assert killed
    _same(tmp_path, whole)


@pytest.mark.filterwarnings("ignore")  # of Dask itself
def test_cluster_whose_last_worker_is_lost(small: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends and says so, when nobody has come for a while; what had arrived is kept."""
    import distributed

    monkeypatch.setattr(cluster, "LOOK", 0.1)
    monkeypatch.setattr(cluster, "PATIENCE", 2.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as alone:

        def leave(done: int, _: int) -> None:
            if done:
                alone.scale(0)

        with pytest.raises(pk.errors.RunError, match=r"has had no worker for 2 s, or its scheduler is gone.*--resume"):
            _run(small, tmp_path, scheduler=alone.scheduler_address, progress=leave)
    assert 1 <= len(blocks.finished(tmp_path / "parts")) < 5


def test_cluster_that_does_not_answer(small: Scenario, tmp_path: Path) -> None:
    """One clear message, and nothing left behind."""
    with pytest.raises(pk.InputError, match="the address of a Dask scheduler that runs"):
        _run(small, tmp_path / "out", scheduler="nonsense://x")
    assert not (tmp_path / "out").exists()
    assert cluster.TRIES > 0
