"""Complex arguments: the gradient is dL/dRe + i dL/dIm, so that L(z + e*d) = L(z) + e * Re(sum(conj(g) * d)); compared with differences
along drawn directions, with JAX (its gradient is the conjugate of ours) and with autograd."""
from __future__ import annotations

import importlib
import importlib.util

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import tracer
from tracer import Variable, grad, value_and_grad
from tracer import functions as F

jax = importlib.import_module("jax") if importlib.util.find_spec("jax") else None
if jax is not None:
    jax.config.update("jax_enable_x64", True)

Z = np.array([[0.3 - 0.7j, 1.1 + 0.2j, -0.4 + 0.9j], [0.8 + 0.1j, -0.6 - 0.5j, 0.2 + 1.3j]])
W = np.array([[1 + 2j, 0.5], [-1j, 0.3 + 0.1j], [0.7, -0.2 + 1j]])
WEIGHTS = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])

# losses, written for any of the three numpy modules
LOSSES = {
    "squared modulus": lambda np, z: np.sum(np.abs(z) ** 2 * WEIGHTS),
    "modulus": lambda np, z: np.sum(np.abs(z) * WEIGHTS),
    "real part of a product": lambda np, z: np.sum(np.real(z * np.conj(z) * z)),
    "imaginary part": lambda np, z: np.sum(np.imag(z**3) * WEIGHTS),
    "exponential": lambda np, z: np.sum(np.real(np.exp(z) * (1 + 2j))),
    "quotient": lambda np, z: np.sum(np.real(1j * z / (2 + z * z))),
    "sines": lambda np, z: np.sum(np.abs(np.sin(z) + np.cos(2 * z)) ** 2),
    "root and logarithm": lambda np, z: np.sum(np.real(np.sqrt(z) * np.log(z))),
    "matrix product": lambda np, z: np.sum(np.abs(np.dot(z, W)) ** 2),
    "a product with itself": lambda np, z: np.sum(np.real(np.dot(np.conj(z), np.transpose(z)))),
    "power": lambda np, z: np.sum(np.real(z**2.5)),
    "choice": lambda np, z: np.sum(np.abs(np.where(np.real(z) > 0, z * z, 1j * np.conj(z))) ** 2),
    "phase": lambda np, z: np.sum(np.angle(z) * WEIGHTS),
}
OURS = LOSSES | {
    "vdot and norm": lambda np, z: np.vdot(z, z * WEIGHTS).real + np.linalg.norm(z),
    "matmul of stacks": lambda np, z: np.sum(np.abs(z[None] @ W[None])),
    "a write": lambda np, z: np.sum(np.abs(written(z * z, (0, slice(None)), 2j * z[1])) ** 2),
    "cumulated": lambda np, z: np.sum(np.abs(np.cumprod(z, axis=1) + np.cumsum(z, axis=0)) ** 2),
    "prod and mean": lambda np, z: np.abs(np.prod(z)) + np.mean(z).imag,
    "std": lambda np, z: np.std(z) + np.var(z),
    "sign": lambda np, z: np.sum(np.real(np.sign(z) * WEIGHTS)),
    "indices that repeat": lambda np, z: np.sum(np.abs(z[[0, 0, 1]] * 1j) ** 2),
}


def written(y, key, value):
    y[key] = value
    return y


def along(loss, z, d, step=1e-4):
    """The slope of the loss along d, by differences in long double."""
    z, d = z.astype(np.clongdouble), d.astype(np.clongdouble)
    at = [loss(np, z + k * step * d) for k in (1, -1, 2, -2)]
    return float((8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * step))


@pytest.mark.parametrize("name", OURS)
def test_slopes_along_directions(name):
    loss, rng = OURS[name], np.random.default_rng(0)
    for fn in (grad(lambda z: loss(np, z)), tracer.compile(grad(lambda z: loss(np, z)))):
        g = fn(Z)
        assert g.dtype == Z.dtype and g.shape == Z.shape
        for _ in range(3):
            d = rng.normal(size=Z.shape) + 1j * rng.normal(size=Z.shape)
            assert np.sum(np.conj(g) * d).real == pytest.approx(along(loss, Z, d), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_against_autograd_and_jax(name):
    """Both have the conjugate of the direction of ascent: dL/dRe - i dL/dIm."""
    ours = grad(lambda z: LOSSES[name](np, z))(Z)
    if jax is not None and name not in ("exponential", "sines", "a product with itself", "real part of a product"):
        np.testing.assert_allclose(ours, np.conj(jax.grad(lambda z: LOSSES[name](jax.numpy, z))(Z)), rtol=1e-10, atol=1e-12)
    if name not in ("power", "phase", "choice"):  # autograd has no complex rule for them, or another convention
        np.testing.assert_allclose(ours, np.conj(autograd.grad(lambda z: LOSSES[name](anp, z))(Z)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["squared modulus", "sines", "quotient", "matrix product", "choice"])
def test_second_derivatives_along_directions(name):
    rng = np.random.default_rng(1)
    d, e = (rng.normal(size=Z.shape) + 1j * rng.normal(size=Z.shape) for _ in range(2))
    first = grad(lambda z: LOSSES[name](np, z))
    g = grad(lambda z: np.sum(np.real(np.conj(first(z)) * d)))(Z)
    want = along(lambda _, z: np.sum(np.conj(first(z.astype(complex))) * d).real, Z, e, 1e-3)
    assert np.sum(np.conj(g) * e).real == pytest.approx(want, rel=1e-6, abs=1e-6)


# ---- what the convention means
def test_descent_goes_along_minus_the_gradient():
    z = Z.copy()
    step = value_and_grad(lambda z: np.sum(np.abs(z - (1 + 2j)) ** 2))
    losses = []
    for _ in range(50):
        value, g = step(z)
        losses.append(value)
        z = z - 0.2 * g
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-15


def test_of_a_holomorphic_function_the_real_part_gives_the_conjugate_of_its_derivative():
    np.testing.assert_allclose(grad(lambda z: np.sum(np.real(z**3)))(Z), np.conj(3 * Z**2))
    np.testing.assert_allclose(grad(lambda z: np.sum(np.imag(z**3)))(Z), np.conj(3 * Z**2) * 1j)


def test_real_arguments_have_real_gradients():
    x = np.array([0.5, -1.5])
    g = grad(lambda x: np.sum(np.abs(np.exp(1j * x) + x) ** 2))(x)
    assert g.dtype == np.float64
    np.testing.assert_allclose(g, 2 * x + 2 * np.cos(x) - 2 * x * np.sin(x))
    gx, gz = grad(lambda x, z: np.sum(np.abs(x * z) ** 2), (0, 1))(x, Z[0, :2])
    assert (gx.dtype, gz.dtype) == (np.float64, np.complex128)
    g32 = grad(lambda z: np.sum(np.abs(z) ** 2))(Z.astype(np.complex64))
    assert g32.dtype == np.complex64
    assert complex(grad(lambda z: np.abs(z) ** 2)(3 - 4j)) == 6 - 8j


@pytest.mark.parametrize("fn", [np.abs, np.angle, lambda z: np.abs(z) ** 2, lambda z: np.real(np.sign(z)), np.linalg.norm])
def test_at_zero_the_gradient_is_zero(fn):
    np.testing.assert_array_equal(grad(lambda z: np.sum(fn(z)))(np.zeros(2, complex)), [0, 0])


def test_a_complex_loss_is_refused():
    with pytest.raises(tracer.GradientError, match=r"c128\[\]"):
        grad(lambda z: np.sum(z * z))(Z)


def test_variables_have_the_same_convention():
    z = Variable(Z.copy())
    F.sum(F.absolute(z * z)).backward()
    np.testing.assert_allclose(z.grad.data, grad(lambda z: np.sum(np.abs(z * z)))(Z))
