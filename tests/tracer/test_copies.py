"""Copies, deep copies and pickles: of what is data all of it, of compiled functions what Python's functions have, else a refusal."""
from __future__ import annotations

import copy
import functools
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import ir
import tracer
import tracer.functions as F
from tracer import Parameter, Spec, Variable, optimizers


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


@tracer.compile
def cube(x):
    return x * x * x


@tracer.grad
def slope(x):
    return np.sum(np.sin(x))


def plain(x):
    return x + 1.0


increased = tracer.compile(plain)
value_and_slope = tracer.value_and_grad(lambda x: np.sum(x * x))


class Model:
    def __init__(self, w):
        self.w = Variable(np.full(2, w))
        self.fast = tracer.compile(self.forward)
        self.partly = tracer.compile(functools.partial(self.scaled, k=2.0))

    def forward(self, x):
        return x * self.w.data

    def scaled(self, x, k):
        return x * self.w.data * k

    @tracer.compile
    def decorated(self, x):
        return x * self.w.data


class Triple(tracer.Function):
    def forward(self, x):
        return x * 3

    def backward(self, gy):
        return gy * 3


COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": pickled}


# ---- Variables
@pytest.mark.parametrize("how", COPIES)
def test_variables_have_data_name_gradient_and_attributes(how):
    x = Parameter(np.array([1.0, 2.0]), name="x")
    x.note = "here"
    (x * x).backward()
    twin = COPIES[how](x)
    assert (type(twin), twin.name, twin.note, twin.creator) == (Parameter, "x", "here", None)
    assert twin.data.tolist() == [1.0, 2.0] and twin.grad.data.tolist() == [2.0, 4.0]
    assert np.shares_memory(twin.data, x.data) == (how == "copy")


@pytest.mark.parametrize("how", COPIES)
def test_what_is_pending_is_computed_and_has_no_history(how):
    x = Variable(np.array([1.0, 2.0]))
    y = F.exp(x) * 2
    twin = COPIES[how](y)
    x.data[0] = 100.0
    np.testing.assert_allclose(twin.data, np.exp([1.0, 2.0]) * 2, rtol=1e-15)
    twin.backward()
    assert x.grad is None


@pytest.mark.parametrize("how", COPIES)
def test_a_variable_without_data(how):
    assert COPIES[how](Variable(None, name="b")).absent


def test_a_deep_copied_tree_of_parameters_is_trained_apart():
    W = Parameter(np.zeros(2))
    twin = copy.deepcopy({"W": W, "again": [W]})
    assert twin["W"] is twin["again"][0]
    tracer.train_step(lambda: F.sum(W), optimizers.SGD(lr=1.0), [W])()
    assert W.data.tolist() == [-1.0, -1.0] and twin["W"].data.tolist() == [0.0, 0.0]


def test_copies_inside_a_trace_are_copies():
    def f(x):
        y, z = copy.copy(x), copy.deepcopy(x)
        y += 1.0
        return x, y, z

    for got, want in zip(tracer.compile(f)(np.ones(2)), f(np.ones(2))):
        np.testing.assert_array_equal(got, want)


def test_a_traced_array_is_not_pickled():
    with pytest.raises(tracer.TraceError, match="pickle needs a value"):
        tracer.trace(pickle.dumps, np.ones(2))


# ---- compiled functions
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("fast", [cube, slope], ids=["compiled", "grad"])
def test_a_function_that_a_module_has_is_itself(how, fast):
    fast(np.ones(2))
    assert COPIES[how](fast) is fast


def test_a_compiled_function_whose_module_has_the_plain_one():
    twin = pickled(increased)
    assert twin is not increased and twin.__wrapped__ is plain and twin(np.ones(2)).tolist() == [2.0, 2.0]
    assert copy.deepcopy(increased) is increased


def test_lambdas_and_inner_functions_can_not_be_pickled():
    def inner(x):
        return x

    for fast in (tracer.compile(lambda x: x), tracer.compile(inner), value_and_slope, tracer.compile(tracer.grad(inner))):
        with pytest.raises(tracer.ArgumentError, match=r"can't be pickled(.|\n)*mend: define the function at the top of a module"):
            pickle.dumps(fast)
        assert copy.deepcopy([fast])[0] is fast


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
@pytest.mark.parametrize("name", ["fast", "partly", "decorated"])
def test_methods_go_with_their_object(how, name):
    model, x = Model(1.0), np.ones(2)
    before = getattr(model, name)(x)
    twin = COPIES[how](model)
    twin.w.data = np.full(2, 5.0)
    np.testing.assert_array_equal(getattr(twin, name)(x), before * 5.0)
    np.testing.assert_array_equal(getattr(model, name)(x), before)


def test_bound_compiled_methods():
    model = Model(3.0)
    model.decorated(np.ones(2))
    assert pickled(model.decorated)(np.ones(2)).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_other_processes_call_compiled_functions(context):
    cube(np.ones(3))
    (Variable(np.ones(3)) * 2).data  # noqa: B018  (there is something to inherit)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(context)) as pool:
        for x, got in zip(range(4), pool.map(cube, [np.full(3, float(k)) for k in range(4)])):
            np.testing.assert_array_equal(got, np.full(3, float(x**3)))
        np.testing.assert_allclose(pool.submit(slope, np.ones(2)).result(), np.cos(np.ones(2)))
        with pytest.raises(tracer.ShapeError, match=r"do not broadcast(.|\n)*test_copies.py:\d+ in bad"):
            pool.submit(bad, np.ones(3)).result()


@tracer.compile
def bad(x):
    return x + np.ones(4)


def test_a_thread_pool_maps_a_compiled_function():
    with ThreadPoolExecutor(4) as pool:
        for k, got in enumerate(pool.map(cube, [np.full(3, float(k)) for k in range(20)])):
            np.testing.assert_array_equal(got, np.full(3, float(k**3)))


# ---- graphs, plans, records
def graph_of_everything():
    def f(x):
        y = np.sum(x[:, ::2] @ np.arange(40.0).reshape(2, 20) * 2.5 + 0.1, axis=1)
        return y, np.where(y > 0, y, np.float32(1))

    return tracer.trace(f, np.ones((3, 4)))


@pytest.mark.parametrize("how", COPIES)
def test_graphs(how):
    graph = graph_of_everything()
    twin = COPIES[how](graph)
    assert twin is not graph and str(twin) == str(graph)
    twin.verify()
    x = np.random.default_rng(0).normal(size=(3, 4))
    for got, want in zip(ir.evaluate(twin, [x]), ir.evaluate(graph, [x])):
        np.testing.assert_array_equal(got, want)
    twin.outputs.pop()
    assert len(graph.outputs) == 2


@pytest.mark.parametrize("how", COPIES)
def test_graphs_with_states_and_updates(how):
    W = Parameter(np.zeros(3))
    graph = tracer.train_step(lambda x: F.sum(W * x), optimizers.SGD(lr=0.1), [W]).graph(np.ones(3))
    twin = COPIES[how](graph)
    assert str(twin) == str(graph) and len(twin.updates) == len(graph.updates)


@pytest.mark.parametrize("how", COPIES)
def test_graphs_with_rules_of_the_users(how):
    graph = tracer.trace(lambda x: Triple()(x).data * 2, np.ones(3))
    assert str(COPIES[how](graph)) == str(graph)


@pytest.mark.parametrize("how", ["copy", "deepcopy"])
def test_plans_are_themselves(how):
    plan = cube.plan(np.ones(3))
    assert COPIES[how](plan) is plan


def test_plans_are_not_pickled():
    with pytest.raises(tracer.ArgumentError, match=r"mend: pickle plan.graph"):
        pickle.dumps(cube.plan(np.ones(3)))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(
    "thing",
    [Spec((2, 3), np.float32), optimizers.SGD(lr=0.5), ir.Constant(np.arange(3.0))], ids=lambda x: type(x).__name__,
)
def test_records(how, thing):
    assert repr(COPIES[how](thing)) == repr(thing) or vars(COPIES[how](thing)) == vars(thing)


@pytest.mark.parametrize("how", COPIES)
def test_errors_keep_all_they_say(how):
    with pytest.raises(tracer.ShapeError) as caught:
        bad(np.ones(3))
    twin = COPIES[how](caught.value)
    assert type(twin) is tracer.ShapeError and str(twin) == str(caught.value)
    assert twin.mend == caught.value.mend and twin.line.number == caught.value.line.number


def test_explanations():
    cube(np.ones(2))
    assert str(pickled(cube.explain())) == str(cube.explain())
