"""Errors: records first; one renderer; classes that Python's own handlers catch; context that is added once, at the boundary."""
from __future__ import annotations

import numpy as np
import pytest

from ir import Graph, Line, Spec, errors
from ir.ops import elementwise as e


def test_every_error_is_ours() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert len(classes) >= 9
    assert all(issubclass(c, errors.Error) for c in classes)
    assert all(c.__doc__ for c in classes)


@pytest.mark.parametrize(
    "ours, pythons",
    [
        (errors.ShapeError, ValueError), (errors.DTypeError, TypeError), (errors.ArgumentError, TypeError), (errors.ParseError, ValueError),
    ],
)
def test_pythons_own_handlers_catch_them(ours: type, pythons: type) -> None:
    assert issubclass(ours, pythons)


def test_the_whole_rendering() -> None:
    operands, line = [("x", Spec((100, 3))), ("W", Spec((4, 10)))], Line("model.py", 12, "predict", text="h = F.linear(x, W1, b1)")
    error = errors.ShapeError("x has 3 columns but W has 4 rows", mend="W should be (3, 10)")
    error = error.at(op="linear", operands=operands, line=line)
    assert str(error) == """linear: x has 3 columns but W has 4 rows
  model.py:12 in predict   h = F.linear(x, W1, b1)      x: f64[100,3]   W: f64[4,10]
  mend: W should be (3, 10)"""


def test_what_is_not_known_is_left_out() -> None:
    assert str(errors.Error("no")) == "no"
    assert str(errors.Error("no", mend="yes")) == "no\n  mend: yes"
    assert str(errors.Error("no", op="add", operands=[("x", Spec(()))])) == "add: no\n  x: f64[]"
    assert str(errors.Error("no", line=Line("gone.py", 3))) == "no\n  gone.py:3"


def test_context_is_added_once() -> None:
    error = errors.Error("no", op="add").at(op="multiply", line=Line("a.py", 1)).at(line=Line("b.py", 2))
    assert (error.op, error.line.file if error.line else None) == ("add", "a.py")


def test_building_a_wrong_node_tells_operation_operands_and_line_and_changes_nothing() -> None:
    graph = Graph()
    x, y = graph.input(Spec((2, 3))), graph.input(Spec((4,)))
    with pytest.raises(errors.ShapeError) as caught:
        e.add(x, y)  # this very line
    assert caught.value.op == "add"
    assert dict(caught.value.operands) == {"x": Spec((2, 3)), "y": Spec((4,))}
    assert caught.value.line is not None and caught.value.line.code == "e.add(x, y)  # this very line"
    assert caught.value.mend
    assert len(graph) == 2
    graph.verify()


def test_dtypes_that_a_loop_does_not_take() -> None:
    graph = Graph()
    x = graph.input(Spec((2,), bool))
    with pytest.raises(errors.DTypeError, match="subtract"):
        e.subtract(x, x)
    with pytest.raises(errors.DTypeError, match="not supported"):
        graph.constant(np.array(["a"]))


def test_a_value_of_another_graph() -> None:
    x, y = Graph().input(Spec(())), Graph().input(Spec(()))
    with pytest.raises(errors.VerifyError, match="another graph"):
        e.add(x, y)
    assert len(x.graph) == len(y.graph) == 1
