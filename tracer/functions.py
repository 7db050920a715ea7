"""`tracer.functions`, the user's `F`: thin calls into the operation table, on Variables, traced arrays and plain arrays alike.

Traced arrays give traced arrays; a Variable among the operands, or plain arrays only, give a Variable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from ir.errors import Error, ShapeError
from ir.source import user_line
from tracer import numpy_api
from tracer.custom.composite import composed
from tracer.function import Function
from tracer.numpy_api.common import all_axes, settled
from tracer.operands.apply import apply
from tracer.operands.stack import Operand
from tracer.variable import Variable, as_variable

Fn = TypeVar("Fn", bound=Callable[..., Any])
_READY = frozenset([np.ndarray, int, float, complex, bool, type(None)])


def _operands(*xs: Any) -> list[Any]:
    """The operands, the first a Variable where none of them is traced or a Variable."""
    for x in xs:
        if isinstance(x, Operand):
            return [x if type(x) in _READY or isinstance(x, Operand) else numpy_api.operand(x) for x in xs]
    return [as_variable(xs[0]), *[None if x is None else numpy_api.operand(x) for x in xs[1:]]]


def _named(fn: Fn) -> Fn:
    """The function, whose errors name it and the user's line outside a trace too."""

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except Error as error:
            raise error.at(op=fn.__name__, line=user_line())

    return cast(Fn, function)


def _documented(doc: str, example: str) -> str:
    """A docstring with its example; `call|result`."""
    call, shown = example.split("|")
    return f"{doc}\n\n    >>> {call}\n    {shown}\n    "


def _unary(op: str, doc: str, example: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return apply(op, *_operands(x))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = _documented(doc, example)
    return function


def _binary(op: str, doc: str, example: str) -> Callable[[Any, Any], Any]:
    def function(x0: Any, x1: Any) -> Any:
        return apply(op, *_operands(x0, x1))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = _documented(doc, example)
    return function


exp = _unary("exp", "The exponential of each element.", "exp(0.0)|variable(1.0)")
log = _unary("log", "The natural logarithm of each element.", "log(1.0)|variable(0.0)")
sin = _unary("sin", "The sine of each element.", "sin(0.0)|variable(0.0)")
cos = _unary("cos", "The cosine of each element.", "cos(0.0)|variable(1.0)")
tanh = _unary("tanh", "The hyperbolic tangent of each element.", "tanh(0.0)|variable(0.0)")
sqrt = _unary("sqrt", "The square root of each element.", "sqrt(4.0)|variable(2.0)")
square = _unary("square", "The square of each element.", "square(3.0)|variable(9.0)")
absolute = _unary("abs", "The absolute value of each element.", "absolute(-3.0)|variable(3.0)")
sigmoid = _unary(
    "sigmoid", "The logistic function of each element, by `tanh(x * 0.5) * 0.5 + 0.5`; its gradient is `y * (1 - y)`.",
    "sigmoid(0.0)|variable(0.5)",
)
neg = _unary("negative", "Each element negated.", "neg(3.0)|variable(-3.0)")
add = _binary("add", "The sum, broadcast.", "add(1.0, 2.0)|variable(3.0)")
sub = _binary("subtract", "The difference, broadcast.", "sub(1.0, 2.0)|variable(-1.0)")
mul = _binary("multiply", "The product of elements, broadcast.", "mul(3.0, 2.0)|variable(6.0)")
div = _binary("divide", "The quotient, broadcast.", "div(3.0, 2.0)|variable(1.5)")
maximum = _binary("maximum", "The greater of two, element by element.", "maximum(1.0, 2.0)|variable(2.0)")
minimum = _binary("minimum", "The lesser of two, element by element.", "minimum(1.0, 2.0)|variable(1.0)")


def pow(x: Any, c: Any) -> Any:
    """`x ** c` for each element.

    >>> pow(3.0, 2)
    variable(9.0)
    """
    return apply("power", *_operands(x, c))


def _absent(b: Any) -> bool:
    return b is None or (isinstance(b, Variable) and b.absent)


def linear(x: Any, W: Any, b: Any = None) -> Any:
    """`x.dot(W) + b` for x (N, I), W (I, O) and b (O,) or None: (N, O). One operation: the product is not kept.

    Other numbers of axes are a product and a sum, as NumPy has them.

    >>> linear(np.ones((1, 2)), np.ones((2, 3)), np.zeros(3))
    variable([[2. 2. 2.]])
    """
    if _absent(b):
        return apply("dot", *_operands(x, W))
    x, W, b = _operands(x, W, b)
    if (x.ndim, W.ndim, b.ndim) != (2, 2, 1):
        return apply("add", apply("dot", x, W), b)
    return apply("linear", x, W, b)


def linear_simple(x: Any, W: Any, b: Any = None) -> Any:
    """As `linear`, written as a product and a sum. The data of the product is released at once: neither of the two needs it.

    >>> linear_simple(np.ones((1, 2)), np.ones((2, 3)), np.zeros(3))
    variable([[2. 2. 2.]])
    """
    t = matmul(x, W)
    if _absent(b):
        return t
    y = apply("add", *_operands(t, b))
    if isinstance(t, Variable):
        t.data = None
    return y


def sigmoid_simple(x: Any) -> Any:
    """`1 / (1 + exp(-x))`. Its gradient is 0 where the exponential has overflowed.

    >>> sigmoid_simple(0.0)
    variable(0.5)
    """
    (x,) = _operands(x)
    if isinstance(x, Variable):
        return _SigmoidSimple()(x)
    return settled(_SigmoidSimple()(apply("positive", x)).data)


class _SigmoidSimple(Function):
    """The formula as it stands, with a gradient that does not go through the exponential: that may have overflowed."""

    def forward(self, x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    def backward(self, gy: Any) -> Any:
        y = self.outputs[0]()
        return gy * (y * (1 - y))


def mean_squared_error(x0: Any, x1: Any) -> Any:
    """The sum of squared differences, divided by the batch (`len` of the difference), not by the number of elements.

    >>> mean_squared_error(np.zeros((2, 3)), np.ones((2, 3)))
    variable(3.0)
    """
    return _mean_squared_error(*_operands(x0, x1))


@composed
def _mean_squared_error(x0: Any, x1: Any) -> Any:
    diff = apply("subtract", x0, x1)
    return apply("divide", sum(diff**2), len(diff))


def matmul(x: Any, W: Any) -> Any:
    """The product `x.dot(W)`.

    >>> matmul(np.ones((1, 2)), np.ones((2, 3)))
    variable([[2. 2. 2.]])
    """
    return apply("dot", *_operands(x, W))


@_named
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over all axes, or those named.

    >>> sum(np.ones((2, 3)), axis=0)
    variable([2. 2. 2.])
    """
    (x,) = _operands(x)
    return apply("sum", x, axis=all_axes(axis, x.ndim), keepdims=keepdims)


@_named
def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` summed down to a shape that broadcasts to its own.

    >>> sum_to(np.ones((2, 3)), (1, 3))
    variable([[2. 2. 2.]])
    """
    (x,) = _operands(x)
    shape = tuple(shape)
    lead = x.ndim - len(shape)
    axis = tuple([k for k in range(x.ndim) if k < lead or shape[k - lead] == 1 != x.shape[k]])
    y = apply("sum", x, axis=axis, keepdims=False) if axis else x
    return y if y.shape == shape else apply("reshape", y, shape=shape)


@_named
def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` repeated to that shape.

    >>> broadcast_to(np.arange(2.0), (2, 2))
    variable([[0. 1.]
              [0. 1.]])
    """
    (x,) = _operands(x)
    return x if x.shape == tuple(shape) else apply("broadcast_to", x, shape=tuple(shape))


@_named
def reshape(x: Any, shape: Any) -> Any:
    """The elements in another shape; one size may be -1.

    >>> reshape(np.arange(4.0), (1, -1))
    variable([[0. 1. 2. 3.]])
    """
    (x,) = _operands(x)
    return numpy_api.TABLE[np.reshape](x, shape)


@_named
def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order, reversed by default.

    >>> transpose(np.ones((2, 1)))
    variable([[1. 1.]])
    """
    (x,) = _operands(x)
    return numpy_api.TABLE[np.transpose](x, axes)


@_named
def average(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over all axes, or those named.

    >>> average(np.arange(3.0))
    variable(1.0)
    """
    (x,) = _operands(x)
    return apply("mean", x, axis=all_axes(axis, x.ndim), keepdims=keepdims)


mean = average


@_named
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The greatest over all axes, or those named; ties share the gradient.

    >>> max(np.arange(3.0))
    variable(2.0)
    """
    (x,) = _operands(x)
    return apply("max", x, axis=all_axes(axis, x.ndim), keepdims=keepdims)


@_named
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The least over all axes, or those named; ties share the gradient.

    >>> min(np.arange(3.0))
    variable(0.0)
    """
    (x,) = _operands(x)
    return apply("min", x, axis=all_axes(axis, x.ndim), keepdims=keepdims)


def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Each element brought into [x_min, x_max].

    >>> clip(np.arange(3.0), 0.5, 1.5)
    variable([0.5 1.  1.5])
    """
    return apply("clip", *_operands(x, x_min, x_max))


def where(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`.

    >>> where(np.array([True, False]), 1.0, 2.0)
    variable([1. 2.])
    """
    return apply("where", *_operands(condition, x, y))


def relu(x: Any) -> Any:
    """The greater of x and 0, element by element. Its slope at 0 is 0 (that of `np.maximum(x, 0)` is 1/2: it shares a tie).

    >>> relu(np.array([-1.0, 2.0]))
    variable([0. 2.])
    """
    return apply("relu", *_operands(x))


@_named
def softmax(x: Any, axis: int = -1) -> Any:
    """Positive numbers that sum to 1 along an axis, in the proportions of `exp(x)`; nothing overflows.

    >>> softmax(np.zeros((1, 4)))
    variable([[0.25 0.25 0.25 0.25]])
    """
    (x,) = _operands(x)
    raised = exp(x - max(x, axis, keepdims=True))
    return raised / sum(raised, axis, keepdims=True)


@_named
def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of `softmax(x, axis)`, without the loss of digits where that is nearly 0.

    >>> log_softmax(np.array([0.0, -1000.0]))
    variable([    0. -1000.])
    """
    (x,) = _operands(x)
    lowered = x - max(x, axis, keepdims=True)
    return lowered - log(sum(exp(lowered), axis, keepdims=True))


@_named
def softmax_cross_entropy(x: Any, t: Any) -> Any:
    """The mean of `-log_softmax(x)` at the right classes: `x` of shape (..., classes), `t` of integers and of shape (...).

    Classes are indices: -1 is the last, as in NumPy, and one that `x` does not have is an IndexError. Raises ShapeError where the shapes
    do not fit.

    >>> softmax_cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), np.array([0, 0]))
    variable(0.34657359027997264)
    """
    x, t = _operands(x, t)
    if t.shape != x.shape[:-1]:
        raise ShapeError(f"the classes have shape {t.shape}, and scores of shape {x.shape} need {x.shape[:-1]}", mend="give a class a row")
    right = numpy_api.TABLE[np.take_along_axis](log_softmax(x), numpy_api.TABLE[np.expand_dims](t, -1), -1)
    return neg(average(right))


@_named
def get_item(x: Any, slices: Any) -> Any:
    """`x[slices]`.

    >>> get_item(np.arange(3.0), slice(1, None))
    variable([1. 2.])
    """
    (x,) = _operands(x)
    return x[slices]
