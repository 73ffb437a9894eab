"""A few thousand inputs of the long job (``python tests/fuzz/job.py``), the same ones every time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from kinds import SHARES, STRATEGIES
from outcomes import FAILED, judge

#: Inputs in all, by the shares of the long job.
INPUTS = 2500


@pytest.mark.parametrize("kind", SHARES)
def test_valid_or_refused(kind: str) -> None:
    """A valid result without NaN, or one clear error: no traceback, warning, hang, flood of memory or partial file."""

    @settings(
        max_examples=max(INPUTS * SHARES[kind] // 100, 20),
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[kind])
    def run(one: object) -> None:
        found = judge(kind, one)
        assert found.what != FAILED, f"{found.mark}\n{found.why}"

    run()


def test_what_is_let_through_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN, a warning, an error of ours, an endless loop and a file that is left are failures, each of them."""
    import time
    import warnings
    from pathlib import Path

    import outcomes

    def nan(_: object) -> str:
        outcomes._finite([1.0, float("nan")], "levels")
        return outcomes.VALID

    def warns(_: object) -> str:
        warnings.warn("careful", RuntimeWarning, stacklevel=1)
        return outcomes.VALID

    def endless(_: object) -> str:
        while True:
            time.sleep(0.01)

    def left(_: object) -> str:
        Path("begun.csv").write_text("1")
        return outcomes._words(["check", "nothing.yaml"])

    monkeypatch.setattr(outcomes, "SECONDS", 0.2)
    for runner, said in ((nan, "not finite"), (warns, "careful"), (endless, "over 0.2 s"), (left, "files were left")):
        monkeypatch.setitem(outcomes.RUNNERS, "raw", runner)
        found = judge("raw", b"")
        assert found.what == FAILED
        assert said in found.why
    monkeypatch.setitem(outcomes.RUNNERS, "raw", lambda _: [][1])
    assert "IndexError" in judge("raw", b"").why
