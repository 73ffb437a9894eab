"""How a dose is given and what that takes: devices, sprays, a pump, vials; and what is wasted.

Masses in mg as written, volumes in L inside and in mL where a session tells them, times in h from its start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.errors import InputError, Problem
from pkmodel.given import SWALLOWED, WHOLE, GivenDose
from pkmodel.limits import Limiter
from pkmodel.specs.device import Atomiser, Delivered, Device, Pump
from pkmodel.specs.planned import PlannedSession
from pkmodel.streams import normals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A session of so many vials is a mistake in the product or in the dose.
MOST_VIALS = 1e9


@dataclass(frozen=True)
class Draw:
    """Whose sprays are drawn: the ``seed``, and the number of the ``first`` patient."""

    seed: int
    first: int = 0


@dataclass(frozen=True)
class Supplied:
    """How a session is given, per patient (n,), and what it takes; the names are those of a given session."""

    doses: tuple[GivenDose, ...]
    end: Floats
    devices: Ints | None = None
    sprays: Ints | None = None
    volume: Floats | None = None
    vials: Ints | None = None
    used: Floats | None = None
    wasted: Floats | None = None
    pump_rate: Floats | None = None


def _delivered(
    delivered: Delivered | None, draw: Draw | None, planned: PlannedSession, size: int
) -> Callable[[int, int], Floats | float]:
    """What a spray delivers over what it should (n,), by device and spray (1, 2, ...): log-normal, of the mean 1.

    Each spray of each device of each session has a stream of its own. 1 where nothing varies, or no seed is given.
    """
    if delivered is None or draw is None:
        return lambda device, spray: 1.0
    sigma = delivered.sigma

    def factor(device: int, spray: int) -> Floats:
        z = normals(draw.seed, f"delivered/{planned.index}/{device}/{spray}", draw.first, size)
        spread: Floats = np.exp(sigma * z - 0.5 * sigma**2)
        return spread

    return factor


def by_devices(planned: PlannedSession, device: Device, dose: Floats, draw: Draw | None) -> Supplied:
    """A dose (n,) in whole devices, one after the other. Raises InputError where it is no whole number of them."""
    strength, pause = device.strength.value, device.pause
    count = dose / strength
    devices = np.rint(count).astype(np.int64)
    if (np.abs(count - devices) > WHOLE * np.maximum(count, 1.0)).any():
        found = f"{planned.label} in session {planned.index}, which comes to {dose[np.argmax(count != devices)]:.4g} mg"
        expected = f"whole devices of {device.strength.text}: dose_limits with round_to: device"
        raise InputError(Problem(found, expected, planned.place, "protocol"))
    factor = _delivered(device.delivered, draw, planned, dose.size)

    def amount(number: int) -> Floats:
        whole = np.where(devices >= number, strength, 0.0)
        if device.delivered is None or draw is None:
            return whole
        share = sum(factor(number, spray) for spray in range(1, device.sprays + 1)) / device.sprays
        varied: Floats = whole * share
        return varied

    doses = tuple(
        GivenDose((number - 1) * pause, 0.0, amount(number), number)
        for number in range(1, int(devices.max(initial=0)) + 1)
    )
    sprays = devices * device.sprays
    volume: Floats | None = None
    if device.volume_per_spray is not None:
        volume = _ml(_times(sprays, device.volume_per_spray.value))
    end = np.maximum(devices - 1, 0) * pause
    return Supplied(doses, end, devices, sprays, volume, used=_times(devices, strength), wasted=np.zeros(dose.size))


def by_sprays(planned: PlannedSession, atomiser: Atomiser, dose: Floats, draw: Draw | None) -> Supplied:
    """A dose (n,) of whole sprays, in one nostril and the other by turns; what runs off is a dose that is swallowed.

    Raises InputError where it does not fit into two nostrils, with what would.
    """
    per_spray, most = atomiser.per_spray, atomiser.most_sprays
    sprays = np.rint(dose / per_spray).astype(np.int64)
    if (sprays > most).any():
        worst = int(np.argmax(sprays))
        found = f"{dose[worst]:.4g} mg in session {planned.index}, {sprays[worst]} sprays of {atomiser.spray_text}"
        expected = f"{atomiser.too_much(float(dose[worst]))}; dose_limits: max_single holds a dose to that"
        raise InputError(Problem(found, expected, planned.place, "protocol"))
    factor = _delivered(atomiser.delivered, draw, planned, dose.size)
    doses: list[GivenDose] = []
    for number in range(1, int(sprays.max(initial=0)) + 1):
        begins, off = (number - 1) * atomiser.pause, atomiser.run_off(number)
        amount = np.where(sprays >= number, per_spray, 0.0) * factor(1, number)
        if off < 1.0:
            doses.append(GivenDose(begins, 0.0, amount * (1.0 - off) if off else amount))
        if off > 0.0:
            doses.append(GivenDose(begins, 0.0, amount * off, kind=SWALLOWED))
    dead = atomiser.dead_space.value if atomiser.dead_space is not None else 0.0
    volume = _times(sprays, atomiser.spray.value)
    drawn = np.where(sprays > 0, volume + dead, 0.0)
    vials, used = _vials(planned, drawn)
    used = drawn * atomiser.concentration.value if used is None else used
    end = np.maximum(sprays - 1, 0) * atomiser.pause
    return Supplied(
        tuple(doses),
        end,
        sprays=sprays,
        volume=_ml(volume),
        vials=vials,
        used=used,
        wasted=np.maximum(used - dose, 0.0),
    )


def by_hand_or_pump(planned: PlannedSession, parts: list[Floats], limiter: Limiter) -> Supplied:
    """The parts of a session, (n,) mg each, one after the other; a pump that is not fast enough takes longer.

    What the pump does to a time is written down with the ``limiter``.
    """
    product, pump = planned.product, planned.pump
    doses: list[GivenDose] = []
    begins: Floats | float = 0.0
    fastest: Floats | None = None
    for number, (part, amount) in enumerate(zip(planned.parts, parts, strict=True), 1):
        over: Floats | float = part.over
        if product is not None and part.over:
            drawn = amount / product.concentration.value
            if pump is not None:
                over = _paced(pump, drawn, part.over, number, limiter)
            rate = drawn / over
            fastest = rate if fastest is None else np.maximum(fastest, rate)
        begins = begins + part.pause
        doses.append(GivenDose(begins, over, amount, part=number))
        begins = begins + over
    end = np.broadcast_to(np.asarray(begins, dtype=np.float64), (limiter.size,)).copy()
    if product is None:
        return Supplied(tuple(doses), end)
    total: Floats = np.sum(parts, axis=0)
    volume: Floats = total / product.concentration.value
    vials, used = _vials(planned, volume)
    return Supplied(
        tuple(doses),
        end,
        volume=_ml(volume),
        vials=vials,
        used=used,
        wasted=None if used is None else np.maximum(used - total, 0.0),
        pump_rate=None if fastest is None else _ml(fastest),
    )


def _paced(pump: Pump, volume: Floats, over: float, part: int, limiter: Limiter) -> Floats:
    """The h (n,) that a volume (n,) L takes with a pump: as planned, but for its fastest rate and the steps of it."""
    wanted = volume / over
    rate = wanted
    times = np.full(volume.size, over)

    def again(reason: str, slower: Floats) -> Floats:
        """The times at another rate; they stay as they are where the rate does."""
        changed = (np.abs(slower - rate) > WHOLE * rate) & (volume > 0.0)
        taken = np.where(changed, volume / np.where(changed, slower, 1.0), times)
        return limiter.note(reason, "paced", part, times, taken, "h")

    if pump.max_rate is not None:
        most = pump.max_rate.value
        slower = np.minimum(rate, most)
        times, rate = again(f"pump limit {pump.max_rate.text}", slower), slower
    if pump.step is not None:
        step = pump.step.value
        steps = np.maximum(np.floor(rate / step + 0.5), 1.0)
        if pump.max_rate is not None:
            steps = np.minimum(steps, np.floor(pump.max_rate.value / step * (1 + WHOLE)))
        times = again(f"pump in steps of {pump.step.text}", steps * step)
    return times


def _vials(planned: PlannedSession, volume: Floats) -> tuple[Ints | None, Floats | None]:
    """How many vials (n,) are opened for a volume (n,) L, and the mg in them; None where the file names no vial."""
    product = planned.product
    if product is None or product.vial is None:
        return None, None
    opened = np.ceil(volume / product.vial.value * (1 - WHOLE))
    if not (opened < MOST_VIALS).all():
        found = f"{opened.max():.3g} vials of {product.vial.text} for a session"
        raise InputError(Problem(found, "a dose that fits the product", path="product"))
    vials = opened.astype(np.int64)
    return vials, _times(vials, product.vial.value * product.concentration.value)


def _times(count: Ints, each: float) -> Floats:
    whole: Floats = count.astype(np.float64) * each
    return whole


def _ml(volume: Floats) -> Floats:
    millilitres: Floats = volume * units.convert(1.0, "mL")
    return millilitres
