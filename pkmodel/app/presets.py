"""Patients to begin with, and the ranges of the sliders."""

from __future__ import annotations

from pkmodel.app.state import Person

#: Invented people, to teach with; each shows something that the average adult does not.
PRESETS: dict[str, Person] = {
    "Woman, 40 y, 70 kg": Person(),
    "Man, 40 y, 80 kg": Person(weight=80, sex="male", height=178),
    "Young woman, 24 y, 52 kg": Person(weight=52, age=24, height=162),
    "Man with obesity, 45 y, 140 kg": Person(weight=140, age=45, sex="male", height=176),
    "Older woman, 78 y, 58 kg": Person(weight=58, age=78, height=158),
    "Japanese woman, 35 y, 50 kg": Person(weight=50, age=35, height=157, ancestry="japanese"),
    "CYP2B6 blocked (ticlopidine, say), 40 y, 70 kg": Person(cyp2b6_activity=0.1),
    "Child, 6 y, 20 kg": Person(weight=20, age=6, height=115),
}
#: Ends and steps of the sliders: low, high, step, by field and unit.
SLIDERS: dict[str, dict[str, tuple[float, float, float]]] = {
    "person.weight": {"kg": (10, 180, 1), "lb": (22, 400, 1)},
    "person.height": {"cm": (80, 210, 1), "inch": (32, 83, 0.5)},
    "person.age": {"y": (1, 100, 1)},
}
