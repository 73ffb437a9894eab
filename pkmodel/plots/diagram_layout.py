"""Where the boxes of a compartment diagram stand: the way of the drug from left to right, what it exchanges with above.

Columns and rows are whole or half numbers; a box is smaller than one of either.
"""

from __future__ import annotations

from collections.abc import Mapping

from pkmodel.specs.model import OUTSIDE, ModelSpec

Places = dict[str, tuple[float, float]]


def places(model: ModelSpec) -> Places:
    """Column and row of every compartment; row 0 is the way of the drug, above are those it only exchanges with."""
    out = {name: [f.target for f in model.flows if f.source == name] for name in model.compartments}
    sides = _sides(model, out)
    main = [name for name in model.compartments if name not in sides]
    centre = model.outputs[model.parent].amount
    column = {centre: 0.0}
    queue = [centre]
    while queue:  # downstream of the centre, by the fewest steps
        name = queue.pop(0)
        for target in out[name]:
            if target in main and target not in column:
                column[target] = column[name] + 1
                queue.append(target)
    waiting = [name for name in main if name not in column]
    while waiting:  # upstream: one step to the left of where they lead
        ready = [name for name in waiting if any(target in column for target in out[name])] or waiting
        for name in ready:
            known = [column[target] for target in out[name] if target in column]
            column[name] = min(known, default=0.0) - 1
        waiting = [name for name in waiting if name not in column]
    found: Places = {}
    taken: dict[float, int] = {}
    upstream = {name for name in main if name not in _reached(centre, out)}
    for name in sorted(main, key=lambda item: (item in upstream, model.compartments.index(item))):
        row = taken.get(column[name], 0)
        taken[column[name]] = row + 1
        found[name] = (column[name], -float(row))
    for name, host in sides.items():
        of_host = [other for other, its in sides.items() if its == host]
        x, _ = found[host]
        shift = (of_host.index(name) - (len(of_host) - 1) / 2) * 1.3
        found[name] = (x + shift, 1.0)
    _part(found, sides)
    return found


def _sides(model: ModelSpec, out: Mapping[str, list[str]]) -> dict[str, str]:
    """Compartments that only exchange with one other, and which."""
    found = {}
    into = {name: [f.source for f in model.flows if f.target == name] for name in model.compartments}
    dosed = {way.into for route in model.routes.values() for way in route.paths}
    observed = {output.amount for output in model.outputs.values()}
    for name in model.compartments:
        partners = set(out[name]) | set(into[name])
        if len(partners) == 1 and OUTSIDE not in partners and out[name] and into[name]:
            host = next(iter(partners))
            if name not in dosed | observed and host not in found:
                found[name] = host
    return found


def _reached(start: str, out: Mapping[str, list[str]]) -> set[str]:
    seen, queue = {start}, [start]
    while queue:
        for target in out[queue.pop()]:
            if target in out and target not in seen:
                seen.add(target)
                queue.append(target)
    return seen


def _part(found: Places, sides: Mapping[str, str]) -> None:
    """Push the boxes of the upper row apart where two hosts are neighbours."""
    row = sorted(sides, key=lambda name: (found[sides[name]][0], found[name][0]))
    last = float("-inf")
    for name in row:
        x = max(found[name][0], last + 1.0)
        found[name] = (x, found[name][1])
        last = x
