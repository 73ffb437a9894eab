"""Rules in words, for whoever reads a terminal, a table or a picture."""

from __future__ import annotations

from pkmodel.specs.clause import COMBINED, Clause
from pkmodel.specs.metric import TAKEN


def described(rule: Clause) -> str:
    """A rule in words, such as ``time above 150 ng/mL of parent at most 30 min``; its window where it has several."""
    several = rule.over == COMBINED

    def words(clause: Clause, inside: bool) -> str:
        if clause.joined is None:
            return _test(clause) + (f", {clause.window}" if several else "")
        parts = [words(part, True) for part in clause.clauses]
        if clause.joined == "not":
            return f"not ({parts[0]})"
        joined = f" {'and' if clause.joined == 'all' else 'or'} ".join(
            part if part.startswith(("(", "not (")) else f"({part})" for part in parts
        )
        return f"({joined})" if inside and len(parts) > 1 else joined

    return words(rule, False)


def _test(clause: Clause) -> str:
    """A metric with its limit, in words."""
    limit = f"{'at most' if clause.upper else 'at least'} {clause.limit.text}"
    what = f"{clause.metric.replace('_', ' ')}{f' {clause.bounds}' if clause.bounds else ''}"
    if clause.metric in TAKEN:
        return f"{what}{f' ({clause.stay})' if clause.stay else ''} {limit}"
    discharge = " at discharge," if clause.metric == "level_at_discharge" else ""
    what += f" of {clause.output}"
    if clause.moment is not None:
        what = f"level of {clause.output}{discharge} {clause.moment.text.replace('_', ' ')}"
    if clause.of_baseline == "share":
        return f"{what} {limit} of its baseline"
    return f"change of {what} from its baseline {limit}" if clause.of_baseline == "change" else f"{what} {limit}"
