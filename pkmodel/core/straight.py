"""What the propagator of a structure does most, written out entry by entry: machine code without a loop.

The loops of :mod:`pkmodel.core.chain` look up every entry, and the processor mispredicts the ends of their short rows.
Written out, the same operations in the same order take a third of the time, and a few hundredths of a second to write:
worth it for many patients. They give the same bits.
"""

from __future__ import annotations

from llvmlite import ir

from pkmodel.core.chain import SMALL
from pkmodel.core.emit import Writer
from pkmodel.core.native import Library
from pkmodel.core.structure import Structure

#: The memories of the functions, in their order.
SQUARE, STATE, MOVED = 0, 1, 2
MATRIX, TERM, SUM, SCALE = 0, 1, 2, 3


class Straight:
    """A ``structure`` with the addresses of its functions; their code lives as long as this does."""

    def __init__(self, structure: Structure):
        module = ir.Module()
        apply, term = Writer(module, "apply", memories=3), Writer(module, "term", memories=4, masks=1)
        _write_apply(apply, structure)
        _write_term(term, structure)
        self._library = Library(module, ("apply", "term"))
        address = self._library.address
        self.structure = structure._replace(apply_code=address["apply"], term_code=address["term"])


def _write_apply(writer: Writer, structure: Structure) -> None:
    """``moved = square @ state``."""
    for i in range(structure.size):
        total = writer.number(0.0)
        for entry in range(structure.row_start[i], structure.row_start[i + 1]):
            factor = writer.load(entry, SQUARE)
            total = factor.times(writer.load(int(structure.column[entry]), STATE), total)
        writer.store(i, total, MOVED)
    writer.finish()


def _write_term(writer: Writer, structure: Structure) -> None:
    """The next term of a series, ``matrix @ term * scale`` in place of ``term``, and where it is masked also added to
    ``sum``; returns the lanes in which it counts.
    """
    scale, terms = writer.load(0, SCALE), []
    for i in range(structure.size):
        total = writer.number(0.0)
        for k in range(structure.direct_start[i], structure.direct_start[i + 1]):
            factor = writer.load(int(structure.direct_entry[k]), MATRIX)
            total = factor.times(writer.load(int(structure.direct_column[k]), TERM), total)
        terms.append(total * scale)
    counts = None
    for i, term in enumerate(terms):
        state = writer.load(i, SUM)
        changed = writer.masks[0].choose(state + term, state)
        writer.store(i, term, TERM)
        writer.store(i, changed, SUM)
        larger = term.magnitude() > changed.magnitude() * SMALL
        counts = larger if counts is None else counts | larger
    assert counts is not None
    writer.finish(counts)
