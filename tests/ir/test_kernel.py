"""The loop form: its text, what the verifier refuses, and that the interpreter gives what NumPy gives."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.affine import Bound, Dim, index
from ir.errors import NotLowered, VerifyError
from ir.kernel import Barrier, Load, Loop, LoopForm, Param, Reduce, Scalar, Store, literal
from ir.kernel_run import run
from ir.kernel_verify import verify
from ir.lowering.rules import RULES
from ir.op import Trait
from ir.ops import TABLE, reduce, shape
from ir.ops import elementwise as e
from ir.ops.cumulated import cumsum
from tests.kernel_cases import CASES, SIZES, softmax
from tests.lowered import Case, drawn

F4 = np.dtype(np.float32)


def test_the_text_of_a_softmax() -> None:
    form = Case(softmax, drawn(0, (100, 30)), name="softmax").form
    assert form.text(lines=False) == """\
kernel softmax(in0: f32 x 3000 read, out0: f32 x 3000 write)
  parallel i < 100
    reduce j < 30
      %0 = load in0[30*i + j]
      %1 = maximum %0 over j from -inf:f32
    reduce j < 30
      %2 = subtract %0, %1 : f32
      %3 = exp %2 : f32
      %4 = add %3 over j from -0.0:f32
    parallel j < 30
      %5 = divide %3, %4 : f32
      store out0[30*i + j] = %5"""


def test_the_text_of_sums_in_shares() -> None:
    def fn(x: Any, y: Any) -> list[Any]:
        away = x - y
        return [away * 2.0, reduce.sum(away * away, axis=(0, 1), keepdims=False), reduce.sum(away, axis=(0,), keepdims=False)]

    assert Case(fn, drawn(0, (7, 5), (5,)), parts=2, shares=2).form.text(lines=False) == """\
kernel kernel(in0: f32 x 35 read, in1: f32 x 5 read, out0: f32 x 35 write, out1: f32 x 2 write, out2: f32 x 10 write)
  parallel s < 2
    serial r < 4 when 0 <= 4*s + r < 7
      reduce j < 5
        %0 = load in0[20*s + 5*r + j]
        %1 = load in1[j]
        %2 = subtract %0, %1 : f32
        %3 = multiply %2, 2.0:f32 : f32
        %4 = multiply %2, %2 : f32
        %5 = add %4 over r, j from -0.0:f32
        %6 = add %2 over r from -0.0:f32
        store out0[20*s + 5*r + j] = %3
    store out1[s] = %5
    parallel j < 5
      store out2[5*s + j] = %6"""


def test_lines_stand_behind_the_first_statement_of_each() -> None:
    text = Case(lambda x: e.exp(x * 2.0), drawn(0, (3,))).form.text()
    assert [line for line in text.splitlines() if "# test_kernel.py:" in line and "e.exp(x * 2.0)" in line]


# ---- values
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_the_interpreter_gives_what_numpy_gives(name: str, n: int) -> None:
    case = CASES[name](n)
    for got, expected in zip(case.interpreted(), case.expected(), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5 * max(1, n) ** 0.5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 7), st.data())
def test_drawn_shapes_and_axes(sizes: list[int], seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.sampled_from(range(len(sizes))))
    order = data.draw(st.permutations(range(len(sizes))))
    ones = tuple(data.draw(st.sampled_from([1, n])) for n in sizes)

    def fn(x: Any, y: Any) -> list[Any]:
        turned = shape.transpose(x * y, axes=tuple(order))
        total = reduce.sum(x - y, axis=(axis,), keepdims=True)
        return [turned, total * x, shape.reshape(turned, shape=(turned.spec.size,)) + 1.0]

    case = Case(fn, drawn(seed, tuple(sizes), ones, dtype=np.float64))
    for got, expected in zip(case.interpreted(), case.expected(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


# ---- what is refused
def scaled(**changes: Any) -> LoopForm:
    """y = x + x, as a form, with some of its statements changed."""
    i = Dim("i", 4)
    said = {
        "load": Load("%0", "x", index(i), F4), "add": Scalar("%1", "add", ("%0", "%0"), F4), "store": Store("y", index(i), "%1"),
    } | changes
    params = (Param("x", F4, 4, reads=True), Param("y", F4, 4, writes=True))
    return LoopForm("scaled", params, (Loop("parallel", (i,), tuple([s for s in said.values() if s is not None])),))


ROW, COLUMN = Dim("i", 4), Dim("j", 2)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a read past the end": ({"load": Load("%0", "x", index(ROW) + 1, F4)}, "elements 1 to 4 are touched"),
    "a read that is guarded too late": ({"load": Load("%0", "x", index(ROW) + 1, F4, (Bound(index(ROW), 0, 4),))}, "elements 1 to 4"),
    "a write before the start": ({"store": Store("y", index(ROW) - 1, "%1")}, "elements -1 to 2 are touched"),
    "a value that is not there": ({"add": Scalar("%1", "add", ("%0", "%9"), F4)}, "%9 is not computed before it"),
    "a name twice": ({"again": Load("%0", "x", index(ROW), F4)}, "another statement has that name"),
    "another dtype": ({"add": Scalar("%1", "add", ("%0", literal(1, np.float64)), F4)}, "NumPy has no such loop"),
    "a store of another dtype": ({"store": Store("y", index(ROW), literal(1, np.int32))}, "the param holds float32"),
    "no operation": ({"add": Scalar("%1", "sum", ("%0",), F4)}, "there is no such scalar operation"),
    "too few operands": ({"add": Scalar("%1", "add", ("%0",), F4)}, "it takes 2 operands"),
    "a dim of no loop": ({"load": Load("%0", "x", index(COLUMN), F4)}, "j is no dim of a loop around it"),
    "one element written often": ({"store": Store("y", index(0), "%1")}, "every index of i writes the same element"),
    "what is read alone": ({"store": Store("x", index(ROW), "%1")}, "the param is read alone"),
    "what is written alone": ({"load": Load("%0", "y", index(ROW), F4)}, "the param is written alone"),
    "no param": ({"load": Load("%0", "z", index(ROW), F4)}, "there is no such param"),
    "a reduction over a parallel loop": (
        {"more": Reduce("%2", "add", "%0", (ROW,), literal(0, F4))}, "it reduces over a parallel loop"
    ),
    "a reduction over no loop": ({"more": Reduce("%2", "add", "%0", (COLUMN,), literal(0, F4))}, "dims that are not around it"),
    "a result before its loop has ended": (
        {"store": Loop("reduce", (COLUMN,), (
            Reduce("%2", "add", "%0", (COLUMN,), literal(0, F4)), Store("y", index(ROW), "%2", (Bound(index(COLUMN), 0, 1),)),
        ))},
        "before the loop that reduces it has ended",
    ),
    "a loop in a loop over its dim": ({"store": Loop("parallel", (ROW,), (Store("y", index(ROW), "%0"),))}, "inside another one"),
    "no kind of loop": ({"store": Loop("vector", (COLUMN,), (Store("y", index(ROW), "%0"),))}, "not vector"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_verifier_refuses(name: str) -> None:
    verify(scaled())
    changes, said = REFUSED[name]
    with pytest.raises(VerifyError, match=said):
        verify(scaled(**changes))


def test_what_is_written_is_read_by_nobody_else() -> None:
    form = scaled(load=Load("%0", "x", index(3) - index(ROW), F4), store=Store("x", index(ROW), "%1"))
    form = replace(form, params=(Param("x", F4, 4, reads=True, writes=True),))
    with pytest.raises(VerifyError, match="x is written at i by other iterations"):
        verify(form)


def test_a_barrier_lets_others_read() -> None:
    inner = Loop("parallel", (ROW,), (Load("%0", "x", index(3) - index(ROW), F4),))
    store = Loop("parallel", (ROW,), (Store("x", index(ROW), "%0"),))
    params = (Param("x", F4, 4, reads=True, writes=True),)
    form = LoopForm("turned", params, (Loop("parallel", (), (inner, Barrier(), store)),))
    verify(form)
    x = np.arange(4, dtype=F4)
    run(form, {"x": x})
    assert x.tolist() == [3, 2, 1, 0]


NOT_LOWERED = {
    "dot", "matmul", "linear", "linear_vjp",  # products are calls of a library
    "cumsum", "cumprod", "sort", "argsort", "ufunc_at",  # each element hangs on others of its own array
    "set_real", "set_imag",  # complex numbers
    "custom", "host", "opaque", "python",  # no arrays, or unknown inside
}  # fmt: skip


def test_every_operation_is_lowered_or_listed() -> None:
    lacking = {name for name, op in TABLE.items() if name not in RULES and not (op.has(Trait.ELEMENTWISE) and op.ufunc is not None)}
    assert lacking == NOT_LOWERED


def test_what_is_not_lowered_is_named() -> None:
    with pytest.raises(NotLowered, match=r"cumsum: the operation is not lowered to generated code\n.*x: f32\[5\]"):
        Case(lambda x: cumsum(x, axis=0), drawn(0, (5,)))


def test_a_reduction_of_what_another_axis_reduces_is_refused() -> None:
    def fn(x: Any) -> Any:
        rows = x / reduce.sum(x, axis=(1,), keepdims=True)
        return rows / reduce.sum(rows, axis=(0,), keepdims=True)

    with pytest.raises(NotLowered, match="varies along the axis that another one reduces"):
        Case(fn, drawn(0, (3, 4)))
