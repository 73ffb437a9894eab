"""What cannot be carried out of a planned session, or of a course, whoever the patient: known from the file alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pkmodel.errors import Problem
from pkmodel.specs.dose import is_rate, same_for_all
from pkmodel.specs.planned import PlannedPart, PlannedSession
from pkmodel.units import Quantity

#: Slack for a dose that is a whole number of steps but for the last bit.
_WHOLE = 1e-9


def session_problems(planned: PlannedSession) -> list[Problem]:
    """What cannot be carried out of a session, whoever the patient."""
    rules: tuple[Callable[[PlannedSession], Iterator[Problem]], ...] = (_rates, _supplies, _rounding)
    if planned.device is not None and planned.atomiser is not None:
        rules = (*rules, _both)
    elif planned.device is not None:
        rules = (*rules, _devices)
    elif planned.atomiser is not None:
        rules = (*rules, _atomiser)
    return [problem for rule in rules for problem in rule(planned)]


def course_problems(plan: Sequence[PlannedSession]) -> list[Problem]:
    """What cannot be carried out of the sessions together: caps over doses that are not of one kind."""
    kinds = {(planned.drug, planned.salt) for planned in plan}
    found = []
    for planned in plan:
        for name in ("max_day", "max_course"):
            if getattr(planned.limits, name) is not None and len(kinds) > 1:
                expected = "one drug as one salt in the whole course, whose mg add up"
                found.append(Problem(f"{name} in a course that changes them", expected, planned.place))
    return found


def _whole(amount: float, step: float) -> bool:
    count = amount / step
    return abs(count - round(count)) <= _WHOLE * max(count, 1.0)


def _written(planned: PlannedSession) -> Iterator[tuple[PlannedPart, str]]:
    """Every part, with the key of the phase that its dose stands at."""
    several = len(planned.parts) > 1
    for index, part in enumerate(planned.parts):
        yield part, f"{planned.place}.parts[{index}]" if several else f"{planned.place}.dose"


def _rates(planned: PlannedSession) -> Iterator[Problem]:
    for part, path in _written(planned):
        if is_rate(part.dose) and not part.over:
            yield Problem(f"a rate, {part.dose.text}, without over", "over, for how long", path)


def _rounding(planned: PlannedSession) -> Iterator[Problem]:
    wanted = planned.limits.round_to
    if wanted is not None and planned.step is not None and planned.limits.min_single is None:
        half = {"down": 1.0, "up": 0.0}.get(planned.limits.round or "", 0.5)
        for part, path in _written(planned):
            if part.fixed is not None and part.fixed < half * planned.step * (1 - _WHOLE):
                what = wanted if isinstance(wanted, str) else wanted.text
                expected = f"a dose that leaves something at round_to: {what}"
                yield Problem(f"{part.label}, which rounds to 0 mg", expected, path)
    if not isinstance(wanted, str):
        return
    if planned.step is None:
        needed = {
            "device": "a device, which a dose is rounded to",
            "spray": "an atomiser, which gives single sprays (of a device: round_to: device)",
            "vial": "product with its concentration and vial",
        }[wanted]
        yield Problem(f"round_to: {wanted}", needed, planned.place)
        return
    for name, cap in planned.limits.caps.items():
        if planned.step > cap.value * (1 + _WHOLE):
            found = f"{name} {cap.text} below one {wanted}, {planned.step:.4g} mg"
            yield Problem(found, f"a cap that leaves at least one {wanted}", planned.place)


def _supplies(planned: PlannedSession) -> Iterator[Problem]:
    if planned.pump is not None:
        if planned.product is None:
            expected = "product: {concentration: ...}, which turns mg into mL"
            yield Problem("a pump without a product", expected, planned.place)
        if not any(part.over for part in planned.parts):
            yield Problem("a pump for a dose at once", "over, for how long it runs", planned.place)
    if planned.product is not None and planned.device is not None:
        yield Problem("a product and a device", "one of the two: a device holds its own drug", planned.place)


def _both(planned: PlannedSession) -> Iterator[Problem]:
    yield Problem("a device and an atomiser", "one of the two", planned.place)


def _nasal(planned: PlannedSession, what: str, things: str) -> Iterator[Problem]:
    """What a device and an atomiser have in common."""
    if planned.route != "intranasal":
        yield Problem(f"{what} on the route {planned.route}", "the route intranasal", planned.place)
    if len(planned.parts) > 1:
        yield Problem(f"{what} and parts", f"dose: {things} give one dose", planned.place)
    elif planned.over:
        yield Problem(f"{what} and over", f"one of the two: {things} are given at once", planned.place)


def _masses(planned: PlannedSession) -> list[Quantity]:
    """The doses of the first part that are a mass: its own, and those of its bands."""
    part = planned.parts[0]
    return [dose for dose in (part.dose, *(band.dose for band in part.when)) if same_for_all(dose)]


def _devices(planned: PlannedSession) -> Iterator[Problem]:
    device, limits = planned.device, planned.limits
    assert device is not None
    yield from _nasal(planned, "a device", "devices")
    strength, text = device.strength.value, device.strength.text
    for dose in _masses(planned):
        if not _whole(dose.value, strength) and not is_rate(dose):
            count, unit = int(dose.value / strength), device.strength.unit.text
            options = sorted({max(1, count), count + 1})
            fits = " or ".join(f"{device.strength.number * number:g} {unit}" for number in options)
            yield Problem(dose.text, f"whole devices of {text}: {fits}", f"{planned.place}.dose")
    floor = limits.min_single
    if floor is not None and limits.round_to is None and not _whole(floor.value, strength):
        yield Problem(f"min_single {floor.text}", f"a floor of whole devices of {text}", planned.place)
    if same_for_all(planned.dose):
        for name, cap in limits.caps.items():
            bites = name != "max_single" or any(cap.value < dose.value for dose in _masses(planned))
            if bites and limits.round_to is None and not _whole(cap.value, strength):
                found = f"{name} {cap.text}"
                found += f" below {planned.dose.text}" if name == "max_single" else ""
                expected = f"a cap of whole devices of {text}, or round_to: {text}"
                yield Problem(found, expected, planned.place)
    elif planned.step is None:
        found, expected = f"{planned.dose.text} from devices of {text}", f"dose_limits with round_to: {text}"
        yield Problem(found, expected, f"{planned.place}.dose")
    if planned.step is not None and not _whole(planned.step, strength):
        what = getattr(limits.round_to, "text", limits.round_to)
        found, expected = f"round_to: {what} from devices of {text}", f"round_to: {text}"
        yield Problem(found, expected, f"{planned.place}.dose")


def _atomiser(planned: PlannedSession) -> Iterator[Problem]:
    atomiser, limits = planned.atomiser, planned.limits
    assert atomiser is not None
    yield from _nasal(planned, "an atomiser", "sprays")
    product = planned.product
    if product is not None and abs(product.concentration.value / atomiser.concentration.value - 1.0) > _WHOLE:
        found = f"a product of {product.concentration.text} in an atomiser of {atomiser.concentration.text}"
        yield Problem(found, "one concentration", planned.place)
    if planned.step is not None and not _whole(planned.step, atomiser.per_spray):
        what = getattr(limits.round_to, "text", limits.round_to)
        found = f"round_to: {what} in sprays of {atomiser.per_spray:.4g} mg"
        yield Problem(found, "round_to: spray", f"{planned.place}.dose")
    cap = limits.max_single.value if limits.max_single is not None else float("inf")
    for dose in _masses(planned):
        given = min(dose.value, cap)
        sprays = given / atomiser.per_spray
        if is_rate(dose):
            continue
        if sprays < 0.5 - _WHOLE and limits.round_to is None:
            found = f"{dose.text}, less than half a spray of {atomiser.per_spray:.4g} mg"
            yield Problem(found, "a dose of at least one spray", f"{planned.place}.dose")
        elif round(sprays) > atomiser.most_sprays and limits.max_per_kg is None:
            found = f"{dose.text}, {round(sprays)} sprays of {atomiser.spray_text}"
            yield Problem(found, atomiser.too_much(given), f"{planned.place}.dose")
