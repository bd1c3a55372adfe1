"""Instructions on vectors of a fixed number of lanes, for loops that the compiler would not vectorise."""

from typing import Any

from llvmlite import ir
from numba.core import types

from gencheck.spectral.kernel.bits.vector_loops import FAST


class VectorCode:
    """Instructions on vectors of `lanes` numbers; wider ones than the processor's are split by LLVM."""

    def __init__(self, context: Any, builder: Any, real: Any, lanes: int) -> None:
        self.builder, self.kind, self.lanes = builder, context.get_value_type(real), lanes
        self.size = context.get_abi_sizeof(self.kind)
        self.vector = ir.VectorType(self.kind, lanes)
        self.integer = context.get_value_type(types.intp)
        self.flags = tuple(sorted(FAST))
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def number(self, value: int) -> Any:
        """A whole number of the size of an address."""
        return ir.Constant(self.integer, value)

    def offset(self, base: Any, *factors: Any) -> Any:
        """Base + the product of the factors."""
        product = factors[0]
        for factor in factors[1:]:
            product = self.builder.mul(product, factor)
        return self.builder.add(base, product)

    def pointer(self, base: Any, index: Any, kind: Any) -> Any:
        """Where the entry of that index lies."""
        address = self.offset(base, index, self.number(self.size))
        return self.builder.inttoptr(address, ir.PointerType(kind))

    def load(self, base: Any, index: Any) -> Any:
        """The vector that starts at that entry."""
        return self.builder.load(self.pointer(base, index, self.vector), align=self.size)

    def store(self, value: Any, base: Any, index: Any) -> None:
        """Put a vector of any length where that entry is."""
        self.builder.store(value, self.pointer(base, index, value.type), align=self.size)

    def spread(self, value: Any) -> Any:
        """One number in every lane."""
        kind, lane = ir.VectorType(value.type, self.lanes), ir.IntType(32)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(lane, 0))
        lanes = ir.Constant(ir.VectorType(lane, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def picked(self, value: Any, lanes: list[int]) -> Any:
        """Some lanes of a vector, in that order; the number of all lanes stands for a zero."""
        kind = ir.VectorType(ir.IntType(32), len(lanes))
        return self.builder.shuffle_vector(value, self.zero, ir.Constant(kind, lanes))

    def is_below(self, count: Any) -> Any:
        """Whether each lane is one of the first `count`."""
        kind = ir.VectorType(self.integer, self.lanes)
        places = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_signed("<", places, self.spread(count))

    def add(self, slot: Any, value: Any) -> None:
        """Slot += value."""
        total = self.builder.fadd(self.builder.load(slot), value, flags=self.flags)
        self.builder.store(total, slot)

    def add_product(self, slot: Any, left: Any, right: Any) -> None:
        """Slot += left · right."""
        self.add(slot, self.builder.fmul(left, right, flags=self.flags))
