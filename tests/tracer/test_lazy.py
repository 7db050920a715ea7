"""Laziness is invisible: whatever is looked at, written or rebound in between, values are those of define-by-run."""
from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Variable, no_grad, using_config
from tracer.eager import eager_backward as eager
from tracer.eager import pending
from tracer.eager.records import PENDING


def is_pending(v: Variable) -> bool:
    return v._value is PENDING


# ---- values are as they were when recorded
def test_nothing_runs_until_a_value_is_looked_at():
    x = Variable(np.ones(3))
    y = F.exp(x) + 1
    assert is_pending(y)
    y.data  # noqa: B018
    assert not is_pending(y)


def test_looking_at_one_value_computes_all_that_wait():
    x = Variable(np.ones(3))
    y, z = x + 1, x + 2
    y.data  # noqa: B018
    assert not is_pending(z)


def test_a_write_into_data_is_not_seen_by_what_was_recorded_before():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    x.data[0] = 100.0
    z = x * 2
    assert y.data.tolist() == [2.0, 4.0] and z.data.tolist() == [200.0, 4.0]


def test_an_update_in_place_is_not_seen_by_what_was_recorded_before():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    x.data -= 1.0
    assert y.data.tolist() == [2.0, 4.0] and (x * 2).data.tolist() == [0.0, 2.0]


def test_rebinding_is_not_seen_by_what_was_recorded_before():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    x.data = np.array([10.0, 20.0, 30.0])
    z = x * 2
    assert y.data.tolist() == [2.0, 4.0] and z.data.tolist() == [20.0, 40.0, 60.0]


def test_an_array_that_the_user_still_holds_can_be_written():
    a = np.array([1.0, 2.0])
    x = Variable(a)
    y = x * 2
    a[0] = 100.0
    assert y.data.tolist() == [2.0, 4.0] and x.data.tolist() == [100.0, 2.0]


def test_a_view_that_the_user_holds_can_be_written():
    x = Variable(np.array([1.0, 2.0, 3.0]))
    tail = x.data[1:]
    y = x * 2
    tail[:] = 0.0
    assert y.data.tolist() == [2.0, 4.0, 6.0]


def test_a_buffer_that_the_user_holds_can_be_written():
    x = Variable(np.array([1.0, 2.0, 3.0]))
    buffer = memoryview(x.data)
    y = x * 2
    buffer[0] = 50.0
    assert y.data.tolist() == [2.0, 4.0, 6.0]


def test_a_variable_of_a_view():
    a = np.arange(6.0).reshape(2, 3)
    x = Variable(a[0])
    y = x + 1
    a[:] = -1.0
    assert y.data.tolist() == [1.0, 2.0, 3.0] and x.data.tolist() == [-1.0, -1.0, -1.0]


def test_a_plain_array_is_read_when_recorded():
    x, a = Variable(np.ones(2)), np.array([1.0, 2.0])
    y = x + a
    a[:] = 0.0
    assert y.data.tolist() == [2.0, 3.0]


def test_the_data_of_a_result_can_be_written_between():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    held = y.data
    z = y + 1
    held[:] = 0.0
    w = y + 1
    assert z.data.tolist() == [3.0, 5.0] and w.data.tolist() == [1.0, 1.0]


def test_the_gradient_can_be_written_between():
    x = Variable(np.array([1.0, 2.0]))
    (x * x).backward()
    y = x.grad * 10
    x.grad.data[:] = 0.0
    assert y.data.tolist() == [20.0, 40.0]


def test_two_results_do_not_share_memory():
    x = Variable(np.array([1.0, 2.0]))
    y, z = x * 2, x * 2
    y.data[:] = 0.0
    assert z.data.tolist() == [2.0, 4.0]


def test_views_as_results_do_not_share_memory():
    x = Variable(np.arange(6.0).reshape(2, 3))
    y = x.T
    y.data[:] = 0.0
    assert x.data.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_two_gradients_do_not_share_memory():
    x, y = Variable(np.ones(2)), Variable(np.ones(2))
    (x + y).backward()
    x.grad.data[:] = 7.0
    assert y.grad.data.tolist() == [1.0, 1.0]


def test_data_released_while_pending():
    x = Variable(np.array([1.0, 2.0]))
    t = x * 2
    y = t + 1
    t.data = None
    assert t.data is None and y.data.tolist() == [3.0, 5.0]


def test_released_data_is_not_computed_for_anybody():
    x = Variable(np.array([1.0, 2.0]))
    t = x * 2
    place = t._out
    y = t + 1
    t.data = None
    y.data  # noqa: B018
    assert place.value is None


def test_rebinding_something_pending():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    z = y + 1
    y.data = np.array([0.0, 0.0])
    assert z.data.tolist() == [3.0, 5.0] and (y + 1).data.tolist() == [1.0, 1.0]


def test_a_value_used_again_after_its_variable_is_gone():
    x = Variable(np.array([1.0, 2.0]))
    h = x * 2
    h.data  # noqa: B018
    z = h + 1
    del h
    gc.collect()
    assert z.data.tolist() == [3.0, 5.0]


def test_pending_things_outside_the_history_of_the_loss():
    x = Variable(np.array([1.0, 2.0]))
    y = F.exp(x)
    loss = F.sum(y * y)
    metric = F.sum(y) * 3
    with no_grad():
        other = y + 5
    loss.backward()
    np.testing.assert_allclose(metric.data, np.exp([1.0, 2.0]).sum() * 3, rtol=1e-14)
    np.testing.assert_allclose(other.data, np.exp([1.0, 2.0]) + 5, rtol=1e-14)
    np.testing.assert_allclose(x.grad.data, 2 * np.exp([2.0, 4.0]), rtol=1e-13)


@pytest.mark.parametrize("look", ["never", "before", "each"])
def test_the_gradient_does_not_hang_on_looking(look):
    x, W = Variable(np.arange(6.0).reshape(2, 3)), Variable(np.ones((3, 2)) * 0.1)
    h = F.sigmoid(F.matmul(x, W))
    if look == "each":
        h.data  # noqa: B018
    loss = F.mean_squared_error(h, np.zeros((2, 2)))
    if look != "never":
        str(loss)
    loss.backward()
    s = 1 / (1 + np.exp(-(x.data @ W.data)))
    np.testing.assert_allclose(W.grad.data, x.data.T @ (s * s * (1 - s)), rtol=1e-13)


def test_constants_of_another_type_are_others():
    x = Variable(np.array([3, 4]))
    assert [(x * n).dtype.kind for n in (2, 2.0, True)] == ["i", "f", "i"]
    assert np.signbit((Variable(np.array([1.0])) * -0.0).data).all()
    assert not np.signbit((Variable(np.array([1.0])) * 0.0).data).any()


def test_layouts_are_told_apart():
    a = np.arange(12.0).reshape(3, 4)
    for array in (a, np.asfortranarray(a), a[:, ::2], a[::-1]):
        x = Variable(array)
        y = x * 2 + 1
        np.testing.assert_array_equal(y.data, array * 2 + 1)
        x.cleargrad()
        F.sum(x * x).backward()
        np.testing.assert_array_equal(x.grad.data, 2 * array)


def test_the_other_byte_order():
    x = Variable(np.array([1.0, 2.0], ">f8"))
    y = x * 2
    y.backward()
    assert y.dtype == np.dtype("<f8") and y.data.tolist() == [2.0, 4.0] and x.grad.data.tolist() == [2.0, 2.0]


def test_empty_arrays():
    x = Variable(np.zeros((0, 3)))
    y = F.sum(x * 2)
    y.backward()
    assert float(y) == 0.0 and x.grad.shape == (0, 3)


def test_a_failing_run_leaves_everything_waiting(monkeypatch):
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pending, "operands", fail)
        with pytest.raises(KeyboardInterrupt):
            y.data  # noqa: B018
    assert is_pending(y)
    x.data[0] = 10.0
    assert y.data.tolist() == [2.0, 4.0]


def test_a_failing_joint_run_leaves_everything_waiting(monkeypatch):
    x = Variable(np.array([1.0, 2.0]))
    y = x * x

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(eager, "operands", fail)
        with pytest.raises(MemoryError):
            y.backward()
    assert x.grad is None and tracer.Config.enable_backprop
    y.backward()
    assert x.grad.data.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("history", [True, False])
def test_an_operand_that_is_run_while_the_next_one_is_taken(history):
    x = Variable(np.array([1.0, 2.0]))
    y = x * x
    held = y.data
    with using_config("enable_backprop", history):
        z = y * 0.5 + y  # y is held by others, so what reads the first copy of it runs before there is a second
    held[:] = 0.0
    assert z.data.tolist() == [1.5, 6.0]


# ---- errors and warnings are those of the operation
def test_a_strict_setting_raises_at_the_operation():
    x, zero = Variable(np.ones(3)), Variable(np.zeros(3))
    before = x + 1
    with np.errstate(divide="raise"):
        with pytest.raises(FloatingPointError, match="divide by zero") as caught:
            x / zero
        y = x * 2
    assert "x / zero" in "".join(caught.value.__notes__)
    assert before.data.tolist() == y.data.tolist() == [2.0] * 3


def test_the_setting_is_that_of_the_operation_not_of_the_look():
    x, zero = Variable(np.ones(3)), Variable(np.zeros(3))
    with np.errstate(divide="ignore"):
        y = x / zero
    with np.errstate(divide="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(y.data).all()
    z = x / zero
    with np.errstate(divide="ignore"), pytest.warns(RuntimeWarning, match="divide by zero"):
        assert np.isinf(z.data).all()


def negative_power(x):
    return x ** np.array([-1, -2])


def test_an_error_names_the_operation_and_leaves_the_rest_usable():
    x = Variable(np.array([2, 3]))
    y = x * 2
    bad = negative_power(x)
    worse = bad + 1
    z = y + x
    assert z.data.tolist() == [6, 9] and y.data.tolist() == [4, 6]
    x.data[0] = 100
    assert x.data.tolist() == [100, 3] and (x + 1).data.tolist() == [101, 4]
    for v in (bad, worse, bad):
        with pytest.raises(ValueError, match="negative integer powers") as caught:
            v.data  # noqa: B018
        assert "test_lazy.py" in "".join(caught.value.__notes__) and "return x ** np.array" in "".join(caught.value.__notes__)


def test_the_note_is_of_the_line_of_this_recording():
    def again(x):
        return x ** np.array([-1, -2])

    x = Variable(np.array([2, 3]))
    for f, name in ((negative_power, "negative_power"), (again, "again")):
        with pytest.raises(ValueError, match="negative") as caught:
            f(x).data  # noqa: B018
        assert [name in note for note in caught.value.__notes__] == [True]


def test_what_was_set_aside_reads_its_operands_as_they_were(monkeypatch):
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2.0625 - x
    with monkeypatch.context() as patch:
        patch.setattr(pending, "compiled", lambda *_: (_ for _ in ()).throw(MemoryError("none left")))
        with pytest.raises(MemoryError):
            y.data  # noqa: B018
        x.data[0] = 100.0
    assert y.data.tolist() == [1.0625, 2.125]
    y.backward()
    assert x.grad.data.tolist() == [1.0625, 1.0625]
