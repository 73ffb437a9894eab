"""``pkmodel selftest``: does this installation compute what it should, on this machine?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.cli.options import JsonFlag
from pkmodel.disclaimer import NOT_FOR_CARE

if TYPE_CHECKING:
    from pkmodel.selftest import Check, Selftest


def selftest(as_json: JsonFlag = False) -> None:
    """Check this installation: exact cases, two engines, the library, equal bits, speed; exit 1 where one fails.

    Needs no network and writes nothing but temporary files. It takes seconds; the first time, while kernels are
    compiled, up to a minute.
    """
    from rich.status import Status

    from pkmodel import selftest as tests

    if as_json or not console.err.is_terminal:
        found = tests.run(jobs=running.cores())
    else:
        with Status("loading", console=console.err) as status:
            found = tests.run(jobs=running.cores(), progress=status.update)
    if as_json:
        console.print_json({"disclaimer": NOT_FOR_CARE, **found.plain()})
    else:
        _show(found)
    if not found.passed:
        raise typer.Exit(1)


def _show(found: Selftest) -> None:
    columns = ("check", "what was compared", "worst error", "limit", "result")
    rows = []
    for check in found.checks:
        worst, limit = _number(check.worst, check), _number(check.limit, check)
        line = (check.name, check.compared, worst, limit, "pass" if check.passed else "FAIL")
        rows.append(dict(zip(columns, line, strict=True)))
    console.table(rows, columns, right=columns[2:])
    for check in found.checks:
        if not check.passed:
            console.text(f"FAIL {check.name} ({check.unit}): {check.said or 'the worst error is above its limit'}")
    speed, versions, cpu = found.speed, found.versions, found.cpu
    console.text(
        f"Speed: {speed['patients_per_second']:,} patients a second on {speed['threads']} threads; "
        f"one patient {speed['one_patient_ms']} ms."
    )
    where = found.kernels["folder"]
    kept = f"kept in {where}" if found.kernels["kept"] else "not kept: every start compiles them anew"
    console.text(f"Compiled kernels: {kept}.")
    console.text(f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}.")
    wide = [name for name in ("avx512f", "avx2", "fma", "neon") if name in cpu["features"]]
    console.text(f"Processor: {cpu['name']} ({cpu['machine']}{', ' if wide else ''}{', '.join(wide)}).")
    failed = sum(not check.passed for check in found.checks)
    outcome = f"{failed} of {len(found.checks)} checks failed" if failed else f"all {len(found.checks)} checks passed"
    console.text(f"{outcome[0].upper()}{outcome[1:]} in {found.seconds:.0f} s.", bold=True)
    console.text(NOT_FOR_CARE)


def _number(value: float | None, check: Check) -> str:
    """An error as it is read: a count as a whole number, a share with its power of ten."""
    if value is None:
        return "none"
    return f"{value:.0f}" if check.limit == 0 else f"{value:.1e}".replace(".0e", "e")
