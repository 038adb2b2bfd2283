"""Vectors of eight numbers, a type of numba's own kind, for loops that its compiler does not turn into vectors itself.

Inside compiled functions a `Vector` is loaded, stored, added, subtracted, multiplied and divided like a number. numba's
cache on disk is renewed when the file of a compiled function changes, and does not see this one: whoever changes this
file changes those that use it, too, if only in a comment.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
"""Numbers of a vector."""


class Vector(types.Type):
    """`LANES` numbers of one type."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


def _model(manager: Any, vector: Vector) -> Any:
    return models.PrimitiveModel(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), LANES))


register_model(Vector)(_model)


def _intrinsic(function: Callable[..., Any]) -> Any:
    """Return what compiled functions call: `function` gives its types, and what writes its instructions."""
    return intrinsic(function)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    pointer = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(pointer, context.get_value_type(Vector(kind.dtype)).as_pointer())


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector that begins at a place of an array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_pointer(context, builder, array, *values), align=array.dtype.bitwidth // 8)

    return Vector(array.dtype)(array, index), generate


@_intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put a vector at a place of an array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _pointer(context, builder, array, *values[:2]), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, vector), generate


class _Arithmetic(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        vector = next((each for each in args if isinstance(each, Vector)), None)
        return None if vector is None else vector(*(each if each == vector else vector.dtype for each in args))


def _fill(builder: Any, number: Any, whole: Any) -> Any:
    empty, zero = ir.Constant(whole, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(empty, number, zero)
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))


def _arithmetic(symbol: Callable[..., Any], name: str) -> None:
    infer_global(symbol)(type(name, (_Arithmetic,), {}))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        whole = context.get_value_type(signature.return_type)
        both = [
            value if isinstance(kind, Vector) else _fill(builder, value, whole)
            for kind, value in zip(signature.args, values, strict=True)
        ]
        return getattr(builder, name)(*both)

    for kinds in ((Vector, Vector), (types.Float, Vector), (Vector, types.Float)):
        lower_builtin(symbol, *kinds)(generate)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@_intrinsic
def single(typing: Any, vector: Any) -> Any:
    """Round a vector to single precision."""
    single = Vector(types.float32)
    return single(vector), lambda context, builder, _, values: builder.fptrunc(*values, context.get_value_type(single))


@_intrinsic
def double(typing: Any, vector: Any) -> Any:
    double = Vector(types.float64)
    return double(vector), lambda context, builder, _, values: builder.fpext(*values, context.get_value_type(double))


@_intrinsic
def splat(typing: Any, number: Any) -> Any:
    """The same number in all lanes."""
    vector = Vector(number)
    return vector(number), lambda context, builder, _, values: _fill(builder, values[0], context.get_value_type(vector))


@_intrinsic
def smaller(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), lambda context, builder, _, values: _choose(builder, "<", *values)


@_intrinsic
def larger(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), lambda context, builder, _, values: _choose(builder, ">", *values)


def _choose(builder: Any, sign: str, left: Any, right: Any) -> Any:
    return builder.select(builder.fcmp_ordered(sign, left, right), left, right)


@_intrinsic
def root(typing: Any, vector: Any) -> Any:
    """The square root of a vector in single precision."""
    return vector(vector), lambda context, builder, _, values: _call(builder, "sqrt", *values)


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    """Call an intrinsic function of LLVM on vectors in single precision."""
    kind = ir.FunctionType(vectors[0].type, [vectors[0].type] * len(vectors))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, vectors)


@_intrinsic
def summits(typing: Any, array: Any, index: Any, least: Any) -> Any:
    """A bit for each lane at a place of an array: above `least` and the value before, and not below the one behind."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = [builder.add(values[1], values[1].type(step)) for step in (-1, 0, 1)]
        pointers = [_pointer(context, builder, array, values[0], place) for place in places]
        before, here, behind = (builder.load(pointer, align=array.dtype.bitwidth // 8) for pointer in pointers)
        loud = builder.fcmp_ordered(">", here, _fill(builder, values[2], here.type))
        rising, falling = builder.fcmp_ordered(">", here, before), builder.fcmp_ordered(">=", here, behind)
        bits = builder.bitcast(builder.and_(loud, builder.and_(rising, falling)), ir.IntType(LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(array, index, least), generate


@_intrinsic
def square_of_size(typing: Any, real: Any, imaginary: Any) -> Any:
    """The square of the absolute value as numpy rounds it: large * sqrt(1 + (small / large)^2)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        whole = values[0].type

        one, zero = ir.Constant(whole, [1.0] * LANES), ir.Constant(whole, [0.0] * LANES)
        x, y = _call(builder, "fabs", values[0]), _call(builder, "fabs", values[1])
        large, small = _choose(builder, ">", x, y), _choose(builder, "<", x, y)
        quotient = builder.fdiv(small, builder.select(builder.fcmp_ordered("==", large, zero), one, large))
        size = builder.fmul(large, _call(builder, "sqrt", _call(builder, "fma", quotient, quotient, one)))
        return builder.fmul(size, size)

    return real(real, imaginary), generate


@_intrinsic
def transpose(typing: Any, rows: Any) -> Any:
    """Eight vectors, given as rows, as eight columns."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        square, lanes = cgutils.unpack_tuple(builder, values[0]), range(LANES)
        for step in (1, 2, 4):  # exchange the off-diagonal quarters of ever larger squares
            kept = [lane if not lane & step else LANES + lane - step for lane in lanes]
            moved = [lane + step if not lane & step else LANES + lane for lane in lanes]
            for row in lanes:
                if not row & step:
                    upper, lower = square[row], square[row + step]
                    for place, mask in ((row, kept), (row + step, moved)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask)
                        square[place] = builder.shuffle_vector(upper, lower, mask)
        return context.make_tuple(builder, rows, square)

    return rows(rows), generate
