"""The tape: non-linear and time-varying terms as a program that a kernel runs, without numba and without a model.

A tape is a list of three-address operations over a file of registers. A register holds one number per patient, so
every operation is one loop over patients. :mod:`pkmodel.tape` makes tapes and holds the interpreter in plain numpy
against which kernels are tested.

Registers, in this order:

- ``n_parameters`` parameters of the patients (the rows of an array beside the tape; constants are rows too);
- ``n_states`` states, in the order of the system's rates;
- one for the time since the first dose, h (0 before it);
- temporaries; each is written once.

Truth is 1.0 and falsehood 0.0; whatever is not 0.0 counts as true.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ADD = 0  #: dst = a + b
SUB = 1  #: dst = a - b
MUL = 2  #: dst = a * b
DIV = 3  #: dst = a / b
NEG = 4  #: dst = -a
RECIPROCAL = 5  #: dst = 1 / a
POW = 6  #: dst = a ** b, where a is not negative
SQRT = 7  #: dst = sqrt(a), where a is not negative
EXP = 8  #: dst = exp(a)
LOG = 9  #: dst = log(a), natural
MIN = 10  #: dst = the smaller of a and b
MAX = 11  #: dst = the larger of a and b
GT = 12  #: dst = a > b
GE = 13  #: dst = a >= b
LT = 14  #: dst = a < b
LE = 15  #: dst = a <= b
EQ = 16  #: dst = a == b
NE = 17  #: dst = a != b
AND = 18  #: dst = a and b
OR = 19  #: dst = a or b
NOT = 20  #: dst = not a
WHERE = 21  #: dst = b where a is true, else c. What is not chosen may be infinite or NaN.

#: How many of ``a``, ``b`` and ``c`` an operation reads; the others are 0.
OPERANDS = (2, 2, 2, 2, 1, 1, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3)


class Tape(NamedTuple):
    """The dynamic terms of a system, their values and their partial derivatives.

    ``op``, ``dst``, ``a``, ``b``, ``c`` are (m,) int64: what to do, where to, and the registers to read. The operations
    [0, n_value) give the values of all terms; [n_value, m) need what those left and give the derivatives.

    A dynamic term f is an amount (or effect) per hour: ``flow_register[f]`` holds it, and it leaves the state
    ``flow_from[f]`` (-1: it comes from nowhere) and enters ``flow_to[f]`` (-1: it goes outside). So

        d(state)/dt = rates @ state + sum of the terms that enter - sum of the terms that leave + input.

    ``partial_register[k]`` holds the derivative of term ``partial_flow[k]`` by state ``partial_state[k]``;
    ``time_register[k]`` that of term ``time_flow[k]`` by the time since the first dose. Derivatives that are not listed
    are 0. Any register may stand in these lists, a parameter or a state too. Jumps (``where``, a comparison with
    the time) have the derivative of the branch that holds.
    """

    op: NDArray[np.int64]
    dst: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    c: NDArray[np.int64]
    n_value: int
    n_parameters: int
    n_states: int
    n_registers: int
    flow_register: NDArray[np.int64]
    flow_from: NDArray[np.int64]
    flow_to: NDArray[np.int64]
    partial_flow: NDArray[np.int64]
    partial_state: NDArray[np.int64]
    partial_register: NDArray[np.int64]
    time_flow: NDArray[np.int64]
    time_register: NDArray[np.int64]
