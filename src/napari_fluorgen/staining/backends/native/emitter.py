"""Writes kernels in LLVM's intermediate language."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari_fluorgen.staining.backends.native.target import compile_function


class Emitter:
    """Writes one function of LLVM's intermediate language: loops and vectors of float32.

    Parameters
    ----------
    name : str
        Of the function.
    arguments : str
        One letter each: ``p`` pointer, ``f`` float32.
    lanes : int
        Float32 numbers in a vector.
    """

    def __init__(self, name: str, arguments: str, lanes: int) -> None:
        from llvmlite import ir

        self.ir = ir
        self.index, self.single, self.pointer = ir.IntType(64), ir.FloatType(), ir.PointerType()
        self.lanes = lanes
        self.vector = ir.VectorType(self.single, lanes)
        kinds = {"p": self.pointer, "f": self.single}
        self.module = ir.Module(name)
        kind = ir.FunctionType(ir.VoidType(), [kinds[letter] for letter in arguments])
        function = ir.Function(self.module, kind, name)
        function.attributes.add("nounwind")
        self.arguments = function.args
        self._entry = function.append_basic_block("entry")
        body = function.append_basic_block("body")
        self._slots = ir.IRBuilder(self._entry)
        self._slots.position_before(self._slots.branch(body))
        self.b = ir.IRBuilder(body)

    def number(self, value: int) -> Any:
        """A constant index."""
        return self.ir.Constant(self.index, value)

    def indices(self, pointer: Any, count: int) -> list[Any]:
        """The first int64 that a pointer leads to."""
        return [
            self.b.load(
                self.b.gep(pointer, [self.number(i)], source_etype=self.index), typ=self.index
            )
            for i in range(count)
        ]

    def slot(self, kind: Any) -> Any:
        """A variable, which LLVM keeps in a register."""
        return self._slots.alloca(kind)

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int | Any = 1) -> Iterator[Any]:
        """Emit what is inside for each index from `start` while it is below `stop`."""
        before = self.b.block
        test, body, after = (self.b.append_basic_block(name) for name in ("test", "body", "after"))
        self.b.branch(test)
        self.b.position_at_end(test)
        index = self.b.phi(self.index)
        index.add_incoming(start, before)
        self.b.cbranch(self.b.icmp_signed("<", index, stop), body, after)
        self.b.position_at_end(body)
        yield index
        step = self.number(step) if isinstance(step, int) else step
        index.add_incoming(self.b.add(index, step), self.b.block)
        self.b.branch(test)
        self.b.position_at_end(after)

    def at(self, pointer: Any, *steps: Any) -> Any:
        """Pointer to the float32 so many steps further."""
        for step in steps:
            step = self.number(step) if isinstance(step, int) else step
            pointer = self.b.gep(pointer, [step], source_etype=self.single)
        return pointer

    def load(self, pointer: Any, kind: Any = None) -> Any:
        """A vector, or what `kind` says, wherever it lies."""
        return self.b.load(pointer, align=4, typ=kind or self.vector)

    def store(self, value: Any, pointer: Any) -> None:
        """Write a vector or number."""
        self.b.store(value, pointer, align=4)

    def splat(self, value: Any, kind: Any = None) -> Any:
        """A vector that holds a number in all lanes."""
        kind = kind or self.vector
        empty = self.ir.Constant(kind, self.ir.Undefined)
        first = self.b.insert_element(empty, value, self.ir.Constant(self.ir.IntType(32), 0))
        return self.shuffle([0] * self.lanes, first, empty)

    def shuffle(self, order: list[int], left: Any, right: Any) -> Any:
        """A vector of the lanes of two, counted through."""
        kind = self.ir.VectorType(self.ir.IntType(32), len(order))
        return self.b.shuffle_vector(left, right, self.ir.Constant(kind, order))

    def fma(self, left: Any, right: Any, added: Any) -> Any:
        """The product of two vectors and a third added, rounded once."""
        name = f"llvm.fma.v{self.lanes}f32"
        if name not in self.module.globals:
            kind = self.ir.FunctionType(self.vector, [self.vector] * 3)
            self.ir.Function(self.module, kind, name)
        return self.b.call(self.module.globals[name], [left, right, added])

    def instruction(self, text: str, constraints: str, kind: Any, values: list[Any]) -> Any:
        """What one instruction of the processor makes of some values."""
        kind = self.ir.FunctionType(kind, [value.type for value in values])
        return self.b.asm(kind, text, constraints, values, False)

    def least(self, left: Any, right: Any) -> Any:
        """The smaller of two indices."""
        return self.b.select(self.b.icmp_signed("<", left, right), left, right)

    def most(self, left: Any, right: Any) -> Any:
        """The larger numbers of two vectors."""
        return self.b.select(self.b.fcmp_ordered(">", left, right), left, right)

    def compiled(self) -> Callable[..., None]:
        """The function, compiled for this machine; it runs without Python's lock."""
        self.b.ret_void()
        name = self.module.name
        kinds = {"p": ctypes.c_void_p, "f": ctypes.c_float}
        letters = ["f" if x.type == self.single else "p" for x in self.arguments]
        address = compile_function(str(self.module), name)
        return ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in letters))(address)
