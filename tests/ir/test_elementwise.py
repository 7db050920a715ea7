"""Elementwise operations against NumPy, a line each, and the points where a naive rule gives NaN."""
from __future__ import annotations

import numpy as np
import pytest

from ir import Graph, Spec, evaluate
from ir.errors import DTypeError, ShapeError
from ir.gradient import append_gradient
from ir.op import Op, Trait
from ir.ops import elementwise as e
from ir.ops import reduce
from tests.factory import Case, broadcasting, make, refuses

ANY, POSITIVE, SMALL, UNIT = (-2.0, 2.0), (0.3, 2.0), (0.0, 3.0), (-0.8, 0.8)
ONE, TWO = broadcasting(ANY), broadcasting(ANY, ANY)
FLAT = {"gradient": False, "second": False}


def smooth(name: str, bounds: tuple[float, float] = ANY, complex: bool = True) -> Case:
    """A function of one operand under its NumPy name."""
    return Case(name, getattr(e, name), getattr(np, name), broadcasting(bounds), complex=complex)


def flat(name: str, *bounds: tuple[float, float]) -> Case:
    """An operation whose results are no floats, or whose gradient is 0 and None."""
    return Case(name, getattr(e, name), getattr(np, name), broadcasting(*bounds), **FLAT)


def casting(char: str) -> Case:
    return Case(f"cast to {char}", lambda x: e.cast(x, dtype=np.dtype(char)), lambda x: np.asarray(x).astype(char), ONE, **FLAT)


test_operation = make([
    # arithmetic
    Case("add", e.add, np.add, TWO, complex=True),
    Case("subtract", e.subtract, np.subtract, TWO, complex=True),
    Case("multiply", e.multiply, np.multiply, TWO, complex=True),
    Case("divide", e.divide, np.divide, broadcasting(ANY, POSITIVE), complex=True),
    Case("floor_divide", e.floor_divide, np.floor_divide, broadcasting((3.1, 3.4), (1.1, 1.4))),
    Case("fmod", e.fmod, np.fmod, broadcasting((3.1, 3.4), (1.1, 1.4))),
    Case("remainder", e.remainder, np.remainder, broadcasting((3.1, 3.4), (1.1, 1.4))),
    Case("power", e.power, np.power, broadcasting(POSITIVE, SMALL), complex=True),
    smooth("negative"), smooth("positive"), smooth("square"), smooth("sqrt", POSITIVE), smooth("cbrt", POSITIVE, complex=False),
    smooth("reciprocal", POSITIVE), smooth("abs", POSITIVE), smooth("sign", POSITIVE),
    # functions
    smooth("exp"), smooth("exp2"), smooth("expm1"), smooth("log", POSITIVE), smooth("log2", POSITIVE), smooth("log10", POSITIVE),
    smooth("log1p", POSITIVE), smooth("sin"), smooth("cos"), smooth("tan", UNIT), smooth("arcsin", UNIT), smooth("arccos", UNIT),
    smooth("arctan"), smooth("sinh"), smooth("cosh"), smooth("tanh"),
    smooth("arcsinh"), smooth("arctanh", UNIT),
    Case("arccosh", lambda x: e.arccosh(x + 1.5), lambda x: np.arccosh(x + 1.5), broadcasting(POSITIVE)),
    Case("arctan2", e.arctan2, np.arctan2, broadcasting(POSITIVE, ANY)),
    Case("hypot", e.hypot, np.hypot, broadcasting(POSITIVE, ANY)),
    Case("logaddexp", e.logaddexp, np.logaddexp, TWO), Case("logaddexp2", e.logaddexp2, np.logaddexp2, TWO),
    Case("copysign", e.copysign, np.copysign, broadcasting(POSITIVE, POSITIVE)),
    # the greater, the lesser
    Case("maximum", e.maximum, np.maximum, TWO), Case("minimum", e.minimum, np.minimum, TWO),
    Case("fmax", e.fmax, np.fmax, TWO), Case("fmin", e.fmin, np.fmin, TWO),
    Case("clip", e.clip, np.clip, broadcasting(ANY, (-1.0, -0.5), (0.5, 1.0))),
    Case("where", e.where, np.where, broadcasting(POSITIVE, ANY, ANY), complex=True),
    # complex parts
    smooth("conj"), smooth("real"), smooth("imag"),
    # comparison, logic, bits, rounding, tests
    flat("equal", ANY, ANY), flat("not_equal", ANY, ANY), flat("less", ANY, ANY), flat("less_equal", ANY, ANY), flat("greater", ANY, ANY),
    flat("greater_equal", ANY, ANY), flat("logical_and", ANY, ANY), flat("logical_or", ANY, ANY), flat("logical_xor", ANY, ANY),
    flat("logical_not", ANY), flat("bitwise_and", SMALL, SMALL), flat("bitwise_or", SMALL, SMALL), flat("bitwise_xor", SMALL, SMALL),
    flat("invert", SMALL), flat("left_shift", SMALL, SMALL), flat("right_shift", SMALL, SMALL), flat("floor", ANY), flat("ceil", ANY),
    flat("rint", ANY), flat("trunc", ANY), flat("isnan", ANY), flat("isinf", ANY), flat("isfinite", ANY), flat("signbit", ANY),
    # moves
    Case("copy", e.copy, np.copy, ONE, complex=True),
    *[casting(c) for c in "?iefdFD"],
])


# ---- gradients at points
def gradient(function, *points, weight=None):
    """The gradients of the sum (or of the weighted sum) of a function built from Values, at points; a list of arrays."""
    graph = Graph()
    inputs = [graph.input(Spec(np.shape(p), np.asarray(p).dtype)) for p in points]
    y = function(*inputs)
    cotangent = np.ones(y.shape, y.dtype) if weight is None else np.asarray(weight, y.dtype)
    graph.outputs = append_gradient(graph, [y], [graph.constant(cotangent)], inputs)
    with np.errstate(all="ignore"):
        return evaluate(graph, [np.asarray(p) for p in points])[0]


def second(function, point):
    """The diagonal's row sums of the second derivative of the sum, at a point."""
    graph = Graph()
    x = graph.input(Spec(np.shape(point)))
    y = function(x)
    (g,) = append_gradient(graph, [y], [graph.constant(np.ones(y.shape))], [x])
    graph.outputs = append_gradient(graph, [g], [graph.constant(np.ones(g.shape))], [x])
    with np.errstate(all="ignore"):
        return evaluate(graph, [np.asarray(point)])[0][0]


ZEROS = np.array([-1.5, 0.0, 2.0])


OF_NUMBERS = [(0, [0, 0, 0]), (1, [1, 1, 1]), (2, [-3, 0, 4]), (3, [6.75, 0, 12]), (True, [1, 1, 1]), (2.0, [-3, 0, 4])]


@pytest.mark.parametrize(("p", "want"), OF_NUMBERS)
def test_power_of_a_number_at_zero(p, want):
    np.testing.assert_allclose(gradient(lambda x: x**p, ZEROS)[0], want)


def test_power_of_arrays_at_zero():
    x, p = np.array([0.0, 0.0, 0.0, 2.0, 2.0]), np.array([0.0, 1.0, 2.0, 0.0, 3.0])
    gx, gp = gradient(e.power, x, p)
    np.testing.assert_allclose(gx, [0, 1, 0, 0, 12])
    np.testing.assert_allclose(gp, [0, 0, 0, np.log(2), 8 * np.log(2)])
    np.testing.assert_allclose(gradient(lambda v: v**p, x)[0], gx)


def test_power_by_a_python_number_of_the_call():
    graph = Graph()
    x, p = graph.input(Spec((3,), np.float32)), graph.input(Spec((), np.int64, "int"))
    y = x**p
    assert y.dtype == np.float32
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(3, np.float32))], [x])
    for n, want in ((0, [0, 0, 0]), (1, [1, 1, 1]), (2, [-3, 0, 4])):
        (found,) = evaluate(graph, [ZEROS.astype(np.float32), n])[0]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, want)


def test_power_twice_at_zero():
    np.testing.assert_allclose(second(lambda x: x**2, ZEROS), [2, 2, 2])
    np.testing.assert_allclose(second(lambda x: x**3, ZEROS), [-9, 0, 12])
    np.testing.assert_allclose(second(lambda x: x ** x.graph.constant(np.array([2.0, 2.0, 3.0])), ZEROS), [2, 2, 12])
    np.testing.assert_allclose(second(lambda x: x**1, ZEROS), [0, 0, 0])


def test_power_mixed_derivative_where_the_exponent_is_zero():
    graph = Graph()
    x, p = graph.input(Spec(())), graph.input(Spec(()))
    (gx,) = append_gradient(graph, [x**p], [graph.constant(np.ones(()))], [x])
    graph.outputs = append_gradient(graph, [gx], [graph.constant(np.ones(()))], [p])
    np.testing.assert_allclose(evaluate(graph, [np.array(4.0), np.array(0.0)])[0], [0.25])


TIES = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])


@pytest.mark.parametrize("op", [e.maximum, e.fmax])
def test_ties_are_shared_equally(op):
    gx, gy = gradient(op, *TIES)
    np.testing.assert_array_equal(gx, [0, 0.5, 1])
    np.testing.assert_array_equal(gy, [1, 0.5, 0])


@pytest.mark.parametrize("op", [e.minimum, e.fmin])
def test_ties_of_the_lesser(op):
    gx, gy = gradient(op, *TIES)
    np.testing.assert_array_equal(gx, [1, 0.5, 0])
    np.testing.assert_array_equal(gy, [0, 0.5, 1])


def test_fmax_goes_to_the_number_beside_a_nan():
    gx, gy = gradient(e.fmax, np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    np.testing.assert_array_equal(gx, [0, 1])
    np.testing.assert_array_equal(gy, [1, 0])


def test_clip_on_and_beyond_the_bounds():
    gx, lo, hi = gradient(e.clip, np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array(-1.0), np.array(1.0))
    np.testing.assert_array_equal(gx, [0, 1, 1, 1, 0])
    assert (lo, hi) == (1, 1)
    gx, lo, hi = gradient(e.clip, np.array([0.0]), np.array([2.0]), np.array([1.0]))  # lo > hi: NumPy gives hi
    assert (gx, lo, hi) == (0, 0, 1)


def test_kinks_at_zero():
    np.testing.assert_array_equal(gradient(e.abs, ZEROS)[0], [-1, 0, 1])
    np.testing.assert_array_equal(gradient(e.sign, ZEROS)[0], [0, 0, 0])
    np.testing.assert_array_equal(gradient(e.sqrt, np.array([0.0, 4.0]))[0], [np.inf, 0.25])
    np.testing.assert_array_equal(gradient(e.hypot, np.zeros(2), np.zeros(2)), [[0, 0], [0, 0]])
    np.testing.assert_array_equal(gradient(e.abs, np.array([0j, 3 + 4j]))[0], [0, 0.6 + 0.8j])
    np.testing.assert_array_equal(gradient(e.sign, np.array([0j]))[0], [0])


def test_logaddexp_far_out():
    big, inf = 800.0, np.inf
    x, y = np.array([big, -big, -inf, -inf, inf, inf]), np.array([-big, -big, -inf, 0.0, inf, 0.0])
    gx, gy = gradient(e.logaddexp, x, y)
    np.testing.assert_allclose(gx, [1, 0.5, 0.5, 0, 0.5, 1])
    np.testing.assert_allclose(gy, [0, 0.5, 0.5, 1, 0.5, 0])


# ---- strong zeros
BRANCHES = {
    "log": lambda x: e.where(x > 0, e.log(x), 0.0),
    "x log x": lambda x: e.where(x > 0, x * e.log(x), 0.0),
    "sqrt": lambda x: e.where(x > 0, e.sqrt(x), 0.0),
    "over": lambda x: e.where(e.not_equal(x, 0), 1 / x, 0.0),
    "sine over": lambda x: e.where(e.not_equal(x, 0), e.sin(x) / x, 1.0),
    "used twice": lambda x: (lambda y: e.where(x > 0, y * y + y * e.exp(y) + y, 0.0))(e.log(x)),
    "power": lambda x: e.where(x > 0, x**-1.5, 0.0),
    "through a sum": lambda x: e.where(reduce.sum(x, axis=(0,), keepdims=True) > 100, e.log(x * 0.0), x),
    "maximum": lambda x: e.maximum(e.log(e.abs(x)), -5.0),
    "clip": lambda x: e.clip(e.log(e.abs(x)), -5.0, 5.0),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_no_nan_of_the_branch_not_taken(name):
    points = np.array([0.0, 0.5, 2.0])
    found = gradient(BRANCHES[name], points)[0]
    assert np.all(np.isfinite(found)) and (found[0] == 0 or name == "through a sum")
    step = 1e-6
    graph = Graph()
    x = graph.input(Spec((3,)))
    graph.outputs = [BRANCHES[name](x)]
    with np.errstate(all="ignore"):
        ahead, behind = (evaluate(graph, [points + s])[0][0] for s in (step, -step))
    np.testing.assert_allclose(found[1:], (ahead - behind)[1:] / (2 * step), rtol=1e-6)


def test_no_nan_of_the_branch_not_taken_twice():
    found = second(lambda x: e.where(x > 0, x * e.log(x), 0.0), np.array([0.0, 0.5, 2.0]))
    np.testing.assert_allclose(found, [0, 2, 0.5])


def test_a_large_exp_in_the_branch_not_taken():
    softplus = gradient(lambda x: e.where(x > 20, x, e.log1p(e.exp(x))), np.array([-1000.0, 0.0, 1000.0]))[0]
    np.testing.assert_allclose(softplus, [0, 0.5, 1])


def test_a_cotangent_that_happens_to_be_zero_keeps_its_slope():
    np.testing.assert_allclose(second(lambda x: e.where(x > 0, e.log(x) ** 2, 0.0), np.array([1.0])), [2.0])


def test_no_guards_where_nothing_is_chosen():
    graph = Graph()
    x = graph.input(Spec((3,)))
    append_gradient(graph, [e.tanh(x) / (1 + e.exp(x))], [graph.constant(np.ones(3))], [x])
    assert not [n for n in graph.order() if n.op is e.where]


# ---- errors
def test_errors_name_cause_and_mend():
    graph = Graph()
    b, x, y = graph.input(Spec((2,), bool)), graph.input(Spec((2, 3))), graph.input(Spec((2, 2)))
    refuses(DTypeError, lambda: e.negative(b))
    refuses(DTypeError, lambda: e.subtract(b, b))
    refuses(DTypeError, lambda: e.bitwise_and(x, x))
    refuses(DTypeError, lambda: e.cast(x, dtype=np.dtype("O")))
    error = refuses(ShapeError, lambda: e.add(x, y))
    assert error.op == "add" and "f64[2,3]" in str(error)


def test_int_to_a_negative_power_is_left_to_the_run():
    graph = Graph()
    x, p = graph.input(Spec((1,), int)), graph.input(Spec((1,), int))
    graph.outputs = [x**p]
    with pytest.raises(ValueError, match="negative integer powers"):
        evaluate(graph, [np.array([2]), np.array([-1])])


def test_commutative_says_so_to_the_bit():
    floats, whole = np.array([0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, 3.0]), np.arange(7)
    commutative = [op for op in vars(e).values() if isinstance(op, Op) and op.has(Trait.COMMUTATIVE)]
    assert len(commutative) > 5
    for op in commutative:
        x = whole if op.name.startswith("bitwise") else floats
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(op.meaning(x[:, None], x), op.meaning(x, x[:, None]))
