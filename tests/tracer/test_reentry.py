"""Re-entrancy: compiled in compiled, in handlers and finalizers; whatever interrupts, all is as before and the next call right."""
from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tracer
import tracer.functions as F
from tracer import Parameter, Variable, no_grad, optimizers, test_mode, using_config
from tracer.operands import stack

X = np.array([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    before = np.geterr(), gc.isenabled(), sys.getrecursionlimit(), list(warnings.filters), np.random.get_state()[1].tobytes()
    yield
    assert stack.running() == () and tracer.Config.enable_backprop and tracer.Config.train
    assert before == (np.geterr(), gc.isenabled(), sys.getrecursionlimit(), list(warnings.filters), np.random.get_state()[1].tobytes())


# ---- functions in functions
def test_compiled_in_compiled_is_one_graph():
    inner = tracer.compile(lambda x: np.tanh(x) * 2)
    outer = tracer.compile(lambda x: inner(inner(x)) + inner(x))
    two = np.tanh(np.tanh(X) * 2) * 2 + np.tanh(X) * 2
    np.testing.assert_allclose(outer(X), two, rtol=1e-15)
    assert inner.explain().traces == 0


def test_grad_in_compile_in_grad():
    fast = tracer.compile(tracer.grad(lambda y: np.sum(y**3)))
    outer = tracer.grad(lambda x: np.sum(fast(x) ** 2))
    np.testing.assert_allclose(outer(X), 36 * X**3, rtol=1e-14)
    np.testing.assert_allclose(tracer.compile(outer)(X), 36 * X**3, rtol=1e-14)


def test_a_function_that_calls_itself():
    @tracer.compile
    def power(x, n):
        return x * power(x, n - 1) if n else np.ones_like(x)

    np.testing.assert_allclose(power(X, 7), X**7)
    np.testing.assert_allclose(power(X, 3), X**3)


def test_a_function_that_calls_itself_without_end():
    @tracer.compile
    def endless(x):
        return endless(x + 1)

    for _ in range(2):
        with pytest.raises(RecursionError):
            endless(X)
    np.testing.assert_array_equal(tracer.compile(lambda x: x + 1)(X), X + 1)


def test_the_loss_of_a_step_calls_compiled_functions_and_steps_call_each_other():
    W, V = Parameter(np.ones(3)), Parameter(np.ones(3))
    predict = tracer.compile(lambda x: x * W)
    step = tracer.train_step(lambda x: F.sum(predict(x) ** 2), optimizers.SGD(lr=0.1), [W])
    assert step(np.ones(3)) == 3.0
    np.testing.assert_allclose(W.data, 0.8)
    np.testing.assert_allclose(predict(X).data, X * 0.8)
    del V


def test_generators_inside_a_function():
    @tracer.compile
    def fast(x):
        def parts():
            for k in range(3):
                yield x * k

        return sum(parts()), list(parts())[-1]

    total, last = fast(X)
    np.testing.assert_array_equal(total, X * 3)
    np.testing.assert_array_equal(last, X * 2)


# ---- interrupted
class Interrupt(BaseException):
    pass


ERRORS = [ValueError, KeyError, KeyboardInterrupt, SystemExit, GeneratorExit, Interrupt, RecursionError, StopIteration]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", ["compile", "grad", "train_step", "nested", "backward"])
def test_an_exception_halfway(error, where):
    broken = [True]
    W = Parameter(np.ones(3))

    def fail():
        if broken[0]:
            raise error("halfway")

    def body(x):
        with np.errstate(all="raise"), no_grad(), test_mode(), warnings.catch_warnings():
            warnings.simplefilter("error")
            y = np.sin(x)
            fail()
        return y

    class Rule(tracer.Function):
        def forward(self, x):
            return x * 2

        def backward(self, gy):
            with using_config("train", False):
                fail()
            return gy * 2

    made = {
        "compile": lambda: tracer.compile(body),
        "grad": lambda: tracer.grad(lambda x: np.sum(body(x))),
        "train_step": lambda: tracer.train_step(lambda x: F.sum(W * body(x)), optimizers.SGD(lr=0.1), [W]),
        "nested": lambda: tracer.compile(lambda x: tracer.compile(lambda x: tracer.grad(lambda x: np.sum(body(x)))(x))(x)),
        "backward": lambda: tracer.grad(lambda x: F.sum(Rule()(x))),
    }[where]()
    want = {"compile": np.sin(X), "train_step": np.sum(np.sin(X)), "backward": np.full(3, 2.0)}.get(where, np.cos(X))
    for _ in range(2):
        with pytest.raises(error, match="halfway"):
            made(X)
        assert stack.running() == () and tracer.Config.enable_backprop and tracer.Config.train and gc.isenabled()
        assert W.grad is None and type(W.data) is np.ndarray and W.data.tolist() == [1.0] * 3
    broken[0] = False
    np.testing.assert_allclose(made(X), want, rtol=1e-15)


def test_ctrl_c_while_tracing():
    pressed = []

    @tracer.compile
    def fast(x):
        y = x + 1
        if not pressed:
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)
        return y

    with pytest.raises(KeyboardInterrupt):
        fast(X)
    np.testing.assert_array_equal(fast(X), X + 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where a weak reference just died
def test_ctrl_c_between_a_variable_and_an_argument_that_are_written():
    """Wherever it comes, both are written or none."""
    v = Variable(np.zeros(3))

    @tracer.compile
    def fast(x):
        v.data[...] = v.data + 1
        x += 1
        return x.sum()

    outcomes = set()
    fast(np.zeros(3))
    for at in range(1000):
        x, count = v.data.copy(), 0

        def press(frame, event, arg):
            nonlocal count
            frame.f_trace_opcodes = True
            if event == "opcode":
                count += 1
                if count == at:  # noqa: B023
                    signal.raise_signal(signal.SIGINT)
            return press  # noqa: B023

        sys.settrace(press)
        try:
            fast(x)
            outcomes.add("done")
        except KeyboardInterrupt:
            outcomes.add("stopped after" if (x == v.data).all() and x[0] > at else "stopped")
        finally:
            sys.settrace(None)
        assert (x == v.data).all(), at
        if count < at:
            break
        v.data[...] = at + 1
    assert outcomes == {"done", "stopped", "stopped after"}


def test_an_error_of_numpys_in_the_program_leaves_it_right():
    fast = tracer.compile(lambda x, y: np.log(x) / y + x)
    want = np.log(X) / X + X
    fast(X, X)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        fast(X, np.zeros(3))
    np.testing.assert_array_equal(fast(X, X), want)


# ---- in between
def test_a_signal_handler_calls_a_compiled_function_while_another_is_traced():
    called = []
    helper = tracer.compile(lambda x: x * 3)
    helper(X)
    before = signal.signal(signal.SIGUSR1, lambda *_: called.append(helper(X)))
    try:

        @tracer.compile
        def fast(x):
            y = np.sin(x)
            os.kill(os.getpid(), signal.SIGUSR1)
            return y + 1

        np.testing.assert_allclose(fast(X), np.sin(X) + 1)
        assert len(fast.graph(X)) == 4
    finally:
        signal.signal(signal.SIGUSR1, before)
    np.testing.assert_array_equal(called[0], X * 3)


def test_a_signal_handler_calls_the_very_function_that_runs():
    called = []
    big = np.full(300_000, 0.5)
    fast = tracer.compile(lambda x: np.tanh(np.sin(x)) * np.exp(-x))
    want = np.tanh(np.sin(big)) * np.exp(-big)
    fast(big)
    before = signal.signal(signal.SIGALRM, lambda *_: called.append(fast(big)))
    try:
        for _ in range(15):
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            np.testing.assert_allclose(fast(big), want, rtol=1e-15)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert called
    for got in called:
        np.testing.assert_allclose(got, want, rtol=1e-15)


def test_a_finalizer_calls_a_compiled_function_while_another_is_traced():
    called = []
    helper = tracer.compile(lambda x: x * 3)

    class Dying:
        def __del__(self):
            called.append(helper(X))

    @tracer.compile
    def fast(x):
        thing = Dying()
        y = x + 1
        del thing
        return y * 2

    np.testing.assert_array_equal(fast(X), (X + 1) * 2)
    np.testing.assert_array_equal(called[0], X * 3)
    assert len(fast.graph(X)) == 5


def test_a_step_inside_a_step():
    """A handler trains while the same step runs: both updates are whole."""
    W = Parameter(np.zeros(200_000))
    step = tracer.train_step(lambda: F.sum(W), optimizers.SGD(lr=1.0), [W])
    step()
    count = [1]

    def again(*_):
        step()
        count[0] += 1

    before = signal.signal(signal.SIGALRM, again)
    try:
        for _ in range(100):
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            step()
            count[0] += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(W.data) == {-float(count[0])} and step.iteration == count[0]


def test_calls_at_exit():
    code = "import atexit, numpy as np, tracer\nf = tracer.compile(lambda x: x * 2)\nv = tracer.Variable(np.ones(2)) * 3\n"
    code += "atexit.register(lambda: print(f(np.ones(2)).tolist(), v.data.tolist()))\n"
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[2.0, 2.0] [3.0, 3.0]" and not done.stderr
