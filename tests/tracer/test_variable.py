"""Variables from outside: what they hold, print, offer and compute, against NumPy and DeZero."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from tracer import Parameter, Variable, as_array, as_variable


# ---- what it holds
def test_the_array_is_held_as_given():
    a = np.arange(3.0)
    assert Variable(a).data is a


@pytest.mark.parametrize("data", [3.0, 3, [1.0], "x", np.float64(1.0)])
def test_only_arrays(data):
    with pytest.raises(TypeError, match="is not supported"):
        Variable(data)


class Mine(np.ndarray):
    pass


@pytest.mark.parametrize("array", [np.ma.ones(3), np.ones(3).view(Mine)])
def test_no_subclasses(array):
    with pytest.raises(TypeError, match="is not supported"):
        Variable(array)


def test_none_is_an_absent_operand():
    v = Variable(None)
    assert v.data is None and v.absent and repr(v) == "variable(None)"


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(0.8473695850105871), "variable(0.8473695850105871)"),
        (np.array([1.0, 2.0]), "variable([1. 2.])"),
        (np.array([[1, 2], [3, 4]]), "variable([[1 2]\n          [3 4]])"),
    ],
)
def test_repr(array, text):
    assert repr(Variable(array)) == text


def test_repr_is_dezeros(dezero):
    for array in (np.arange(12.0).reshape(3, 4), np.zeros((2, 2, 2)), np.array(1e-9), np.arange(3)):
        assert repr(Variable(array)) == repr(dezero.Variable(array))


def test_shape_and_kin_compute_nothing():
    v = Variable(np.ones((2, 3), np.float32)) * 2
    assert (v.shape, v.ndim, v.size, v.dtype, len(v)) == ((2, 3), 2, 6, np.float32, 2)
    assert "pending" in repr(v._value)


def test_a_number_has_no_len():
    with pytest.raises(TypeError, match="unsized"):
        len(Variable(np.array(1.0)))


def test_names_and_attributes():
    v = Variable(np.ones(2), name="v")
    v.note = 1
    assert (v.name, v.note) == ("v", 1)


def test_as_variable_as_array():
    v = Variable(np.ones(2))
    assert as_variable(v) is v
    assert as_array(3.0).shape == () and as_array(v) is v
    assert isinstance(as_variable(2), Variable)


def test_parameter():
    p = Parameter(np.ones(2))
    assert isinstance(p, Variable) and type(p * 2) is Variable


def test_data_of_a_0d_result_is_an_array():
    assert type((Variable(np.array(2.0)) * 3).data) is np.ndarray


def test_numpy_and_python_numbers_of_it():
    v = Variable(np.array(2.5)) * 2
    assert (float(v), int(v), v.item(), bool(v)) == (5.0, 5, 5.0, True)
    assert np.array_equal(np.asarray(v), 5.0)


# ---- what it computes
OPERANDS = [2, 3, 2.5, -1.0, np.float64(1.5), np.array([0.5, 2.0, 4.0])]


@pytest.mark.parametrize("other", OPERANDS)
@pytest.mark.parametrize("op", ["+", "-", "*", "/", "**", "//", "%"])
def test_operators_on_either_side(op, other):
    a = np.array([1.5, 2.0, 3.25])
    apply = np.errstate(invalid="ignore")(eval(f"lambda x, y: x {op} y"))
    for x, y in ((a, other), (other, a)):
        want = apply(x, y)
        got = apply(Variable(x) if x is a else x, Variable(y) if y is a else y)
        assert isinstance(got, Variable) and got.dtype == want.dtype
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(got.data, want, rtol=1e-15)


@pytest.mark.parametrize("number", [2.0, 2, np.float32(2), 1e-3])
def test_a_number_does_not_widen(number):
    v = Variable(np.ones(3, np.float32))
    assert (number * v).dtype == (v * number).dtype == np.float32


def test_a_numpy_scalar_on_the_left():
    v = np.float64(2) * Variable(np.array([1.0, 2.0]))
    assert isinstance(v, Variable) and v.data.tolist() == [2.0, 4.0]


def test_numpy_functions_give_variables():
    v = Variable(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert isinstance(np.exp(v), Variable) and isinstance(np.sum(v, axis=0), Variable)
    np.testing.assert_allclose(np.exp(v).data, np.exp(v.data), rtol=1e-15)


def test_methods():
    a = np.arange(6.0).reshape(2, 3)
    v = Variable(a)
    for got, want in [
        (v.T, a.T), (v.transpose(), a.T), (v.transpose(1, 0), a.T), (v.transpose((1, 0)), a.T), (v.reshape(3, 2), a.reshape(3, 2)),
        (v.reshape((6,)), a.reshape(6)), (v.reshape(-1), a.ravel()), (v.sum(), a.sum()), (v.sum(axis=0), a.sum(0)),
        (v.sum(axis=1, keepdims=True), a.sum(1, keepdims=True)), (v[0], a[0]), (v[:, 1:], a[:, 1:]), (v[..., None], a[..., None]),
        (v[[0, 0, 1]], a[[0, 0, 1]]), (v.mean(), a.mean()), (v.max(axis=1), a.max(1)), (v.dot(a.T), a @ a.T), (v @ a.T, a @ a.T),
        (-v, -a), (abs(-v), a), (v > 2, a > 2),
    ]:  # fmt: skip
        np.testing.assert_array_equal(got.data, want)


def test_iteration():
    assert [float(v) for v in Variable(np.arange(3.0))] == [0.0, 1.0, 2.0]


def test_errors_are_raised_at_the_operation_with_the_line():
    with pytest.raises(tracer.ShapeError, match=r"test_variable.py:\d+ in test_errors_are_raised"):
        Variable(np.ones(3)) + np.ones(4)


def test_foreign_operands():
    with pytest.raises(TypeError):
        Variable(np.ones(3)) + "x"
    with pytest.raises(TypeError):
        Variable(np.ones(3)) + np.array(["x"])


def test_absent_data_is_no_operand():
    with pytest.raises(tracer.ArgumentError, match="without data"):
        Variable(None) + 1


# ---- what NumPy's arrays offer
MATRIX = np.array([[3.0, 1.0, 2.0], [6.0, -5.0, 4.0]])
METHODS = {
    "prod": (), "var": (0,), "std": (), "argmax": (1,), "argmin": (), "all": (), "any": (1,), "cumsum": (1,), "clip": (0, 2), "round": (),
    "take": ([1, 0],), "argsort": (), "repeat": (2,), "swapaxes": (0, 1), "squeeze": (), "diagonal": (), "trace": (), "ravel": (),
    "flatten": (), "copy": (), "conj": (), "conjugate": (), "tolist": (), "sum": (0,), "mean": (), "max": (), "min": (1,),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_numpys(name):
    got, want = getattr(Variable(MATRIX), name)(*METHODS[name]), getattr(MATRIX, name)(*METHODS[name])
    np.testing.assert_allclose(got.data if isinstance(got, Variable) else got, want, rtol=1e-15)


def test_methods_carry_gradients():
    x = Variable(MATRIX)
    (x.clip(0, 4).take([0, 0], axis=0).swapaxes(0, 1).flatten() * 2).sum().backward()
    assert x.grad.data.tolist() == [[4.0, 4.0, 4.0], [0.0, 0.0, 0.0]]


def test_real_and_imaginary_parts():
    v = Variable(np.array([1.0 + 2.0j]))
    assert (v.real.data.tolist(), v.imag.data.tolist(), v.conj().data.tolist()) == ([1.0], [2.0], [1.0 - 2.0j])


@pytest.mark.parametrize("op", ["&", "|", "^", "<<", ">>"])
@pytest.mark.parametrize("other", [3, np.array([1, 2, 3])])
def test_operators_of_integers(op, other):
    a = np.array([4, 5, 6])
    apply = eval(f"lambda x, y: x {op} y")
    np.testing.assert_array_equal(apply(Variable(a), other).data, apply(a, other))
    np.testing.assert_array_equal(apply(other, Variable(a)).data, apply(other, a))


def test_divmod_round_and_numbers():
    v = Variable(np.array(7.25))
    assert [float(part) for part in divmod(v, 2)] == list(divmod(7.25, 2))
    assert [float(part) for part in divmod(15, v)] == list(divmod(15, 7.25))
    assert round(v, 1) == round(7.25, 1) and round(v) == 7 and complex(v) == 7.25
    assert [10, 20, 30][Variable(np.array(1))] == 20 and list(range(Variable(np.array(2)))) == [0, 1]
    with pytest.raises(TypeError, match="integer"):
        range(v)


def test_formats():
    v = Variable(np.array(2.5))
    assert (f"{v:.2f}", f"{v * 2:>8.1f}", f"{Variable(np.array([3]))}", f"{v}") == ("2.50", "     5.0", "variable([3])", "variable(2.5)")
    assert f"{Variable(np.array([[7]])):04d}" == "0007"
    with pytest.raises(TypeError, match=r"shape \(2, 3\) has no format"):
        f"{Variable(MATRIX):.2f}"


def test_membership_is_of_elements_and_equality_is_identity():
    v = Variable(MATRIX)
    assert 6.0 in v and 7.0 not in v and Variable(np.array(6.0)) in v
    assert v == v and v != Variable(MATRIX) and len({v, v}) == 1
    assert np.equal(v, Variable(MATRIX)).data.all()


def test_an_operator_with_assignment_makes_another_variable():
    v = w = Variable(np.ones(2))
    v += 1
    assert v.data.tolist() == [2.0, 2.0] and w.data.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="not written element by element"):
        v[0] = 1.0


def test_a_mask_chooses_elements():
    v = Variable(MATRIX)
    np.testing.assert_array_equal(v[v > 2].data, MATRIX[MATRIX > 2])
    (v[MATRIX > 2] ** 2).sum().backward()
    np.testing.assert_array_equal(v.grad.data, np.where(MATRIX > 2, 2 * MATRIX, 0))


def test_what_only_the_array_has():
    with pytest.raises(AttributeError, match=r"v\.data\.fill"):
        Variable(MATRIX).fill(0)
    with pytest.raises(AttributeError, match="no attribute 'generation'"):
        Variable(MATRIX).generation  # noqa: B018
    assert not hasattr(Variable(MATRIX), "__array_interface__")


def test_a_0d_variable_is_not_iterated():
    with pytest.raises(TypeError, match="0-d"):
        iter(Variable(np.array(1.0)))
