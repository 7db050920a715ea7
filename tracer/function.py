"""Functions of the user's own: `forward` on arrays, `backward` on Variables, in the form of the course that this style comes from.

Inside a trace, `forward` runs on traced arrays and one `custom` node ties its results to its inputs, whose rule is `backward`. Outside,
forward is traced once for each class, state and kind of operands, and the graph is recorded like an operation; a forward that can't be
traced runs at once (`forward.py`). Either way the gradient is what `backward` says, and since that records too, it differentiates again.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.errors import ArgumentError, TraceError
from ir.graph import Value
from ir.ops import TABLE
from ir.source import user_line
from tracer.arrays.traced import TracedArray
from tracer.config import Config
from tracer.custom.forward import applied
from tracer.custom.rule import Rule, exchange, hosted, state_of
from tracer.eager.lazy import record_graph
from tracer.tracing.context import Tracing, current
from tracer.variable import Variable, as_array, as_variable, wrapped


class Function:
    """An operation with a gradient of its own. Subclasses give

        forward(self, *xs)     arrays in (None for an operand that is None), an array or a tuple of arrays out
        backward(self, *gys)   a Variable for each result in, a Variable or None for each operand out (alone or in a tuple)

    A forward that no graph can hold (it needs values, or calls code that knows arrays only) runs as it is outside a trace. Inside one it
    does so, once a call, if the class declares what it gives:

        spec(self, *specs)     a Spec for each operand in (None for None), a Spec or a tuple of Specs out

    What such a forward keeps on `self` its backward does not see.

    `self.inputs` (Variables) and `self.outputs` (callables that give Variables) can be read in `backward`, and so can whatever
    `forward` kept on `self`.

    >>> class Square(Function):
    ...     def forward(self, x):
    ...         return x ** 2
    ...     def backward(self, gy):
    ...         x, = self.inputs
    ...         return 2 * x * gy
    >>> x = Variable(np.array(3.0))
    >>> y = Square()(x)
    >>> y.backward()
    >>> y, x.grad
    (variable(9.0), variable(6.0))
    """

    spec: Callable[..., Any] | None = None
    inputs: list[Variable]
    outputs: list[Callable[[], Any]]

    def __call__(self, *inputs: Any) -> Any:
        """Applies the function to Variables, arrays, numbers or None; gives a Variable, or a list of them where there are several."""
        tracing = current()
        outs = self._eager(inputs) if tracing is None else self._traced(tracing, inputs)
        return outs if len(outs) > 1 else outs[0]

    def forward(self, *xs: Any) -> Any:
        """The result of the function for arrays."""
        raise ArgumentError(f"{type(self).__name__} has no forward", mend="define forward(self, *xs)", line=user_line())

    def backward(self, *gys: Any) -> Any:
        """The gradients by the operands, given those by the results."""
        raise ArgumentError(f"{type(self).__name__} has no backward", mend="define backward(self, *gys)", line=user_line())

    def _traced(self, tracing: Tracing, inputs: tuple[Any, ...]) -> list[Variable]:
        variables = [_entering(tracing, x) for x in inputs]
        xs = [v.data for v in variables]
        ins = [x.value for x in xs if x is not None]
        if self.spec is None:
            made = self._in_graph(xs)
            ys = [tracing.value_of(as_array(y)) for y in (made if isinstance(made, tuple) else (made,))]
        else:
            ys = hosted(tracing, self, xs)
        self.inputs = variables
        if not Config.enable_backprop or not ins:
            return [wrapped(tracing.wrap(y, array=True)) for y in ys]
        kept: list[Value] = []

        def keep(array: Any) -> TracedArray:
            kept.append(tracing.value_of(array))
            return array if type(array) is TracedArray else tracing.wrap(kept[-1], array=True)

        state = {name: exchange(held, keep, (TracedArray, np.ndarray)) for name, held in state_of(self).items()}
        rule = Rule(type(self), state, [x is not None for x in xs])
        given = TABLE["custom"](*ys, *ins, *kept, outs=len(ys), rule=rule)
        outs = [wrapped(tracing.wrap(v, array=True)) for v in (given if isinstance(given, tuple) else (given,))]
        self.outputs = [weakref.ref(out) for out in outs]
        return outs

    def _in_graph(self, xs: list[Any]) -> Any:
        """What forward gives for traced arrays; where it needs their values, the way out is named."""
        try:
            return self.forward(*xs)
        except TraceError as error:
            if error.op == "value" and "spec(self" not in (error.mend or ""):
                error.mend = f"{error.mend}; or let {type(self).__name__}.spec(self, *specs) say what forward gives: then it is called"
            raise

    def _eager(self, inputs: tuple[Any, ...]) -> list[Variable]:
        variables = [Variable(None) if x is None else as_variable(x) for x in inputs]
        outs = list(record_graph(Variable, *applied(self, variables)))
        self.inputs, self.outputs = variables, [weakref.ref(out) for out in outs]
        return outs


def _entering(tracing: Tracing, x: Any) -> Variable:
    """An operand of a traced call as a Variable."""
    if isinstance(x, Variable):
        return x
    if x is None:
        return Variable(None)
    return wrapped(x if type(x) is TracedArray else tracing.wrap(tracing.value_of(as_array(x)), array=True))
