"""Ways in which gradients have gone wrong in systems of this kind, a few lines each. The comment says what went wrong; the wanted value
is mathematics, differences of NumPy's own values, or JAX's or autograd's answer where they have the right one."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tracer import Function, Parameter, Variable, grad, value_and_grad
from tracer import functions as F

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
INF = np.inf


def array(*values, dtype=np.float64):
    return np.array(values, dtype)


def total(fn):
    return lambda *args: np.sum(fn(*args))


def slope(fn, *args, argnums=None):
    """The gradient of the sum of `fn`, plain and compiled, which must agree to the bit; by all arguments where there are several."""
    numbers = argnums if argnums is not None else 0 if len(args) == 1 else tuple(range(len(args)))
    found, again = grad(total(fn), numbers)(*args), tracer.compile(grad(total(fn), numbers))(*args)
    for a, b in zip(found if isinstance(found, tuple) else (found,), again if isinstance(again, tuple) else (again,), strict=True):
        np.testing.assert_array_equal(a, b)
    return found


def second(fn, x):
    return slope(lambda x: grad(total(fn))(x), x)


def differences(fn, x, step=1e-4):
    """Central differences of the sum of `fn` in long double."""
    x = np.asarray(x, np.longdouble)
    found = np.empty(x.shape)
    for k in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[k] = step
        near, far = np.sum(fn(x + d) - fn(x - d)), np.sum(fn(x + 2 * d) - fn(x - 2 * d))
        found[k] = (8 * near - far) / (12 * step)
    return found


# ---- values at hard points: name: (function, arguments, gradients)
POINTS = {
    # NaN of a branch that was not taken, through sqrt, arctan2 and an overflowing exponential
    "masked afterwards": (lambda x: np.where(x > 0.5, np.sqrt(x), 1.0), [array(4.0, 0.0)], [[0.25, 0]]),
    "an angle masked afterwards": (
        lambda y, x: np.arctan2(y, x)[np.array([0, 2])], [array(2.0, 0.0, 0.0), array(1.0, 0.0, 2.0)], [[0.2, 0, 0.5], [-0.4, 0, 0]],
    ),
    "a branch that overflows": (lambda x: np.where(x < 15, x, 10.0 ** np.exp(x)), [array(10.0, 1.0)], [[1, 1]]),
    # division by what is zero: norm, std, abs, prod, cumprod
    "norm of zeros": (np.linalg.norm, [np.zeros(3)], [[0, 0, 0]]),
    "square of a norm of zeros": (lambda x: np.linalg.norm(x) ** 2, [np.zeros(2)], [[0, 0]]),
    "a row of zeros": (lambda x: np.linalg.norm(x, axis=1), [array([0.0, 0.0], [3.0, 4.0])], [[[0, 0], [0.6, 0.8]]]),
    "std of equal values": (np.std, [array(0.1, 0.1, 0.1)], [[0, 0, 0]]),
    "std of one value": (lambda x: np.std(x, axis=0), [array([5.0, 7.0])], [[[0, 0]]]),
    "abs at zero": (np.abs, [array(0.0, -0.0, -2.0)], [[0, 0, -1]]),
    "prod with a zero": (np.prod, [array(0.0, 2.0, 3.0)], [[6, 0, 0]]),
    "prod with two zeros": (np.prod, [array(0.0, 0.0, 3.0)], [[0, 0, 0]]),
    "prod of a single zero": (np.prod, [array(0.0)], [[1]]),
    "cumprod with a zero at the front": (np.cumprod, [array(0.0, 2.0, 3.0)], [[9, 0, 0]]),
    "cumprod with a zero at the end": (np.cumprod, [array(2.0, 3.0, 0.0)], [[4, 2, 6]]),
    "cumprod with two zeros": (np.cumprod, [array(2.0, 0.0, 0.0, 3.0)], [[1, 2, 0, 0]]),
    # powers by exp(p log x): wrong for negative bases, NaN at zero
    "squares of negative numbers": (lambda x: x**2 + x**3, [array(-2.0, 0.0)], [[8, 0]]),
    "powers at zero": (lambda x: x ** array(0.0, 1.0, 2.0, 3.0), [np.zeros(4)], [[0, 1, 0, 0]]),
    "zero to a power": (lambda x, p: x**p, [array(0.0, 0.0), array(2.0, 0.0)], [[0, 0], [0, 0]]),
    "a negative base and a constant exponent": (lambda x: x ** array(2.0), [array(-2.0)], [[-4]]),
    # overflow in the middle: infinity times zero
    "sigmoid far out": (F.sigmoid, [array(-800.0, 0.0, 800.0)], [[0, 0.25, 0]]),
    "sigmoid written out, far out": (F.sigmoid_simple, [array(-800.0, 0.0, 800.0)], [[0, 0.25, 0]]),
    "logaddexp of infinities": (
        np.logaddexp, [array(-INF, -INF, INF, 800.0), array(-INF, 0.0, INF, -800.0)], [[0.5, 0, 0.5, 1], [0.5, 1, 0.5, 0]],
    ),
    "hypot of large and small": (np.hypot, [array(3e200, 3e-200, 0.0), array(4e200, 4e-200, 0.0)], [[0.6, 0.6, 0], [0.8, 0.8, 0]]),
    "softmax of large numbers": (
        lambda x: (lambda e: e / np.sum(e) * array(1.0, 2.0))(np.exp(x - np.max(x))), [array(1e4, 1e4)], [[-0.25, 0.25]],
    ),
    "log of a sum of exponentials with -inf": (
        lambda x: np.max(x) + np.log(np.sum(np.exp(x - np.max(x)))), [array(-INF, 3.0, 3.0)], [[0, 0.5, 0.5]],
    ),
    # a function of two equal arguments written with maximum and abs gave (1, 0)
    "logaddexp of equals": (np.logaddexp, [array(2.0), array(2.0)], [[0.5], [0.5]]),
    "hypot of equals": (lambda x: np.hypot(x, 3 - 2 * x), [array(1.0)], [[-np.sqrt(0.5)]]),
    # a sign put back on a magnitude has the slope of a kink at 0, where the function has none
    "fractional parts": (lambda x: np.modf(x)[0], [array(0.0, -0.0, 0.5, -2.0)], [[1, 1, 1, 1]]),
    "odd functions at zero": (lambda x: np.arcsinh(x) + np.arctanh(x) + np.expm1(x) + np.log1p(x), [array(0.0, -0.0)], [[4, 4]]),
    # ties: all to the first, all to both, twice to one
    "maximum of equals": (np.maximum, [array(1.0), array(1.0)], [[0.5], [0.5]]),
    "maximum of one array with itself": (lambda x: np.maximum(x, x), [array(1.0, -1.0)], [[1, 1]]),
    "minimum of two equal expressions": (lambda x: np.minimum(x * array(1.0, -3.0), x * array(1.0, -3.0)), [array(2.0, 2.0)], [[1, -3]]),
    "max and the array itself": (lambda x: np.max(x) + x, [array(2.0, 3.0)], [[1, 3]]),
    "max with ties over an axis": (lambda x: np.max(x, axis=1), [array([2.0, 2.0], [1.0, 3.0])], [[[0.5, 0.5], [0, 1]]]),
    "sort with ties": (lambda x: np.sort(x) * array(1.0, 2.0, 3.0), [array(3.0, 1.0, 1.0)], [[3, 1, 2]]),
    # clip: bounds that depend on the argument got nothing; at the bounds
    "clip by its own argument": (lambda x: np.clip(x, 0.0, x), [array(5.0)], [[1]]),
    "clip at, in and beyond": (lambda x: np.clip(x, -1.0, 1.0), [array(-2.0, -1.0, 0.0, 1.0, 2.0)], [[0, 1, 1, 1, 0]]),
    "clip by arrays of bounds": (np.clip, [array(0.0, 5.0), array(1.0, 1.0), array(2.0, 2.0)], [[0, 0], [1, 0], [0, 1]]),
    # the quotient was rounded towards zero
    "remainder of a negative number": (lambda y: np.remainder(-19.0, y), [array(3.0)], [[7]]),
    # the slope of an angle squared the length
    "an angle of small numbers": (np.arctan2, [array(1e-200), array(1e-200)], [[5e199], [-5e199]]),
    # what is centred by its own mean
    "less its mean": (lambda x: (x - x.mean())[0], [array(1.0, 2.0, 3.0, 4.0)], [[0.75, -0.25, -0.25, -0.25]]),
    # indices that repeat kept the last, negative ones were lost
    "repeated indices": (lambda x: x[np.array([0, 0, 2, -1])] * array(1.0, 10.0, 100.0, 1000.0), [np.ones(3)], [[11, 0, 1100]]),
    "repeated take": (lambda x: np.take(x, [1, 1, 1], mode="clip"), [np.ones(3)], [[0, 3, 0]]),
    "a boolean sum with repeats": (lambda x: x[:, [1, 1]][[0, 0]], [np.ones((2, 2))], [[[0, 4], [0, 0]]]),
    # what a mask selects: its length is not known, which is no reason for NaN
    "a selection, squared": (lambda x: np.sqrt(x)[x > 0] ** 2, [array(0.0, 1.0, 4.0)], [[0, 1, 1]]),
    "the mean of a selection": (lambda x: np.mean(np.log(x)[x > 0]), [array(0.0, 1.0, 4.0)], [[0, 0.5, 0.125]]),
    # an output given with where= was forgotten
    "a quotient with where=": (lambda x: np.divide(1.0, x, out=np.zeros_like(x), where=x != 0), [array(0.0, 2.0)], [[0, -0.25]]),
    # both factors of x log x at 0, in the branch that is not taken
    "a divergence with empty classes": (
        lambda p, q: np.where(p > 0, p * np.log(p / q), 0), [array(0.0, 0.5), array(0.0, 0.5)], [[0, 1], [0, -1]],
    ),
    # views of broadcast arrays: overlapping memory was counted once
    "a reshaped broadcast": (
        lambda x: np.broadcast_to(x, (3, 2)).reshape(3, 2) * np.arange(6.0).reshape(3, 2), [np.ones(2)], [[6, 9]],
    ),
    "a broadcast column, cut": (
        lambda x: np.broadcast_to(x, (3, 3))[:2] * np.arange(6.0).reshape(2, 3), [np.ones((3, 1))], [[[3], [12], [0]]],
    ),
    # empty operands
    "joined with nothing": (lambda x: np.concatenate([x[:0], x, x[2:]]), [np.ones(2)], [[1, 1]]),
    "the product of nothing": (lambda x: np.prod(x[:0]) * x, [np.ones(2)], [[1, 1]]),
}


@pytest.mark.parametrize("name", POINTS)
def test_at_a_hard_point(name):
    fn, args, wants = POINTS[name]
    found = slope(fn, *args)
    for got, want in zip(found if len(args) > 1 else (found,), wants, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)


# ---- second derivatives: rules that are right once and wrong when differentiated
SECONDS = {
    # even derivatives of sinc at 0 were 0
    "sinc at zero": (np.sinc, array(0.0), [-np.pi**2 / 3]),
    "logaddexp at equals": (lambda x: np.logaddexp(x, 0 * x), array(0.0), [0.25]),
    "hypot with a zero": (lambda x: np.hypot(3.0, x), array(0.0), [1 / 3]),
    "a square through a zero cotangent": (lambda x: np.sin(x) ** 2, array(0.0, 0.5), 2 * np.cos([0.0, 1.0])),
    # a saturated tanh has the derivative 0, which may not end the chain
    "saturated tanh": (lambda x: np.tanh(-1e8 * x) * (1e8 * x) ** 2, array(1.0), [-2e16]),
    "prod with a zero": (np.prod, array(0.0, 2.0, 3.0), [5, 3, 2]),
    "cumprod with two zeros": (np.cumprod, array(2.0, 0.0, 0.0, 3.0), [1, 9, 8, 0]),
    "indices that repeat": (lambda x: (x[np.array([0, 0, 1])] ** 3), array(1.0, 2.0), [12, 12]),
    "a cube at zero": (lambda x: x**3 + x**2 + x**1 + x**0, array(0.0), [2]),
    "a mean of squares": (lambda x: np.mean(x**2) ** 2, array(1.0, 2.0), [11, 17]),
    "a write in between": (lambda x: _written(x * x, 0, x[1] ** 3), array(1.0, 2.0), [0, 14]),
}


def _written(y, key, value):
    y[key] = value
    return y


@pytest.mark.parametrize("name", SECONDS)
def test_second_derivative(name):
    fn, at, want = SECONDS[name]
    np.testing.assert_allclose(second(fn, at), want, rtol=1e-12)


# ---- shapes: gradients of what was broadcast keep their own shape
def test_every_way_of_broadcasting_gives_back_its_shape():
    rng = np.random.default_rng(0)
    for shapes in ([(), (5, 4)], [(1,), (5, 4)], [(4, 1), (1, 4)], [(3, 1, 2), (4, 1)], [(1, 1), ()], [(0, 3), (1, 3)], [(2, 1), (2, 0)]):
        args = [np.asarray(rng.uniform(0.5, 1.5, s)) for s in shapes]
        for fn in (np.multiply, np.power, np.maximum):
            for found, arg in zip(slope(fn, *args), args, strict=True):
                assert found.shape == arg.shape and found.dtype == arg.dtype, (fn, shapes)


def test_a_write_that_broadcasts_leads_back_to_its_value():
    # axes of size 1 in front of the place were left in the gradient
    def fn(x):
        b = np.zeros_like(x, shape=(1, 2))
        b[:] = x
        return b * array([1.0, 10.0])

    np.testing.assert_array_equal(slope(fn, array(1.0, 2.0)), [1, 10])
    np.testing.assert_array_equal(slope(lambda x: _written(np.zeros_like(x, shape=(2, 2)), 0, x[None]), array(1.0, 2.0)), [1, 1])


# ---- dtypes
def test_a_gradient_in_the_precision_of_its_argument():
    # constants, integers and counts turned float32 into float64
    masks, n = np.array([True, False, True]), np.arange(3)
    for dtype in (np.float16, np.float32):
        for fn in (
            lambda x: np.max(x) / 3 + np.mean(x * 2.5) + np.std(x) * np.float64(2),
            lambda x: np.where(masks, x, n) * n + x**2 / 65535,
            lambda x: F.sigmoid(x) * n[1] + np.linalg.norm(x) - np.float32(1),
        ):
            assert slope(fn, np.ones(3, dtype) * dtype(0.5)).dtype == dtype
    gx, gy, gs = slope(lambda x, y, s: x * y * s, np.ones(2, np.float16), np.ones(2, np.float32), 2.0)
    assert (gx.dtype, gy.dtype, gs.dtype) == (np.float16, np.float32, np.float64)


def test_counting_in_half_precision():
    # more equal maxima, or elements of a mean, than float16 counts
    ones = np.ones(70_000, np.float16)
    for fn in (np.max, np.min, np.mean):
        found = slope(fn, ones)
        assert found.dtype == np.float16 and np.all(found == np.float16(1 / 70_000))


def test_integers_in_the_way_are_constants():
    np.testing.assert_array_equal(slope(lambda x: x.astype(int) * x + np.argsort(x) * x, array(2.5, 1.5)), [3, 1])


# ---- accumulation
def test_a_value_used_many_times():
    # additions into one buffer past a number of uses were lost
    def fn(x):
        y = x * 2
        return sum([y * k for k in range(24)], 0.0)

    np.testing.assert_array_equal(slope(fn, array(1.0, 3.0)), [552, 552])


def test_gradients_given_out_are_not_one_array():
    # the cotangent of a sum was handed to both operands, and an update of one changed the other
    a, b = Variable(array(1.0, 2.0)), Variable(array(3.0, 4.0))
    F.sum(a + b).backward()
    a.grad.data[:] = 7
    np.testing.assert_array_equal(b.grad.data, [1, 1])
    ga, gb = grad(lambda a, b: np.sum(a + b), (0, 1))(array(1.0), array(2.0))
    ga[:] = 7
    assert gb[0] == 1


def test_backward_twice_adds_once_each():
    x = Variable(array(1.0, 2.0))
    for times in (1, 2, 3):
        F.sum(x * x * x).backward()
        np.testing.assert_array_equal(x.grad.data, times * 3 * x.data**2)


# ---- writes
def test_a_value_overwritten_after_a_rule_kept_it():
    # sigmoid keeps its result, a product its operands: writing into them afterwards changed the gradient, or was refused
    def kept(x):
        y = F.sigmoid(x)
        z = y * y
        y[1] = 2.0
        x2 = x * 1.0
        w = x2 * x2
        x2 *= 0
        return np.sum(y) + np.sum(z) + np.sum(w) + np.sum(x2)

    s = 1 / (1 + np.exp(-array(1.0, 2.0, 3.0)))
    want = s * (1 - s) * array(1.0, 0.0, 1.0) + 2 * s * s * (1 - s) + 2 * array(1.0, 2.0, 3.0)
    np.testing.assert_allclose(slope(kept, array(1.0, 2.0, 3.0)), want)


def test_a_half_written_over():
    # the slope of what was written over came through
    W = np.arange(12.0).reshape(4, 3)

    def fn(x):
        y = x @ W
        y[:, :2] = 0
        return y

    np.testing.assert_array_equal(slope(fn, np.ones((2, 4))), np.tile(W[:, 2], (2, 1)))


def test_the_argument_written_in_place():
    # as NumPy: the caller's array holds what the function left in it; the gradient is by what it held before
    def fn(x):
        x *= 2
        x[0] = 5
        return np.sum(x * x)

    for call in (value_and_grad(fn), tracer.compile(value_and_grad(fn))):
        x = array(1.0, 2.0)
        value, found = call(x)
        assert value == 41
        np.testing.assert_array_equal(found, [0, 16])
        np.testing.assert_array_equal(x, [5, 4])


@pytest.mark.parametrize("written", [0, 1])
def test_one_array_given_twice_and_written(written):
    def fn(*xs):
        xs[written][0] = 100.0
        return np.sum(xs[0] * xs[1])

    x = array(1.0, 2.0, 3.0)
    for pair in ((x, x), (x[:2], x[1:])):
        with pytest.raises(tracer.GradientError, match="given twice"):
            grad(fn)(*pair)
    np.testing.assert_array_equal(x, [1, 2, 3])
    assert grad(lambda x, y: np.sum(x * y))(x, x)[2] == 3  # not written: no matter


# ---- nesting
def test_what_an_inner_gradient_holds_fixed():
    # perturbations of two levels were confused
    assert float(grad(lambda x: x * grad(lambda y: x + y)(2.0))(1.0)) == 1
    assert float(grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0)) == 6


def test_a_gradient_penalty():
    # double backward through a layer gave nothing, or gave an error
    rng = np.random.default_rng(1)
    x, W = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))

    def penalty(W, module=np):
        gx = grad(lambda x: np.sum(np.tanh(x @ W)))(x)
        return np.sum((np.sqrt(np.sum(gx**2, axis=1)) - 1) ** 2)

    def by_hand(W):
        h = np.tanh(x @ W)
        return (np.sqrt(np.sum(((1 - h * h) @ W.T) ** 2, axis=1)) - 1) ** 2

    np.testing.assert_allclose(slope(penalty, W), differences(by_hand, W), rtol=1e-8)


def test_a_function_of_the_users_differentiates_twice_by_its_own_rule():
    class Cube(Function):
        def forward(self, x):
            return x**3

        def backward(self, gy):
            (x,) = self.inputs
            return gy * 3 * x**2

    np.testing.assert_allclose(second(lambda x: Cube()(x) * Cube()(x), array(2.0)), [30 * 2.0**4])


def test_jacobians_by_rows_in_a_loop():
    def rows(x):
        return np.stack([grad(lambda x, k=k: (x**2 * x[::-1])[k])(x) for k in range(3)])

    x = array(1.0, 2.0, 3.0)
    want = np.diag(2 * x * x[::-1]) + np.diag(x**2)[:, ::-1]
    np.testing.assert_allclose(rows(x), want)
    np.testing.assert_allclose(tracer.compile(rows)(x), want)


def test_a_captured_variable_gets_no_gradient_of_its_own():
    W = Parameter(array(1.0, 2.0))
    np.testing.assert_array_equal(np.asarray(grad(lambda x: F.sum(x * W))(array(3.0, 4.0))), [1, 2])
    assert W.grad is None
