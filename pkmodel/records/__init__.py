"""Tables of records as NONMEM has them: read (``table``, ``rows``), resolved into events (``resolve``), and run.

``resolve`` holds the rules of events and nothing else; docs/events.md tells them one by one.
"""

from pkmodel.records.export import records_of
from pkmodel.records.simulate import simulate_records

__all__ = ["records_of", "simulate_records"]
