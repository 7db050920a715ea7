"""`grad` and `value_and_grad`: functions to functions.

Inside a trace a transform works on the running graph: the function is called on marked copies of its arguments, and the backward nodes
are appended to the same graph, so forward and backward are one, transforms nest to any order, and what the function closes over may
itself be traced. Outside a trace the transform is compiled behind the scenes: the same cache of plans, no second way of running.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ir import gradient
from ir.errors import ArgumentError, GradientError
from ir.ops import scalar, shape
from tracer import trees
from tracer.arrays.storage import stand_in
from tracer.arrays.traced import TracedArray, TracedScalar
from tracer.calls.copies import Copies
from tracer.calls.method import Method
from tracer.compile import Compiled
from tracer.numpy_api.common import spec as numpy_spec
from tracer.operands.stack import Operand
from tracer.tracing.context import called, current
from tracer.variable import Variable


def grad(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of `fn`, which returns a 0-d float, by the arguments numbered `argnums` (trees of float arrays or numbers).

    The result has the tree of the argument, each leaf with the argument's shape, dtype and kind (array or scalar); a tuple of them where
    `argnums` is a tuple. With `has_aux`, `fn` returns (loss, aux) and the result is (gradient, aux). Reverse mode, on the graph: it
    composes with `compile`, `trace`, itself and `value_and_grad`; of what is compiled with exact=True it is exact as well. Raises
    GradientError where the loss is not a 0-d float, an argument is not floating, or an operation without a gradient lies in the way.
    What holds at kinks, ties and zeros is written down in docs/gradients.md.

    What `fn` writes into its arguments is written, as a call of `fn` would; the gradient is that by the values they came with.

    >>> import numpy as np, tracer
    >>> tracer.grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    both = value_and_grad(fn, argnums, has_aux)

    def body(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return Transform(body, (grad, fn, argnums, has_aux))


def value_and_grad(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Like `grad`, but the result is (value, gradient): with `has_aux` ((loss, aux), gradient).

    >>> import numpy as np, tracer
    >>> tracer.value_and_grad(lambda x: np.sum(x * x))(np.array([3.0]))
    (np.float64(9.0), array([6.]))
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(type(n) is int for n in numbers):
        raise ArgumentError(f"argnums is {argnums!r}", op="grad", mend="give the position of an argument, or a tuple of positions")

    def body(*args: Any, **kwargs: Any) -> Any:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ArgumentError(f"argument {n} was not given: the call has {len(args)}", op="grad", mend="pass it by position")
        marked, wrt = list(args), {}
        for n in dict.fromkeys([n % len(args) for n in numbers]):
            leaves, tree = trees.flatten(args[n])
            pairs = [_mark(leaf, name) for leaf, name in zip(leaves, trees.names(tree, f"argument {n}"), strict=True)]
            marked[n] = trees.unflatten(tree, [new for new, _ in pairs])
            wrt[n] = tree, [value for _, value in pairs]
        copies = _Copies(args, marked, wrt)
        result = called(fn)(*marked, **kwargs)
        if has_aux and not (isinstance(result, (tuple, list)) and len(result) == 2):
            raise GradientError(
                f"with has_aux=True the function returned {type(result).__name__}, not a pair",
                op="grad", mend="return (loss, aux), or leave has_aux out",
            )
        copies.write_through()
        loss = _loss(result[0] if has_aux else result)
        graph = loss.graph
        with graph.at(loss.node.line.during("backward") if loss.node.line else None):
            one = graph.constant(np.ones((), loss.dtype))
        sought = [v for _, values in wrt.values() for v in values if v is not None]
        found = iter(gradient.append_gradient(graph, [loss], [one], sought))
        by_number = {n: _unmark(marked[n], tree, [None if v is None else next(found) for v in values]) for n, (tree, values) in wrt.items()}
        grads = tuple([by_number[n % len(args)] for n in numbers])
        return result, (grads if isinstance(argnums, tuple) else grads[0])

    return Transform(body, (value_and_grad, fn, argnums, has_aux))


class Transform(Copies):
    """A transformed function: on the running graph inside a trace, through a compiled object of its own outside."""

    __wrapped__: Callable[..., Any]

    def __init__(self, body: Callable[..., Any], recipe: tuple[Any, ...]):
        name, fn = recipe[0].__name__, recipe[1]
        functools.update_wrapper(self, fn, updated=())
        self._body, self._recipe = body, recipe
        self._compiled = Compiled(self._on_graph, captures_of=fn, **_options(fn))
        self.__name__ = f"{name}({getattr(fn, '__name__', type(fn).__name__)})"

    def _on_graph(self, *args: Any, **kwargs: Any) -> Any:
        return self._body(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._body(*args, **kwargs) if current() is not None else self._compiled(*args, **kwargs)


def _options(fn: Any) -> dict[str, Any]:
    """What a compiled function's own options are for its transform."""
    while isinstance(fn, (Transform, Method)):
        fn = fn.__wrapped__
    return {"exact": fn.exact, "memory_limit": fn.memory_limit} if isinstance(fn, Compiled) else {}


def _kind(leaf: Any) -> str:
    return f"{leaf!r:.40}, a {type(leaf).__name__}" if isinstance(leaf, (str, bytes, bool)) else f"a {type(leaf).__name__}"


def _mark(leaf: Any, name: str) -> tuple[Any, Any]:
    """A copy of a leaf to differentiate by, and its Value: what the function does with the copy is told apart from the original.

    None, for a parameter that is left out, stays None and has no Value.
    """
    if leaf is None:
        return None, None
    if isinstance(leaf, (str, bytes, bool)) or not isinstance(leaf, (Operand, np.ndarray, np.generic, int, float, complex)):
        raise GradientError(
            f"no gradient by {name}, which is {_kind(leaf)}",
            op="grad", mend="leave it out of argnums; of several arrays make a list, tuple, dict or named tuple",
        )
    if isinstance(leaf, Variable):
        array, value = _mark(leaf.data, name)
        return Variable(array), value
    spec = numpy_spec(leaf)
    if spec.dtype.kind not in "fc":
        kind = spec.weak or spec.dtype
        raise GradientError(f"no gradient by {name}, which is {kind}", op="grad", mend="make it a float, or leave it out of argnums")
    if isinstance(leaf, TracedScalar):
        value = scalar.python(leaf.value, fn="pos")
        return TracedScalar(value, leaf.concrete, differentiated=True), value
    tracing = current()
    assert tracing is not None
    given = tracing.value_of(leaf)
    value = shape.reshape(given, shape=given.shape)  # a Value of its own, in the same memory: what is exact depends on how that lies
    copy = tracing.wrap(value, array=not getattr(leaf, "scalar", isinstance(leaf, np.generic)))
    lies = leaf if isinstance(leaf, np.ndarray) and type(leaf) is not TracedArray and not leaf.flags.c_contiguous else None
    copy.strides_ = leaf.strides_ if type(leaf) is TracedArray else None if lies is None else stand_in(value.spec, lies.strides)
    return copy, value  # which lies as the original does: what is a view of it is one of the copy


class _Copies:
    """The marked copies beside the arrays that they stand for: what the function writes into one is written into the other."""

    def __init__(self, args: tuple[Any, ...], marked: list[Any], numbers: Iterable[int]):
        given = [leaf.storage for arg in args for leaf in trees.flatten(arg)[0] if type(leaf) is TracedArray]
        pairs = [pair for n in numbers for pair in zip(trees.flatten(args[n])[0], trees.flatten(marked[n])[0], strict=True)]
        self.pairs = [(mine, copy) for mine, copy in pairs if type(mine) is TracedArray and type(copy) is TracedArray]
        self.shared = {mine.storage: mine.storage.version for mine, _ in self.pairs if mine.storage.peers or given.count(mine.storage) > 1}
        self.peers = [(peer, peer.version) for storage in self.shared for peer, _ in storage.peers]

    def write_through(self) -> None:
        """Once the function has run. An array that it knows under two names as well is refused: the copy does not follow the other."""
        written = [(mine, copy) for mine, copy in self.pairs if copy.storage.version]
        if (
            any(mine.storage in self.shared for mine, _ in written)
            or any(storage.version != before for storage, before in self.shared.items())
            or any(peer.version != before for peer, before in self.peers)
        ):
            raise GradientError(
                "the function writes into an array that it was given twice, once to be differentiated by",
                op="grad", mend="pass a copy of it as the other argument",
            )
        for mine, copy in written:
            mine.assign(copy)


def _unmark(marked: Any, tree: trees.Structure, values: list[Any]) -> Any:
    """The gradients in the tree of their argument: arrays by arrays, also by 0-d ones, NumPy scalars by scalars and Python numbers."""
    tracing = current()
    assert tracing is not None
    held = [leaf.data if isinstance(leaf, Variable) else leaf for leaf in trees.flatten(marked)[0]]
    arrays = [type(leaf) is TracedArray and not leaf.scalar for leaf in held]
    return trees.unflatten(tree, [None if v is None else tracing.wrap(v, array=a) for v, a in zip(values, arrays, strict=True)])


def _loss(result: Any) -> Any:
    """The Value of a loss, or GradientError that says what it is instead."""
    held = result.data if isinstance(result, Variable) else result
    if not isinstance(held, (TracedArray, TracedScalar)):
        raise GradientError(
            f"the function returned {type(result).__name__}, not a value that depends on its arguments",
            mend="return the loss as a 0-d float array; with has_aux=True return (loss, aux)",
        )
    value = held.value
    if value.shape != () or value.dtype.kind != "f":
        raise GradientError(
            f"the gradient of {value.spec} is not defined: a 0-d float is due",
            mend="reduce it, for example with np.sum or np.mean" if value.shape else "make it a float: x * 1.0, or .real of it",
        ).at(op="grad", line=value.node.line)
    return value
