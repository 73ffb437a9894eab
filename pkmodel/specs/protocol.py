"""A protocol file: who gets which dose, when and how (DESIGN section 3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs import fields
from pkmodel.specs.adherence import Adherence
from pkmodel.specs.bands import band_problems
from pkmodel.specs.clinic import Clinic
from pkmodel.specs.clinic_rules import clinic_problems
from pkmodel.specs.device import Atomiser, Device, Product, Pump
from pkmodel.specs.dose import Dose, DoseBand, DoseLimits, Parts, Salt, WeightRule
from pkmodel.specs.escalate import Escalate
from pkmodel.specs.loading import Spec
from pkmodel.specs.planned import PlannedPart, PlannedSession
from pkmodel.specs.session_rules import course_problems, session_problems
from pkmodel.specs.sessions import Sessions
from pkmodel.specs.taper import Taper


class _Defaults(Spec):
    """What may be set for the whole protocol and overridden in a phase."""

    drug: fields.Drug | None = None
    salt: Salt | None = Field(default=None, alias="as")
    route: fields.Route | None = None
    over: fields.Duration | None = None
    weight: WeightRule | None = None
    dose_limits: DoseLimits | None = None
    device: Device | None = None
    atomiser: Atomiser | None = None
    product: Product | None = None
    pump: Pump | None = None


class Phase(_Defaults):
    """A run of sessions: one dose repeated, in one or in several parts, a taper, or an escalation."""

    name: str = Field(min_length=1, max_length=80)
    dose: Dose | None = None
    dose_when: Annotated[list[DoseBand], Field(min_length=1)] | None = None
    parts: Parts | None = None
    sessions: Sessions | None = None
    after: fields.Duration | None = None
    taper: Taper | None = None
    escalate: Escalate | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Phase:
        fields.exactly_one(self, "dose", "taper", "parts", "escalate")
        self._one_dose()
        for name, series in (("taper", self.taper), ("escalate", self.escalate)):
            if series is not None and self.sessions is not None:
                expected = f"one of them; {'a taper' if name == 'taper' else 'an escalation'} has its own sessions"
                raise InputError(Problem(f"{name} and sessions", expected, path="sessions"))
        if self.series is None and self.sessions is None:
            raise InputError(Problem("nothing", "sessions, when the dose is given", path="sessions"))
        return self

    def _one_dose(self) -> None:
        """Bands go with a dose, and are of its kind; parts have a time each."""
        if self.parts is not None and self.over is not None:
            raise InputError(Problem("parts and over", "over in each part that takes a time", path="over"))
        if self.dose_when is None:
            return
        if self.dose is None:
            raise InputError(Problem("dose_when without dose", "dose, for whom no band fits", path="dose_when"))
        problems = band_problems(self.dose_when, "dose_when")
        for index, band in enumerate(self.dose_when):
            if band.dose.unit.dimensions != self.dose.unit.dimensions:
                expected = f"a dose of the same kind as dose: {self.dose.text}"
                problems.append(Problem(band.dose.text, expected, f"dose_when[{index}].dose"))
        if problems:
            raise InputError(problems)

    def supplies(self, whole: _Defaults, lasting: bool) -> dict[str, Any]:
        """What a session is given with: what the phase says, else what of the protocol goes with it.

        A device or an atomiser of its own takes the place of either of the protocol's; a device of its own holds its
        own drug; and the protocol's pump is for what is ``lasting``.
        """
        device, atomiser = self.device, self.atomiser
        if device is None and atomiser is None:
            device, atomiser = whole.device, whole.atomiser
        product = self.product or (None if self.device is not None else whole.product)
        pump = self.pump or (whole.pump if lasting else None)
        return {"device": device, "atomiser": atomiser, "product": product, "pump": pump}

    def planned(self, over: float) -> tuple[PlannedPart, ...]:
        """The parts of a session; one dose goes over ``over`` h."""
        if self.parts is None:
            assert self.dose is not None
            return (PlannedPart(self.dose, over, when=tuple(self.dose_when or ())),)
        found: list[PlannedPart] = []
        pause = 0.0
        for part in self.parts:
            if part.dose is not None:
                found.append(PlannedPart(part.dose, part.over.value if part.over else 0.0, pause))
                pause = 0.0
            else:
                assert part.pause is not None
                pause += part.pause.value
        return tuple(found)

    @property
    def series(self) -> Taper | Escalate | None:
        """The doses of the phase where they change from session to session."""
        return self.taper if self.taper is not None else self.escalate

    @property
    def by_day(self) -> bool:
        """Whether the sessions are on stated days, which are those of the course where ``after`` is not given."""
        when = self.series or self.sessions
        return when is not None and when.by_day


class ProtocolSpec(_Defaults):
    """A protocol file, checked; ``plan()`` is the list of its sessions."""

    title: str = Field(min_length=1)
    drug: fields.Drug
    route: fields.Route
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    phases: list[Phase] = Field(min_length=1)
    notes: list[str] = []
    clinic: Clinic | None = None
    adherence: Adherence | None = None

    @model_validator(mode="after")
    def _possible(self) -> ProtocolSpec:
        problems: list[Problem] = []
        for index, phase in enumerate(self.phases):
            path = f"phases[{index}]"
            if phase.after is not None and index == 0:
                problems.append(Problem("after in the first phase", "after only behind a phase", path=f"{path}.after"))
            if phase.after is None and index > 0 and not phase.by_day:
                problems.append(Problem("nothing", "after: the time from the last session before", f"{path}.after"))
        if problems:
            raise InputError(problems)
        plan = self.plan()
        for planned in plan:
            problems += session_problems(planned)
        problems += course_problems(plan)
        for name in ("product", "pump"):
            if getattr(self, name) is not None and all(getattr(planned, name) is None for planned in plan):
                problems.append(Problem(f"a {name} that no session uses", "a protocol without it", path=name))
        for before, planned in pairwise(plan):
            if planned.start <= before.start:
                problems.append(
                    Problem(
                        found=f"session {planned.index} on day {planned.day}, not after day {before.day}",
                        expected="sessions in rising order",
                        path=planned.place,
                    )
                )
            elif planned.start < before.start + before.lasts:
                problems.append(
                    Problem(
                        found=f"session {planned.index} before the end of session {before.index}",
                        expected="sessions that do not overlap",
                        path=planned.place,
                    )
                )
        problems += clinic_problems(self.clinic, self.adherence, plan)
        unique = {(problem.path, problem.expected): problem for problem in reversed(problems)}
        if unique:
            raise InputError(list(unique.values())[::-1])
        return self

    _only: str | None = PrivateAttr(None)
    _plan: tuple[PlannedSession, ...] | None = PrivateAttr(None)

    @property
    def decides(self) -> bool:
        """Whether what is given is only known on the day: a clinic decides, or sessions are missed or late."""
        return self.clinic is not None or self.adherence is not None

    def decisions(self) -> list[str]:
        """What is decided on the day, as sentences."""
        return [sentence for part in (self.clinic, self.adherence) if part is not None for sentence in part.said()]

    def plan(self) -> list[PlannedSession]:
        """Every session of the course in order, with the phase's settings over the protocol's."""
        if self._plan is None:
            self._plan = tuple(self._planned())
        return list(self._plan)

    def _planned(self) -> list[PlannedSession]:
        planned: list[PlannedSession] = []
        for number, phase in enumerate(self.phases):
            start = planned[-1].start + phase.after.value if phase.after is not None and planned else 0.0
            default = phase.over or self.over
            over = default.value if default else 0.0
            if phase.series is not None:
                offsets = phase.series.offsets()
                parts: list[tuple[PlannedPart, ...]] = [(PlannedPart(dose, over),) for dose in phase.series.doses()]
            else:
                assert phase.sessions is not None
                offsets = phase.sessions.offsets()
                parts = [phase.planned(over)] * len(offsets)
            for offset, given in zip(offsets, parts, strict=True):
                planned.append(
                    PlannedSession(
                        index=len(planned) + 1,
                        phase=phase.name,
                        start=start + offset,
                        parts=given,
                        drug=phase.drug or self.drug,
                        salt=phase.salt or self.salt or "base",
                        route=phase.route or self.route,
                        weight=phase.weight or self.weight or WeightRule(),
                        limits=phase.dose_limits or self.dose_limits or DoseLimits(),
                        place=f"phases[{number}]",
                        **phase.supplies(self, any(part.over for part in given)),
                    )
                )
        if self._only is None:
            return planned
        own = [session for session in planned if session.drug == self._only]
        return [replace(session, index=number) for number, session in enumerate(own, 1)]

    def of_drug(self, drug: str) -> ProtocolSpec:
        """The sessions of one drug, at their times in the whole course, as a course of their own."""
        part = self.model_copy()
        part._only, part._plan = drug, None
        return part

    @property
    def routes(self) -> list[str]:
        """The routes that the course uses, in order of first use."""
        return list(dict.fromkeys(planned.route for planned in self.plan()))

    @property
    def drugs(self) -> list[str]:
        """The drugs that the course uses, in order of first use."""
        return list(dict.fromkeys(planned.drug for planned in self.plan()))
