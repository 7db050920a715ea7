"""`compile(check=True)`: planted faults are found and named by line, pass or kernel; right programs pass and give the same results."""
from __future__ import annotations

import types
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import backends
import ir.passes
import tracer
from backends.numpy import target as numpy_target
from ir import Graph
from ir.ops import TABLE
from ir.passes import simplify
from ir.planning import plan
from ir.rules import Rule, Rules
from tests.backends.drawn import draw_program
from tracer import CheckError, Variable, optimizers
from tracer import functions as F
from tracer.checking import check as checker
from tracer.checking.stages import staged

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def fails(fast: Any, *args: Any) -> CheckError:
    with pytest.raises(CheckError) as caught:
        fast(*args)
    return caught.value


# ---- right programs
def layer(x, W, b, k):
    h = np.tanh(x @ W + b)
    return {"mean": (h * k).mean(axis=0), "shifted": h.T, "number": k * 2}


def test_results_are_those_of_an_unchecked_call():
    rng = np.random.default_rng(0)
    args = rng.normal(size=(7, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)
    fast, plain = tracer.compile(layer, check=True), tracer.compile(layer)
    for k in (2.0, 3.0):
        got, wanted = fast(*args, k), plain(*args, k)
        assert list(got) == list(wanted) and got["number"] == wanted["number"] == 2 * k
        assert all(np.array_equal(got[name], wanted[name]) and got[name].strides == wanted[name].strides for name in ("mean", "shifted"))
    assert fast.explain().traces == 1


@pytest.mark.parametrize("seed", range(30))
def test_drawn_programs_pass(seed, monkeypatch):
    monkeypatch.setattr(checker, "first_turned", lambda stage, values: None)  # drawn values overflow as they like
    numpy = backends.get("numpy")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for exact in (False, True):
            graph, inputs = draw_program(seed)
            optimised, stages = staged(graph, exact=exact)
            made = plan(optimised, numpy.target(exact), exact=exact)
            mine, theirs = [[x.copy() if isinstance(x, np.ndarray) else x for x in inputs] for _ in range(2)]
            try:
                wanted = numpy.emit(made)(theirs)
            except ValueError:
                continue
            got = checker.Checked(stages, made, made, numpy)(mine)
            for a, b in zip([*got, *mine], [*wanted, *theirs], strict=True):
                np.testing.assert_array_equal(a, b)


def network() -> tuple[Any, list[Variable], Any]:
    rng = np.random.default_rng(1)
    W, b = Variable(rng.normal(size=(3, 4))), Variable(rng.normal(size=4))
    return (lambda x, y: np.mean((np.tanh(x @ W.data + b.data) - y) ** 2)), [W, b], (rng.normal(size=(8, 3)), rng.normal(size=(8, 4)))


def test_training_steps_and_loops_are_those_of_an_unchecked_step():
    losses = []
    for check in (False, True):
        loss, params, batch = network()
        step = tracer.train_step(loss, optimizers.SGD(lr=0.1), params, check=check)
        losses.append([step(*batch), step(*batch), *step.run(*batch, steps=3), step(*batch), *[v.data.sum() for v in params]])
    assert losses[0] == losses[1]


def test_gradients_variables_methods_and_decorators():
    x = np.linspace(0.1, 1, 5)
    fast = tracer.compile(tracer.value_and_grad(lambda x: np.sum(np.log(x) * x)), check=True)
    value, grad = fast(x)
    np.testing.assert_allclose(grad, np.log(x) + 1, rtol=1e-15)
    assert value == np.sum(np.log(x) * x)

    @tracer.compile(check=True)
    def double(v):
        return v * 2

    v = Variable(x)
    y = double(v)
    y.backward()
    assert np.array_equal(y.data, x * 2) and np.array_equal(v.grad.data, np.full(5, 2.0))

    class Model:
        @tracer.compile(check=True)
        def log(self, x):
            return np.log(x)

    assert "NaN" in str(fails(Model().log, -x))


def test_writes_into_arguments_are_made_once():
    def add_one(x):
        x += 1
        return x.sum()

    x = np.zeros(3)
    fast = tracer.compile(add_one, check=True)
    assert fast(x) == 3 and fast(x) == 6 and np.array_equal(x, [2, 2, 2])


# ---- values that are no longer finite
def test_a_line_that_turns_nan_is_named():
    def fn(x, k):
        h = x * k
        h = np.sqrt(h)
        return h.sum()

    error = fails(tracer.compile(fn, check=True), np.array([4.0, -1.0, -2.0]), 2.0)
    assert error.culprit == "the value" and error.op == "sqrt" and error.line.code == "h = np.sqrt(h)"
    assert str(error).startswith("sqrt: turned NaN here at [1] (2 of 3 elements), where x is -2.0; plain NumPy gives the same\n  test_che")
    assert "      x: f64[3]\n  mend: keep the operands" in str(error)


def test_a_line_that_turns_infinite_is_named():
    fast = tracer.compile(lambda x: (1 / x).sum() - 1, check=True)
    assert np.isfinite(fast(A))
    error = fails(fast, np.array([[0.0, 1.0, 1.0]]))
    assert "turned infinite here at [0, 0] (1 of 3 elements), where x is 1, y is 0.0" in str(error)
    error = fails(tracer.compile(np.sum, check=True), np.full(3, 1.7e308))
    assert "turned infinite here, where x lies between 1.7e+308 and 1.7e+308" in str(error)


def test_what_does_not_get_out_is_no_fault():
    x = np.array([-1.0, 0.0, 1.0, 800.0])

    def fn(x):
        safe = np.where(x > 0, np.log(x), x)
        return safe.sum() + (1 / (1 + np.exp(x))).sum() + np.isnan(np.sqrt(x)).sum()

    with np.errstate(all="ignore"):
        assert tracer.compile(fn, check=True)(x) == tracer.compile(fn)(x)
        assert fails(tracer.compile(lambda x: np.argmax(np.log(x)), check=True), x).op == "log"
        assert fails(tracer.compile(lambda x: (np.sqrt(x) > 0.5).sum(), check=True), x).op == "sqrt"


def test_nan_that_was_given_is_no_fault_and_hides_none():
    fast = tracer.compile(lambda x: np.log(x) + 1, check=True)
    assert np.isnan(fast(np.array([np.nan, 1.0]))).tolist() == [True, False]
    assert "at [1] (1 of 2 elements), where x is -1.0" in str(fails(fast, np.array([np.nan, -1.0])))


def test_a_gradient_that_turns_infinite_is_named_and_changes_nothing():
    W = Variable(np.array([0.0, 1.0]))
    step = tracer.train_step(lambda x: np.sum(np.sqrt(W.data * x)), optimizers.SGD(lr=0.1), [W], check=True)
    error = fails(step, np.ones(2))
    assert ", in the gradient of this line" in str(error) and error.line.phase == "backward" and "np.sqrt(W.data * x)" in error.line.code
    assert W.data.tolist() == [0.0, 1.0]


# ---- wrong passes
def with_rule(monkeypatch: pytest.MonkeyPatch, text: str, to: Any) -> None:
    monkeypatch.setattr(simplify, "RULES", Rules(*simplify.RULES.rules, Rule("planted", text, to=to)))


def planted(monkeypatch: pytest.MonkeyPatch, name: str, run: Any) -> None:
    module = types.ModuleType(f"ir.passes.{name}")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setattr(ir.passes, "PASSES", (*ir.passes.PASSES[:5], module, *ir.passes.PASSES[5:]))


def chain(x, y):
    h = np.exp(x)
    h = np.maximum(h, y)
    return np.cos(h) + 1


def test_a_wrong_rule_is_named_with_its_pass_and_line(monkeypatch):
    with_rule(monkeypatch, "maximum(x, y)", "minimum(x, y)")
    error = fails(tracer.compile(chain, check=True), np.ones(3), np.array([0.0, np.e, 7.0]))
    assert error.culprit == "pass simplify" and error.line.code == "h = np.maximum(h, y)"
    assert "maximum: the pass simplify made it minimum, which changes its value: 0.0, not 2.71828" in str(error)
    assert "at [0], and at 1 more of 3 elements" in str(error)


def test_a_rule_that_is_wrong_at_one_place_is_found_when_it_shows(monkeypatch):
    with_rule(monkeypatch, "maximum(x, y)", "fmax(x, y)")  # differs where there is NaN
    fast = tracer.compile(lambda x, y: np.maximum(x, y) * 2, check=True)
    fast(A, A)
    error = fails(fast, A, np.where(A == 2.0, np.nan, A))
    assert error.culprit == "pass simplify" and "2.0, not nan, at [0, 1]" in str(error)


def test_a_slightly_wrong_constant_is_no_rounding(monkeypatch):
    with_rule(monkeypatch, "tanh(x)", "add(sinh(x), 1e-14)")
    with_rule(monkeypatch, "cosh(x)", "divide(add(exp(x), exp(negative(x))), 2.0)")
    assert tracer.compile(np.cosh, check=True)(A).shape == A.shape
    assert fails(tracer.compile(lambda x: np.tanh(x) * 3, check=True), np.array([1e-3, 1e-5])).culprit == "pass simplify"


def test_a_pass_that_swaps_results_is_found(monkeypatch):
    def run(graph: Graph, *, exact: bool = False) -> int:
        graph.outputs, graph._order = graph.outputs[::-1], None
        return 0

    planted(monkeypatch, "swap", run)
    error = fails(tracer.compile(lambda x: (np.exp(x), np.sin(x)), check=True), A)
    assert error.culprit == "pass swap" and error.op == "exp"


def test_a_pass_thatrewires_behind_our_back_is_found(monkeypatch):
    def run(graph: Graph, *, exact: bool = False) -> int:
        for node in graph.order():
            if node.op is TABLE["subtract"] and node.operands == tuple(graph.inputs):
                for position, operand in enumerate(graph.inputs[::-1]):
                    graph.rewire(node, position, operand)
        return 0

    planted(monkeypatch, "turn", run)
    error = fails(tracer.compile(lambda x, y: np.exp(x - y), check=True), A, A + 1)
    assert error.culprit == "pass turn" and error.op == "subtract" and "1.0, not -1.0" in str(error)


# ---- wrong kernels, plans and programs
def with_kernels(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    kernels = tuple([replace(k, **changes) for k in numpy_target.KERNELS[name]])
    changed = replace(numpy_target.TARGET, kernels={**numpy_target.KERNELS, name: kernels})
    monkeypatch.setattr(backends.get("numpy"), "target", lambda exact=False: changed)


def test_a_wrong_kernel_is_named_with_its_step(monkeypatch):
    with_kernels(monkeypatch, "exp", body=("np.expm1({0}, {out})",))
    error = fails(tracer.compile(chain, check=True), np.ones(3), np.zeros(3))
    assert error.culprit == "kernel exp.ufunc, step 0" and error.line.code == "h = np.exp(x)"
    assert "exp: the kernel exp.ufunc, step 0 of the plan, gives another value: 1.718" in str(error) and ", not 2.718" in str(error)


def test_a_kernel_that_overwrites_an_operand_in_use_is_found(monkeypatch):
    with_kernels(monkeypatch, "exp", body=("np.exp({0}, {out})", "np.negative({0}, {0})"))
    error = fails(tracer.compile(lambda x: (y := x + 1) * np.exp(y), check=True), np.ones(3))
    assert error.culprit == "plan, step 2" and error.op == "multiply" and "reads has been overwritten: -2.0, not 2.0" in str(error)


def test_single_precision_passed_off_as_double_is_found(monkeypatch):
    with_kernels(monkeypatch, "sin", body=("np.sin({0}, {out}, dtype=np.float32)",))
    assert fails(tracer.compile(np.sin, check=True), A).culprit == "kernel sin.ufunc, step 0"


def test_a_program_that_does_not_do_its_steps_is_found(monkeypatch):
    fast = tracer.compile(lambda x: x * 2.0 + 1, check=True)
    fast(A)
    program = fast._last.program
    right = program._program
    monkeypatch.setattr(program, "_program", lambda inputs: [right(inputs)[0] + 1])
    error = fails(fast, A)
    assert error.culprit == "program" and "another result than its steps do one by one: 4.0, not 3.0, at [0, 0]" in str(error)


@pytest.mark.parametrize("wrong", ["a result", "a state"])
def test_a_loop_that_does_not_do_what_its_steps_do_is_found(monkeypatch, wrong):
    loss, params, batch = network()
    step = tracer.train_step(loss, optimizers.SGD(lr=0.1), params, check=True)
    assert len(step.run(*batch, steps=3)) == 3
    (entry,) = (e for held in step._compiled._entries.values() for e in held)
    (key,) = entry._loops
    right = entry._loops[key]

    def program(inputs):
        results = right(inputs)
        if wrong == "a result":
            results[0][1] += 1e-9
        else:
            params[0].data[...] *= 1 + 1e-9
        return results

    monkeypatch.setitem(entry._loops, key, program)
    with pytest.raises(CheckError, match="in a loop than one by one") as caught:
        step.run(*batch, steps=3)
    assert caught.value.culprit == "program" and caught.value.line is not None


def test_a_failed_step_leaves_the_parameters_alone(monkeypatch):
    with_kernels(monkeypatch, "tanh", body=("np.sin({0}, {out})",))
    loss, params, batch = network()
    before = [v.data.copy() for v in params]
    step = tracer.train_step(loss, optimizers.SGD(lr=0.1), params, check=True)
    assert fails(step, *batch).op == "tanh"
    assert all(np.array_equal(v.data, old) for v, old in zip(params, before))
    with pytest.raises(CheckError):
        step.run(*batch, steps=3)


def test_exact_programs_are_checked_with_the_arrays_as_they_lie():
    x = np.linspace(0, 1, 24).reshape(4, 6)
    for given in (x, x.T, x[::2, ::3], x[::-1], np.asfortranarray(x)):
        fast = tracer.compile(lambda x: (np.sin(x).sum(axis=0), x.T * 2, x @ x.T), check=True, exact=True)
        plain = tracer.compile(lambda x: (np.sin(x).sum(axis=0), x.T * 2, x @ x.T), exact=True)
        for a, b in zip(fast(given), plain(given), strict=True):
            assert a.tobytes() == b.tobytes() and a.strides == b.strides


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_sigmoid_far_below_zero_is_as_right_as_its_reference(dtype):
    x = np.linspace(-40, 5, 91).astype(dtype)
    got = tracer.compile(F.sigmoid, check=True)(x)
    assert np.allclose(got, 1 / (1 + np.exp(-x.astype("f8"))), rtol=1e-4, atol=1e-9)
