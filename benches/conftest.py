"""What the benches found, printed at the end of the run."""

from __future__ import annotations

import pytest
from turns import FOUND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The times, the errors, and the ratios to the C limits measured in this run."""
    if FOUND:
        terminalreporter.section("against the C limits")
        for line in FOUND:
            terminalreporter.write_line(line)
