"""`ufunc.at` and the parts of complex arrays: against NumPy to the bit, gradients against differences, zeros and ties by hand."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ir import errors
from ir.evaluate import evaluate
from ir.gradient import append_gradient
from ir.graph import Graph
from ir.ops import update
from ir.ops.ufunc_at import UFUNCS, ufunc_at
from ir.spec import Spec, spec_of
from tests.ir.checks import against, gradients

BASE, VALUE, TWICE = np.array([1.5, -2.0, 3.0]), np.array([2.0, -0.5, 4.0, 1.25]), np.array([0, 2, 0, -1])


def _twin(name: str) -> Any:
    def twin(base: np.ndarray, value: Any, i: np.ndarray) -> np.ndarray:
        getattr(np, name).at(base, i, value)
        return base

    return twin


@pytest.mark.parametrize("name", UFUNCS)
def test_as_numpy(name: str) -> None:
    pairs = [(BASE, VALUE), (BASE.astype("f"), VALUE.astype("f")), (np.arange(3), np.arange(4)), (np.arange(3, dtype="u1"), 2)]
    taken = 0
    for base, value in pairs:
        with np.errstate(all="ignore"):
            try:
                result = getattr(np, name)(base[:1], value if np.ndim(value) == 0 else value[:1])
            except TypeError:
                continue
            if np.can_cast(result.dtype, base.dtype, "same_kind"):
                against(lambda b, v, i: ufunc_at(b, v, i, ufunc=name, axes=(0,)), _twin(name), [base, value, TWICE])
                taken += 1
            else:  # NumPy casts whatever it is without a word
                with pytest.raises(errors.DTypeError, match="would turn"):
                    ufunc_at.infer((spec_of(base), spec_of(value), spec_of(TWICE)), {"ufunc": name, "axes": (0,)})
    assert taken


@pytest.mark.parametrize("name", ["subtract", "multiply", "divide", "maximum", "minimum"])
def test_gradients(name: str) -> None:
    def build(b: Any, v: Any, i: Any) -> Any:
        return ufunc_at(b, v, i, ufunc=name, axes=(0,))

    gradients(build, [BASE, VALUE, TWICE], [0, 1])
    gradients(build, [BASE, np.array(0.75), TWICE], [0, 1])
    wide = np.linspace(0.3, 2.0, 12).reshape(4, 3)
    gradients(lambda b, v, i, j: ufunc_at(b, v, i, j, ufunc=name, axes=(0, 1)), [wide, VALUE, TWICE, np.array([1, 1, 1, 0])], [0, 1])
    gradients(lambda b, v, i: ufunc_at(b, v, i, ufunc=name, axes=(1,)), [wide, VALUE * 0.9, TWICE], [0, 1])


def _gradient(name: str, base: Any, value: Any, i: Any) -> list[np.ndarray]:
    graph = Graph()
    b, v = graph.input(Spec(np.shape(base))), graph.input(Spec(np.shape(value)))
    y = ufunc_at(b, v, np.array(i), ufunc=name, axes=(0,))
    graph.outputs = append_gradient(graph, [y], [graph.constant(np.ones(y.shape))], [b, v])
    return list(evaluate(graph, [np.array(base, float), np.array(value, float)])[0])


def test_a_zero_among_the_factors() -> None:
    """d(b * v0 * v1)/dv0 is b * v1, also where v0 is 0; with two zeros only the product of the others counts, which is 0."""
    base, value = _gradient("multiply", [5.0, 7.0], [0.0, 3.0, 2.0], [0, 0, 1])
    assert base.tolist() == [0.0, 2.0] and value.tolist() == [15.0, 0.0, 7.0]
    base, value = _gradient("multiply", [5.0], [0.0, 0.0, 2.0], [0, 0, 0])
    assert base.tolist() == [0.0] and value.tolist() == [0.0, 0.0, 0.0]


def test_ties_share_equally() -> None:
    base, value = _gradient("maximum", [3.0, 1.0, 9.0], [3.0, 2.0, 3.0, 2.0], [0, 1, 0, 1])
    np.testing.assert_allclose(base, [1 / 3, 0, 1])
    np.testing.assert_allclose(value, [1 / 3, 1 / 2, 1 / 3, 1 / 2])


def test_what_has_no_gradient_says_so() -> None:
    with pytest.raises(errors.GradientError, match="np.hypot.at has no gradient"):
        _gradient("hypot", [3.0], [4.0], [0])


# ---- complex parts
@pytest.mark.parametrize("part", ["real", "imag"])
@pytest.mark.parametrize("value", [np.arange(3.0), np.float32(2.5), np.arange(3), np.arange(3) * (1 + 1j)])
def test_parts_are_set(part: str, value: Any) -> None:
    def twin(z: np.ndarray, v: Any) -> np.ndarray:
        setattr(z, part, v)
        return z

    z = np.array([[1 + 2j, complex(np.inf, -0.0), complex(np.nan, 3)], [0, 1j, -1j]])
    op = update.set_real if part == "real" else update.set_imag
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        for base in (z, z.T.copy(), z.astype("F")) if np.ndim(value) == 0 else (z, z.astype("F")):
            against(op, twin, [base, value])


@pytest.mark.parametrize("op", [update.set_real, update.set_imag])
def test_gradients_of_parts(op: Any) -> None:
    gradients(op, [np.array([[1 + 2j, 3 - 1j]]), np.array([[0.5, 2.0]])], [0, 1])
    gradients(op, [np.array([[1 + 2j, 3 - 1j]]), np.array(0.5)], [0, 1])


def test_a_real_array_has_no_imaginary_part_to_set() -> None:
    with pytest.raises(errors.DTypeError, match="no imaginary part"):
        update.set_imag.infer((Spec((2,)), Spec((2,))), {})
