"""The reference evaluator: a graph and its inputs in, NumPy values out, by the plain meaning of each operation.

It is slow and obvious, folds constants and is the oracle of every test. It checks that each meaning keeps the promise of its spec:
a result of another shape or dtype is a VerifyError, so that a wrong spec rule can't hide behind a right answer.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.errors import ArgumentError, Error, ShapeError, VerifyError
from ir.graph import INPUT, Graph, Node, Value
from ir.spec import WEAK, Spec


def evaluate(graph: Graph, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The values of `graph.outputs`, and the new values of the states in `graph.updates`, each in its order.

    `inputs` are arrays, NumPy scalars or Python numbers in the order of `graph.inputs`, of the inputs' shapes and dtypes. Results are
    what NumPy gives: scalars where it gives scalars, views where it gives views (an output may be an input itself). Inputs are not
    written. An operation's Error comes with operation, operands and line; any other exception keeps its type and gets a note.

    >>> graph = Graph()
    >>> graph.outputs = [graph.input(Spec((2,)))]
    >>> evaluate(graph, [np.array([1.0, 2.0])])
    ([array([1., 2.])], [])
    """
    if len(inputs) != len(graph.inputs):
        count = f"{len(inputs)} inputs were given but the graph has {len(graph.inputs)}"
        raise ArgumentError(count, mend="give one for each of graph.inputs")
    values: dict[Value, Any] = {}
    for position, (value, given) in enumerate(zip(graph.inputs, inputs)):
        values[value] = checked_input(position, value.spec, given)
    for node in graph.order():
        if node.op is not INPUT:
            values.update(zip(node.outputs, apply_meaning(node, [values[v] for v in node.operands])))
    return [values[v] for v in graph.outputs], [values[new] for _, new in graph.updates]


def checked_input(position: int, spec: Spec, given: Any) -> Any:
    """What was given for an input: a Python number of the spec's kind where it is weak, an array or NumPy scalar otherwise."""
    if spec.weak is not None:
        fitting = tuple(WEAK.values())[: list(WEAK).index(spec.weak) + 1]  # an int is a float too, but no float an int
        if not isinstance(given, fitting):
            cause = f"input {position} is a Python {spec.weak} but {type(given).__name__} was given"
            raise ArgumentError(cause, mend="give a plain number")
        return WEAK[spec.weak](given)
    array = given if isinstance(given, (np.ndarray, np.generic)) else np.asarray(given, spec.dtype)
    if array.shape != spec.shape:
        cause = f"input {position} has shape {array.shape} but the graph was made for {spec.shape}"
        raise ShapeError(cause, mend="trace again for other shapes")
    if array.dtype.newbyteorder("=") != spec.dtype:
        cause = f"input {position} has dtype {array.dtype} but the graph was made for {spec.dtype}"
        raise ArgumentError(cause, mend="cast it with astype")
    return array


def apply_meaning(node: Node, operands: Sequence[Any]) -> tuple[Any, ...]:
    """One node's results from its operands' values, one for each output."""
    try:
        found = node.op.meaning(*operands, **node.attrs)
        results = tuple(found) if len(node.outputs) > 1 else (found,)
        for spec, result in zip(node.specs, results, strict=True):
            check_result(spec, result)
    except Error as error:
        raise error.at(op=node.op.name, operands=zip(node.op.names(len(node.operands)), [v.spec for v in node.operands]), line=node.line)
    except Exception as error:
        operand_specs = ", ".join([str(v.spec) for v in node.operands])
        where = f" at {node.line.place()}   {node.line.code}".rstrip() if node.line else ""
        error.add_note(f"while evaluating {node.op.name}({operand_specs}){where}")
        raise
    return results


def check_result(spec: Spec, result: Any) -> None:
    """VerifyError where a meaning gave something else than its spec says."""
    if spec.weak is not None:
        if type(result) is not WEAK[spec.weak]:
            raise VerifyError(f"the spec says {spec} but the meaning gave {type(result).__name__}")
        return
    array = result if isinstance(result, (np.ndarray, np.generic)) else np.asarray(result)
    if array.shape != spec.shape or array.dtype != spec.dtype:
        raise VerifyError(f"the spec says {spec} but the meaning gave shape {array.shape} and dtype {array.dtype}")
