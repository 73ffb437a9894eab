"""Functions of :mod:`pkmodel.core.emit` as machine code, and how a kernel calls them.

The processor and its features are those that numba compiles for (``NUMBA_CPU_NAME``, ``NUMBA_CPU_FEATURES``). The code
of a model is made once per process, in a few tenths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from pkmodel.core.lane_memory import NUMBERS

_DOUBLE, _INT64 = ir.DoubleType(), ir.IntType(64)


class Library:
    """The machine code of a module; it lives as long as this does."""

    def __init__(self, module: ir.Module, names: Sequence[str]):
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features: str | None = getattr(config, "CPU_FEATURES", None)
        if features is None:
            features = binding.get_host_cpu_features().flatten()
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=getattr(config, "CPU_NAME", None) or binding.get_host_cpu_name(), features=features, opt=1
        )
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        self._engine: Any = binding.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()
        self.address = {name: int(self._engine.get_function_address(name)) for name in names}


@intrinsic
def run(typing_context, address, arguments):
    """Run the function at an address on a tuple of pointers and whole numbers; returns its bits."""
    kinds = []
    for kind in arguments:
        if kind != NUMBERS and not isinstance(kind, types.Integer):
            return None
        kinds.append(_DOUBLE.as_pointer() if kind == NUMBERS else _INT64)

    def codegen(context, builder, sig, args):
        function = builder.inttoptr(args[0], ir.FunctionType(_INT64, kinds).as_pointer())
        return builder.call(function, cgutils.unpack_tuple(builder, args[1]))

    return types.int64(types.int64, arguments), codegen


@intrinsic
def call(typing_context, address, memory):
    """Run the function at an address on a C-contiguous float64 array; returns its bits."""
    if not (isinstance(memory, types.Array) and memory.dtype == types.float64 and memory.layout == "C"):
        return None

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[1])(context, builder, args[1]).data
        kind = ir.FunctionType(_INT64, [_DOUBLE.as_pointer()])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [data])

    return types.int64(types.int64, memory), codegen
