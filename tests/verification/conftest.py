"""What the suites achieved, printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from suites import SUITES, Outcome

_TALLY = pytest.StashKey[dict[str, dict[str, Outcome]]]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, str, Outcome], None]:
    """Note how a case of a suite went, for the table at the end."""
    noted = request.config.stash.setdefault(_TALLY, {})

    def note(suite: str, case: str, outcome: Outcome) -> None:
        noted.setdefault(suite, {})[case] = outcome

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per suite: cases, rows, the worst relative error and what it is held against."""
    noted = config.stash.get(_TALLY, {})
    if not noted:
        return
    terminalreporter.section("reference suites")
    terminalreporter.write_line(f"{'suite':22}{'cases':>6}{'rows':>7}{'worst error':>13}{'allowed':>9}  worst case")
    for name, suite in SUITES.items():
        if name not in noted:
            terminalreporter.write_line(f"{name:22}not run" if suite.here else f"{name:22}skipped: not there")
            continue
        cases = noted[name]
        rows = sum(outcome.rows for outcome in cases.values())
        worst = max(cases, key=lambda case: cases[case].error)
        figures = f"{len(cases):>6}{rows:>7}{cases[worst].error:>13.1e}{suite.tolerance:>9.0e}"
        terminalreporter.write_line(f"{name:22}{figures}  {worst}")
