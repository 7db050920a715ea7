"""Ways in which traced programs have gone another way than plain ones without a word, each as a story: what the user's own code catches,
asks of an object's type, prints, keeps, or sets around its lines. What can't be followed is refused with the line."""
from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tracer

XS = [np.array([1.0, -2.0, 3.0]), np.array([-1.0, 2.0, -3.0]), np.array([5.0, 5.0, 5.0])]
A = XS[0]


def agree(fn, *calls):
    """Compiled and plain give the same, arguments included, on each of these calls."""
    fast = tracer.compile(fn)
    for call in calls or [(x,) for x in XS]:
        mine, plain = copy.deepcopy(call), copy.deepcopy(call)
        alike(fast(*mine), fn(*plain))
        alike(mine, plain)


def alike(got, due):
    assert type(got) is type(due)
    if isinstance(due, (list, tuple)):
        assert len(got) == len(due)
        for a, b in zip(got, due):
            alike(a, b)
    elif isinstance(due, dict):
        alike(list(got.items()), list(due.items()))
    else:
        np.testing.assert_array_equal(got, due)


def refused(fn, *args, match):
    with pytest.raises(tracer.TraceError, match=match) as caught:
        tracer.compile(fn)(*(args or (A,)))
    return caught.value


# ---- a refusal that the user's code catches
def branch(x):
    try:
        return x * 2 if x[0] > 0 else x * 3
    except Exception:
        return x * 100


def bare(x):
    try:
        scale = float(x[0])
    except:  # noqa: E722
        scale = 7.0
    return x * scale


def suppressed(x):
    scale = 1.0
    with contextlib.suppress(Exception):
        scale = float(x.sum())
    return x * scale


def returned_at_last(x):
    scale = 1.0
    try:
        scale = float(x.sum())
    finally:
        return x * scale  # noqa: B012


def another_error(x):
    try:
        return x * int(x[0])
    except Exception:
        raise ValueError("no number") from None


def context(x):
    class Quiet:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return True

    with Quiet():
        x = x * x.item(0)
    return x


@pytest.mark.parametrize("fn", [branch, bare, suppressed, returned_at_last, another_error, context])
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_a_refusal_caught_by_the_function(fn):
    error = refused(fn, match="needs a value" if fn is another_error else "the function caught this error")
    assert error.line is not None and error.line.function in (fn.__name__, "fn") and error.mend


def test_a_refusal_caught_around_a_function_traced_inside():
    def fn(x):
        try:
            return tracer.grad(lambda x: np.sum(x) if x[0] > 0 else -np.sum(x))(x)
        except Exception:
            return x

    refused(fn, match="the function caught this error")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_refusal_in_another_thread():
    def fn(x):
        out = [x]
        thread = threading.Thread(target=lambda: out.append(x * 2))
        thread.start()
        thread.join()
        return out[-1]

    refused(fn, match="in another thread than the one that traces")


def test_a_pool_inside():
    def fn(x):
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda k: x * k, [1, 2, 3]))

    refused(fn, match="in another thread than the one that traces")


def test_threads_that_compute_plain_things_are_nobodys_business():
    def fn(x):
        with ThreadPoolExecutor(2) as pool:
            return x * sum(pool.map(float, [1, 2, 3]))

    agree(fn)


# ---- errors of NumPy's own, which the function may catch
def broadcast(x, y):
    try:
        return x + y
    except ValueError:
        return x * 0


def axis(x, y):
    try:
        return x.sum(axis=1) + y.sum(axis=1)
    except np.exceptions.AxisError as error:
        return x.sum() * len(str(error) and "z")


def element(x, y):
    try:
        return x[5]
    except IndexError:
        return y[-1]


def unpacked(x, y):
    try:
        a, b = x
    except ValueError:
        return y.sum()
    return a - b


def reshaped(x, y):
    try:
        return x.reshape(2, -1)
    except ValueError:
        return y[None]


def cast_in_place(x, y):
    z = y.astype(np.int64)
    try:
        z += y
    except TypeError:
        z = z - 1
    return z


@pytest.mark.parametrize("fn", [broadcast, axis, element, unpacked, reshaped, cast_in_place])
def test_errors_that_numpy_gives_too(fn):
    agree(fn, (A, np.ones(2)), (A, A), (np.ones(2), np.ones(2)), (np.arange(8.0), A), (np.ones((2, 2)), np.ones((2, 2))))


# ---- text
def test_a_text_with_a_value_in_it_is_not_returned():
    for fn in (
        lambda x: {f"{x[0]}": x}, lambda x: (x, str(x.sum())), lambda x: {"a": {repr(x): x}}, lambda x: f"{x.mean()} on average",
        lambda x: "%s" % x,  # noqa: UP031
    ):
        refused(fn, match="a text .* needs a value, which is not known while tracing")
    refused(lambda x: f"{x[0]:.2f}", match="a format needs a value")
    agree(lambda x: {f"{x.shape} {x.dtype}": x})


# ---- warnings and the like around a line
def test_warnings_ignored_inside_stay_ignored_and_others_are_given():
    def fn(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = np.sqrt(x)
        return y

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(fn)
        with pytest.raises(RuntimeWarning, match="sqrt"):
            tracer.compile(lambda x: fn(x) + np.sqrt(x - 1))(A)


def test_warnings_of_one_kind_ignored():
    def fn(x):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "divide by zero")
            return 1 / x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(fn, (np.zeros(2),), (np.ones(2),))
        with pytest.raises(RuntimeWarning, match="invalid"):
            tracer.compile(lambda x: fn(x) + np.log(x))(-A * A)


def test_warnings_that_decide():
    def raised(x):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return np.sqrt(x)
            except RuntimeWarning:
                return x * 0

    def counted(x):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            y = np.sqrt(x)
        return y * len(seen)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(raised, match="a warning is an error")
        refused(counted, match="a warning is collected")


# ---- state that is neither cell nor global
def test_what_belongs_to_the_thread():
    local = threading.local()
    local.rate, local.table = 2.0, np.ones(3)
    fast = tracer.compile(lambda x: x * local.rate + local.table)
    alike(fast(A), A * 2 + 1)
    local.rate = 3.0
    alike(fast(A), A * 3 + 1)
    local.table[:] = 5
    alike(fast(A), A * 3 + 5)

    def elsewhere():
        local.rate, local.table = 10.0, np.zeros(3)
        return fast(A)

    with ThreadPoolExecutor(1) as pool:
        alike(pool.submit(elsewhere).result(), A * 10)
    alike(fast(A), A * 3 + 5)


def test_the_error_state_that_code_asks_for():
    fast = tracer.compile(lambda x: x * 2 if np.geterr()["divide"] == "raise" else x)
    alike(fast(A), A)
    with np.errstate(divide="raise"):
        alike(fast(A), A * 2)
    alike(fast(A), A)


def test_context_variables_and_the_environment(monkeypatch):
    variable = contextvars.ContextVar("rate", default=2.0)
    fast = tracer.compile(lambda x: x * variable.get() * float(os.environ.get("RATE_OF_A_TEST", "1")))
    alike(fast(A), A * 2)
    token = variable.set(3.0)
    alike(fast(A), A * 3)
    variable.reset(token)
    monkeypatch.setenv("RATE_OF_A_TEST", "4")
    alike(fast(A), A * 8)


# ---- caches of the user's
def test_a_cached_helper_of_a_number_gives_numbers_to_everybody():
    @functools.lru_cache
    def squared(n):
        return n * n + 1

    fast = tracer.compile(lambda x, n: x * squared(n))
    for n in (2.0, 3.0, 2.0, 5.0):
        alike(fast(A, n), A * (n * n + 1))
        assert type(squared(n)) is float and squared(n) == n * n + 1
    rate = 4.0
    again = tracer.compile(lambda x: x * squared(rate))
    for rate in (4.0, 6.0):
        alike(again(A), A * (rate * rate + 1))
        assert squared(rate) == rate * rate + 1


def test_a_cached_helper_of_an_element_is_refused():
    refused(lambda x: functools.lru_cache(lambda v: v * v)(x[0]), match="hash")


def test_a_cache_by_shape_holds_plain_arrays():
    masks = {}

    def mask(n):
        if n not in masks:
            masks[n] = np.tril(np.ones((n, n)))
        return masks[n]

    agree(lambda x: mask(len(x)) @ x, (A,), (np.ones(2),), (XS[1],))
    assert all(type(m) is np.ndarray for m in masks.values())


def test_a_value_kept_aside_is_refused_when_it_is_used():
    kept = []
    fast = tracer.compile(lambda x: kept.append(x * 2) or x + 1)
    alike(fast(A), A + 1)
    with pytest.raises(tracer.TraceError, match="after its trace has ended"):
        kept[0] + 1
    with pytest.raises(tracer.TraceError, match="after its trace has ended"):
        tracer.compile(lambda x: x + kept[0])(A)
