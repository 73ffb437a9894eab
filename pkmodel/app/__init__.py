"""The page for teaching: ``pkmodel app`` serves it on this machine only. Needs the extra ``app`` (Shiny for Python).

``state`` says what the page shows, ``course`` turns rows into a protocol, ``compute`` into curves, ``readouts`` into
numbers, ``picture`` into a PNG; ``ui`` and ``server`` alone know of Shiny.
"""
