"""The kinds of event, apart from the kernels so that a schedule can be made without loading numba."""

#: An amount (mg) arrives in a compartment at once.
JUMP = 0
#: A rate (mg/h) begins to pour into a port, or ends.
RATE_ON = 1
RATE_OFF = 2
