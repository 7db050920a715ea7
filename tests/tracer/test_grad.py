"""`grad` and `value_and_grad`: which arguments, what comes back, composition with everything, and what is refused."""
from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import tracer
from ir import Spec
from ir.evaluate import evaluate
from ir.ops import TABLE
from tracer import Function, Parameter, Variable, grad, value_and_grad
from tracer import functions as F
from tracer.operands.apply import apply

A = np.array([1.0, 2.0, 3.0])
B = np.array([0.5, -1.0, 4.0])


def product(x, y, k=1.0):
    return np.sum(x * x * y) * k


# ---- argnums, trees, aux
@pytest.mark.parametrize("wrap", [lambda f: f, tracer.compile], ids=["plain", "compiled"])
def test_argnums(wrap):
    by_x, by_y = 2 * A * B, A * A
    np.testing.assert_allclose(wrap(grad(product))(A, B), by_x)
    np.testing.assert_allclose(wrap(grad(product, 1))(A, B), by_y)
    np.testing.assert_allclose(wrap(grad(product, -1))(A, B), by_y)
    both = wrap(grad(product, (1, 0)))(A, B)
    assert type(both) is tuple
    np.testing.assert_allclose(both[0], by_y)
    np.testing.assert_allclose(both[1], by_x)
    (one,) = wrap(grad(product, (0,)))(A, B)
    np.testing.assert_allclose(one, by_x)
    value, (gx, gk) = wrap(value_and_grad(product, (0, 2)))(A, B, 3.0)
    assert value == product(A, B, 3.0)
    np.testing.assert_allclose(gx, 3 * by_x)
    assert gk == product(A, B) and np.ndim(gk) == 0
    np.testing.assert_allclose(wrap(grad(product))(A, y=B, k=2.0), 2 * by_x)


def test_the_same_argument_twice_counts_twice():
    one, two = grad(product, (0, 0))(A, B)
    np.testing.assert_allclose(one, 2 * A * B)
    np.testing.assert_allclose(two, 2 * A * B)


def test_the_same_array_in_two_arguments_is_two_arguments():
    np.testing.assert_allclose(grad(product)(A, A), 2 * A * A)
    np.testing.assert_allclose(grad(product, 1)(A, A), A * A)


def test_trees():
    def loss(params, x):
        hidden = np.tanh(x @ params["layers"][0]["W"] + params["layers"][0]["b"])
        return np.sum(hidden * params["scale"]) + 0.0 * np.sum(params["unused"])

    params = {"scale": 2.0, "layers": [{"W": np.full((3, 2), 0.1), "b": np.zeros(2)}], "unused": np.ones((2, 2), np.float32)}
    x = np.arange(6.0).reshape(2, 3)
    value, g = value_and_grad(loss)(params, x)
    assert list(g) == ["scale", "layers", "unused"] and list(g["layers"][0]) == ["W", "b"]
    h = np.tanh(x @ params["layers"][0]["W"])
    np.testing.assert_allclose(g["scale"], h.sum())
    np.testing.assert_allclose(g["layers"][0]["W"], x.T @ (2 * (1 - h * h)))
    np.testing.assert_allclose(g["layers"][0]["b"], (2 * (1 - h * h)).sum(0))
    assert g["unused"].dtype == np.float32 and not g["unused"].any()
    assert type(value) is np.float64 and value == pytest.approx((2 * h).sum())


@pytest.mark.parametrize("wrap", [lambda f: f, tracer.compile], ids=["plain", "compiled"])
def test_has_aux(wrap):
    def loss(x):
        return np.sum(x**2), {"twice": 2 * x, "name": "aux", "none": None}

    g, aux = wrap(grad(loss, has_aux=True))(A)
    np.testing.assert_allclose(g, 2 * A)
    np.testing.assert_allclose(aux["twice"], 2 * A)
    assert aux["name"] == "aux" and aux["none"] is None
    (value, aux), g = wrap(value_and_grad(loss, has_aux=True))(A)
    assert value == 14
    np.testing.assert_allclose(g, 2 * A)
    np.testing.assert_allclose(aux["twice"], 2 * A)


def test_unused_argument_has_gradient_zero():
    g = grad(lambda x, y: np.sum(x), 1)(A, B)
    np.testing.assert_array_equal(g, np.zeros(3))
    assert type(g) is np.ndarray


def test_results_belong_to_the_caller():
    f = value_and_grad(lambda x: np.sum(x * 1.0))
    _, one = f(A)
    one[:] = 7
    _, two = f(A)
    np.testing.assert_array_equal(two, [1, 1, 1])


# ---- kinds of arguments
def test_dtype_stays():
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        value, g = value_and_grad(lambda x: np.sum(np.tanh(x) * 2.0))(np.ones(3, dtype))
        assert g.dtype == dtype and value.dtype == dtype
    gx, gy = grad(lambda x, y: np.sum(x * y), (0, 1))(np.ones(2, np.float32), np.ones(2))
    assert gx.dtype == np.float32 and gy.dtype == np.float64


@pytest.mark.parametrize("wrap", [lambda f: f, tracer.compile], ids=["plain", "compiled"])
@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.array(2.0), np.ndarray), (np.array(2.0, "f4"), np.ndarray), (Variable(np.array(2.0)), np.ndarray), (np.float64(2), np.float64),
        (np.float32(2), np.float32), (2.0, np.float64), (np.array([2.0]), np.ndarray),
    ],
)
def test_a_gradient_is_of_the_kind_of_what_it_belongs_to(wrap, x, kind):
    def loss(x):
        return np.sum(F.sum(x**3).data if isinstance(x, Variable) else x * x * x)

    value, (g, (again,)) = wrap(value_and_grad(lambda x, y: loss(x) + loss(y[0]), (0, 1)))(x, [x])
    assert type(g) is kind and type(again) is kind and g.shape == np.shape(x) and g == 12
    assert g.dtype == (x.dtype if hasattr(x, "dtype") else np.float64)
    if not isinstance(x, Variable):
        second = wrap(grad(lambda x: np.sum(grad(loss)(x))))(x)
        assert type(second) is kind and second == 12


def test_what_a_loss_reads_of_a_gradient_inside_is_of_its_kind_too():
    seen = []

    def outer(x):
        g = grad(lambda x: np.sum(x * x))(x)
        seen.append((isinstance(g, np.ndarray), isinstance(g, np.float64)))
        return g

    assert [type(outer(x)) for x in (np.array(1.0), np.float64(1))] == [np.ndarray, np.float64]
    assert [tracer.trace(outer, x).outputs[0].shape for x in (np.array(1.0), np.float64(1), 1.0)] == [()] * 3
    assert seen == [(True, False), (False, True), (True, False), (False, True), (False, True)]


def test_python_and_numpy_numbers():
    g = grad(lambda x: x * x * x)(2.0)
    assert float(g) == 12.0 and np.ndim(g) == 0
    g = grad(lambda x: x * x)(np.float32(3))
    assert g == 6 and g.dtype == np.float32
    assert float(grad(lambda x: np.exp(x) + x**2)(1.0)) == pytest.approx(np.e + 2)
    g = grad(lambda x: np.sum(x * x))(np.array(3.0))
    assert g == 6 and g.shape == ()
    assert float(grad(lambda x, n: x**n)(2.0, 3)) == 12.0


def test_a_number_that_python_branches_on():
    f = grad(lambda x: x * x if x > 0 else -x)
    assert float(f(3.0)) == 6 and float(f(-3.0)) == -1 and float(f(4.0)) == 8


def test_variables_as_arguments_and_captured():
    W = Parameter(np.full((3, 1), 0.5))
    x = np.arange(6.0).reshape(2, 3)
    value, g = value_and_grad(lambda x: F.sum(F.matmul(x, W) ** 2))(x)
    np.testing.assert_allclose(np.asarray(g), 2 * (x @ W.data) @ W.data.T)
    np.testing.assert_allclose(np.asarray(value), ((x @ W.data) ** 2).sum())
    g = grad(lambda W: F.sum(F.matmul(x, W) ** 2))(W)
    np.testing.assert_allclose(np.asarray(g.data if isinstance(g, Variable) else g), 2 * x.T @ (x @ W.data))


def test_the_function_may_write_into_its_argument():
    def loss(x):
        x *= 2
        x[0] = 0
        return np.sum(x * x)

    mine = A.copy()
    np.testing.assert_allclose(grad(loss)(mine), [0, 16, 24])


def test_captured_arrays_are_read_anew():
    table = A.copy()
    f = grad(lambda x: np.sum(x * table))
    np.testing.assert_array_equal(f(B), A)
    table[:] = 9
    np.testing.assert_array_equal(f(B), [9, 9, 9])


# ---- composition
def test_composes_with_compile_and_trace():
    f = lambda x: np.sum(np.sin(x) * x)  # noqa: E731
    due = np.cos(A) * A + np.sin(A)
    fast = tracer.compile
    for g in (grad(f), fast(grad(f)), grad(fast(f)), fast(grad(fast(f))), fast(fast(grad(f)))):
        np.testing.assert_allclose(g(A), due)
        np.testing.assert_allclose(g(2 * A), np.cos(2 * A) * 2 * A + np.sin(2 * A))
    graph = tracer.trace(grad(f), A)
    assert [str(v.spec) for v in graph.outputs] == ["f64[3]"]
    (got,), _ = evaluate(graph, [A])
    np.testing.assert_allclose(got, due)


def test_value_and_grad_of_grad():
    inner = grad(lambda x: np.sum(x**4))
    value, g = value_and_grad(lambda x: np.sum(inner(x) ** 2))(A)
    assert value == pytest.approx((16 * A**6).sum())
    np.testing.assert_allclose(g, 96 * A**5)


def test_grad_of_a_function_that_takes_value_and_grad_apart():
    def outer(x):
        value, g = value_and_grad(lambda y: np.sum(y**3))(x)
        return value * np.sum(g)

    s, t = (A**3).sum(), (3 * A**2).sum()
    np.testing.assert_allclose(grad(outer)(A), 3 * A**2 * t + s * 6 * A)


def test_closures_over_traced_values():
    """The inner function closes over the outer argument: perturbations are not confused."""

    def outer(x):
        return x * grad(lambda y: x + y)(1.0)

    assert float(grad(outer)(2.0)) == 1.0

    def mixed(x):
        return np.sum(grad(lambda y: np.sum(x * x * y * y))(x))  # 2 x^3, x outside held fixed inside

    np.testing.assert_allclose(grad(mixed)(A), 6 * A**2)


def test_one_compiled_gradient_traces_once():
    count = []

    def loss(x):
        count.append(1)
        return np.sum(x * x)

    f = grad(loss)
    for k in range(4):
        np.testing.assert_allclose(f(A * k), 2 * A * k)
    assert len(count) == 1


CHAINS = {
    "polynomial": lambda np, x: x * x * x * 2.0 + x * x,
    "sine of square": lambda np, x: np.sin(x * x),
    "log of one and exp": lambda np, x: np.log(1.0 + np.exp(x)),
    "quotient": lambda np, x: x / (1.0 + x * x),
    "tanh chain": lambda np, x: np.tanh(np.tanh(x) * 2.0 - x),
    "power": lambda np, x: (1.0 + x * x) ** 1.5,
    "sqrt": lambda np, x: np.sqrt(1.0 + x**2) * np.cos(x),
}


@pytest.mark.parametrize("name", CHAINS)
def test_third_derivatives_against_autograd(name):
    chain = CHAINS[name]

    def scalar(module):
        return lambda x: module.sum(chain(module, x))

    ours, theirs = scalar(np), scalar(anp)
    at = np.array([0.3, -0.7, 1.9])
    for _ in range(3):
        g, h = grad(ours), autograd.grad(theirs)
        np.testing.assert_allclose(g(at), h(at), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(tracer.compile(g)(at), h(at), rtol=1e-9, atol=1e-12)
        ours, theirs = (lambda x, g=g: np.sum(g(x))), (lambda x, h=h: anp.sum(h(x)))


def test_third_derivative_of_a_users_function():
    class Cube(Function):
        def forward(self, x):
            return x**3

        def backward(self, gy):
            (x,) = self.inputs
            return 3 * x**2 * gy

    f = lambda x: F.sum(Cube()(x))  # noqa: E731
    np.testing.assert_allclose(grad(f)(A), 3 * A**2)
    np.testing.assert_allclose(grad(lambda x: np.sum(grad(f)(x)))(A), 6 * A)
    np.testing.assert_allclose(grad(lambda x: np.sum(grad(lambda x: np.sum(grad(f)(x)))(x)))(A), [6, 6, 6])


def test_the_rule_of_a_users_function_is_the_rule_used():
    class Odd(Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return gy * 100

    np.testing.assert_array_equal(grad(lambda x: F.sum(Odd()(x)))(A), [100, 100, 100])


# ---- what is refused
@pytest.mark.parametrize(
    "fn, args, words",
    [
        (lambda x: x * 2, (A,), ["f64[3]", "0-d float", "np.sum"]),
        (lambda x: np.sum(x), (np.arange(3),), ["int"]),
        (lambda x: x * x, (3,), ["int"]),
        (lambda x: np.sum(x > 0), (A,), ["0-d float"]),
        (lambda x: 3.0, (A,), ["float"]),
        (lambda x: None, (A,), ["None"]),
        (lambda x: (np.sum(x), x), (A,), ["has_aux"]),
        (lambda x: np.sum(x * 1j), (A,), ["c128[]"]),
        (lambda p: p["x"] * p["n"], ({"x": 1.0, "n": 2},), ["argument 0['n']", "int"]),
    ],
    ids=["array", "integer array", "Python int", "bool loss", "plain float", "None", "tuple", "complex loss", "an int in a tree"],
)
def test_no_gradient(fn, args, words):
    for call in (grad(fn), tracer.compile(grad(fn)), value_and_grad(fn)):
        with pytest.raises(tracer.GradientError) as error:
            call(*args)
        for word in words:
            assert word in str(error.value), str(error.value)
        assert "mend" in str(error.value)


def test_has_aux_without_an_aux():
    with pytest.raises(tracer.GradientError, match="not a pair"):
        grad(lambda x: np.sum(x * x), has_aux=True)(A)


def test_not_differentiable_in_the_way():
    def loss(x):
        return np.sum(apply(TABLE["opaque"], x, specs=(Spec((3,), np.float64),)) * x)

    with pytest.raises(tracer.GradientError, match="opaque has no gradient") as error:
        grad(loss)(A)
    assert "test_grad.py" in str(error.value) and "in loss" in str(error.value)


def test_what_lies_beside_the_way_needs_no_gradient():
    np.testing.assert_array_equal(grad(lambda x: np.sum(x * np.floor(x + 0.5)) + 0 * np.argmax(x))(A), A)


@pytest.mark.parametrize("argnums", ["x", 1.0, (), (0, "x"), None, [0], True])
def test_bad_argnums(argnums):
    with pytest.raises(tracer.ArgumentError, match="argnums"):
        grad(product, argnums)


@pytest.mark.parametrize("argnums", [2, -3, (0, 5)])
def test_argnums_out_of_range(argnums):
    with pytest.raises(tracer.ArgumentError, match="was not given"):
        grad(product, argnums)(A, B)


def test_an_argument_that_is_no_array():
    with pytest.raises(tracer.Error) as error:
        grad(lambda s, x: np.sum(x))("text", A)
    assert "mend" in str(error.value)


def test_a_leaf_none_among_parameters():
    """A missing bias: None in the tree stays None in the gradient."""

    def loss(p, x):
        y = x @ p["W"]
        return np.sum(y if p["b"] is None else y + p["b"])

    g = grad(loss)({"W": np.ones((3, 1)), "b": None}, A)
    np.testing.assert_array_equal(g["W"], A[:, None])
    assert g["b"] is None
