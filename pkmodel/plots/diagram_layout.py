"""Where the boxes of a compartment diagram stand: the way of the drug from left to right, what it exchanges with above.

Columns and rows are whole or half numbers; a box is smaller than one of either.
"""

from __future__ import annotations

from collections.abc import Mapping

from pkmodel.specs.model import OUTSIDE, ModelSpec

Places = dict[str, tuple[float, float]]

#: Columns between two boxes that belong above the same one.
_ASIDE = 1.3


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
    hosted = {name: [other for other, its in sides.items() if its == name] for name in main}
    spread = _spread(column, hosted)
    found: Places = {}
    taken: dict[float, int] = {}
    for name in sorted(main, key=lambda item: (item not in _reached(centre, out), model.compartments.index(item))):
        row = taken.get(column[name], 0)
        taken[column[name]] = row + 1
        found[name] = (spread[column[name]], -float(row))
    for host, names in hosted.items():
        for index, name in enumerate(names):
            found[name] = (found[host][0] + (index - (len(names) - 1) / 2) * _ASIDE, 1.0)
    return found


def upstream(model: ModelSpec) -> set[str]:
    """Compartments that hold the drug as it was given: all but those that it reaches, and does not come back from."""
    out = {name: [f.target for f in model.flows if f.source == name] for name in model.compartments}
    centre = model.outputs[model.parent].amount
    reached = _reached(centre, out)
    return {name for name in model.compartments if name not in reached or centre in _reached(name, out)}


def _spread(column: Mapping[str, float], hosted: Mapping[str, list[str]]) -> dict[float, float]:
    """Where columns stand, so that the boxes above one keep clear of those above the others."""
    halves: dict[float, float] = {}
    for name, at in column.items():
        if hosted[name]:
            halves[at] = max(halves.get(at, 0.0), ((len(hosted[name]) - 1) * _ASIDE + 1.0) / 2)
    found: dict[float, float] = {}
    for at in sorted(set(column.values())):
        least = [x + 1.0 for x in found.values()]
        if at in halves:
            least += [found[other] + halves[other] + halves[at] for other in found if other in halves]
        found[at] = max(least, default=0.0)
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
