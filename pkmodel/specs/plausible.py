"""What a person can be; anything outside is taken for a mistake and refused."""

from __future__ import annotations

#: Bounds in y, cm and kg, of a score, and of numbers from 0 to 1.
PLAUSIBLE = {
    "age": (0.0, 120.0),
    "height": (30.0, 260.0),
    "weight": (0.4, 400.0),
    "severity": (0.0, 1000.0),
    "cyp2b6_activity": (0.0, 1.0),
    "hepatic_impairment": (0.0, 1.0),
}
PLAUSIBLE_TEXT = {
    "age": "0 to 120 y",
    "height": "30 to 260 cm",
    "weight": "0.4 to 400 kg",
    "severity": "0 to 1000",
    "cyp2b6_activity": "0 to 1",
    "hepatic_impairment": "0 to 1",
}
