"""A table of 256 bytes looked up by 64 bytes at once (x86 `vpermi2b`); the NumPy twin is in `_reference_bytes`.

`AVAILABLE` says whether this CPU has the instruction; without it the caller takes `_kernels_elementwise.look_up_flat`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from slimai.compiling import njit

LANES = 64
AVAILABLE = bool(binding.get_host_cpu_features().get("avx512vbmi", False))
_BYTES, _INDEX = ir.VectorType(ir.IntType(8), LANES), ir.IntType(64)


def _declared(_typing: Any, x: Any, at: Any, flip: Any, table: Any, out: Any) -> Any:
    """Write table[x ^ flip] of 64 bytes from `at` on."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def vector(array: int, place: Any) -> Any:
            data = context.make_array(sig.args[array])(context, builder, args[array]).data
            return builder.bitcast(builder.gep(data, [place]), _BYTES.as_pointer())

        insert: Any = cgutils.get_or_insert_function
        permute = insert(builder.module, ir.FunctionType(_BYTES, [_BYTES] * 3), "llvm.x86.avx512.vpermi2var.qi.512")
        turned = builder.shuffle_vector(
            builder.insert_element(ir.Constant(_BYTES, ir.Undefined), args[2], ir.IntType(32)(0)),
            ir.Constant(_BYTES, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), LANES), None),
        )
        index = builder.xor(builder.load(vector(0, args[1]), align=1), turned)
        quarters = [builder.load(vector(3, _INDEX(LANES * part)), align=1) for part in range(4)]
        lower = builder.call(permute, (quarters[0], index, quarters[1]))
        upper = builder.call(permute, (quarters[2], index, quarters[3]))
        negative = builder.icmp_signed("<", index, ir.Constant(_BYTES, None))
        builder.store(builder.select(negative, upper, lower), vector(4, args[1]), align=1)
        return context.get_dummy_value()

    return types.void(x, at, flip, table, out), emit


_found: Any = intrinsic(_declared)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def look_up_bytes(x: Any, flip: Any, table: Any, out: Any) -> None:
    """Write table[x ^ flip]: x, out flat uint8; table [256] uint8; flip uint8."""
    whole = x.size - x.size % LANES
    for at in range(0, whole, LANES):
        _found(x, at, flip, table, out)
    for at in range(whole, x.size):
        out[at] = table[x[at] ^ flip]
