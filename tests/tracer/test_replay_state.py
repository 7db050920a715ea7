"""State that a function meets besides its arguments: what the first call sets up, what counts on, settings, the process and the thread.

Each kind is a story of a few calls with a change between them, told once plain and once compiled; compiled is the same, or refused."""
from __future__ import annotations

import collections
import contextlib
import functools
import io
import itertools
import logging
import os
import queue
import sys
import threading

import numpy as np
import pytest

import tracer
from tests.tracer.stories import A, Stories

STORIES = Stories()
same, loud = STORIES.same, STORIES.loud


# ---- what the first call sets up, and somebody changes afterwards
@same
def a_default_of_a_defaultdict(c):
    d = collections.defaultdict(lambda: 2.0)
    f = c(lambda x: x * d["k"])
    yield f(A)
    d["k"] = 5.0
    yield f(A)
    yield dict(d)


@same
def a_setdefault(c):
    d = {}
    f = c(lambda x: x * d.setdefault("k", 2.0))
    yield f(A)
    d["k"] = 5.0
    yield f(A)
    d.clear()
    yield f(A)


@same
def a_cached_property(c):
    class Model:
        k = 2.0

        @functools.cached_property
        def table(self):
            return np.full(3, self.k)

    o = Model()
    f = c(lambda x: x * o.table)
    yield f(A)
    o.k = 5.0
    yield f(A)  # the old table
    del o.table
    yield f(A)
    o.table[0] = 9.0
    yield f(A)


@same
def a_cached_function_that_is_cleared(c):
    k = [2.0]

    @functools.lru_cache
    def table(n):
        return np.full(n, k[0])

    f = c(lambda x: x * table(3))
    yield f(A)
    k[0] = 5.0
    yield f(A)  # the old table
    table(3)[1] = 7.0
    yield f(A)
    table.cache_clear()
    yield f(A)


@same
def a_context_that_counts_its_depth(c):
    class Depth:
        d = 0

        def __enter__(self):
            self.d += 1

        def __exit__(self, *error):
            self.d -= 1

    o = Depth()

    def fn(x):
        with o:
            return x * o.d

    f = c(fn)
    yield f(A)
    o.d = 3
    yield f(A)
    yield o.d


@same
def a_context_that_sets_and_resets(c):
    k = [2.0]

    @contextlib.contextmanager
    def tripled():
        k[0], old = k[0] * 3, k[0]
        try:
            yield
        finally:
            k[0] = old

    def fn(x):
        with tripled():
            y = x * k[0]
        return y + k[0]

    f = c(fn)
    yield f(A)
    k[0] = 5.0
    yield f(A)
    yield k


# ---- what counts on
@loud("the function changes default acc")
def a_mutable_default(c):
    def fn(x, acc=[]):  # noqa: B006
        acc.append(1.0)
        return x * len(acc)

    f = c(fn)
    for _ in range(3):
        yield f(A)


@loud("the function changes state")
def a_count_that_is_looked_at_late(c):
    state = {"n": 0}

    def fn(x):
        state["n"] += 1
        return x * 2 if state["n"] > 1000 else x * 3

    f = c(fn)
    for _ in range(1002):
        yield f(A)


@loud("the function changes model")
def a_count_with_a_beat(c):
    class Model:
        calls = 0

        def __call__(self, x):
            y = x * 0 if self.calls % 100 == 0 and self.calls else x * 3
            self.calls += 1
            return y

    model = Model()
    f = c(lambda x: model(x))
    for _ in range(102):
        yield f(A)


@same
def a_dict_that_is_used_up(c):
    d = {"k": 2.0}

    def fn(x):
        return x * d.pop("k", 7.0)

    f = c(fn)
    for _ in range(3):
        yield f(A)


@loud("taken from q")
def a_queue(c, kind=queue.Queue):
    q = kind()
    for v in (1.0, 2.0, 3.0):
        q.put(v)
    f = c(lambda x: x * q.get())
    for _ in range(3):
        yield f(A)


STORIES.refused["a_simple_queue"] = functools.partial(a_queue, kind=queue.SimpleQueue), "taken from q"


@loud("taken from the iterator lines")
def an_open_file(c):
    lines = io.StringIO("2\n3\n4\n")
    f = c(lambda x: x * float(lines.readline()))
    for _ in range(3):
        yield f(A)


@loud("taken from the iterator numbers")
def a_cycle(c):
    numbers = itertools.cycle([1.0, 2.0])
    f = c(lambda x: x * next(numbers))
    for _ in range(3):
        yield f(A)


@loud("taken from the iterator mean")
def a_generator_that_is_sent_to(c):
    def running():
        total = 0.0
        while True:
            total += yield total

    mean = running()
    next(mean)
    f = c(lambda x: x * mean.send(2.0))
    for _ in range(3):
        yield f(A)


@loud("taken from the iterator parts")
def a_generator_as_an_argument(c):
    f = c(lambda parts: sum([v * 2 for v in parts]))
    for k in range(3):
        yield f(x * k for x in (A, A + 1))


@loud("a clock")
def a_clock_in_a_cell(c):
    import datetime

    f = c(lambda x: x * datetime.datetime.now().timestamp())
    for _ in range(3):
        yield f(A)


# ---- NumPy's settings
@loud("by np.set_printoptions")
def print_options_set(c):
    def fn(x):
        np.set_printoptions(precision=3)
        return x * 2

    f = c(fn)
    yield f(A)


@loud("by np.seterr")
def an_error_state_set_for_good(c):
    def fn(x):
        np.seterr(divide="ignore")
        return 1 / x

    f = c(fn)
    yield f(A)


@loud("calls a function of yours")
def an_error_state_that_calls(c):
    seen = []

    def fn(x):
        with np.errstate(divide="call", call=lambda *error: seen.append(1)):
            y = 1 / x
        return y + len(seen)

    f = c(fn)
    yield f(A)
    yield f(A * 0)


@same
def print_options_read(c):
    f = c(lambda x: x * np.get_printoptions()["precision"])
    yield f(A)
    with np.printoptions(precision=3):
        yield f(A)
    yield f(A)


# ---- state of the process and the thread
@same
def where_the_process_is(c):
    f, home = c(lambda x: x * len(os.getcwd())), os.getcwd()
    yield f(A)
    try:
        os.chdir("/")
        yield f(A)
    finally:
        os.chdir(home)


@same
def the_command_line(c):
    f = c(lambda x: x * len(sys.argv))
    yield f(A)
    sys.argv.append("--fast")
    yield f(A)
    sys.argv.pop()
    yield f(A)


@same
def which_thread_it_is(c):
    first, out = threading.get_ident(), []
    f = c(lambda x: x * 2 if threading.get_ident() == first else x * len(threading.current_thread().name))
    yield f(A)
    thread = threading.Thread(target=lambda: out.append(f(A)), name="another")
    thread.start()
    thread.join()
    yield out


@same
def what_is_logged(c):
    logger = logging.getLogger("gradplan.story")
    logger.setLevel(logging.ERROR)
    f = c(lambda x: x * 2 if logger.isEnabledFor(logging.DEBUG) else x)
    yield f(A)
    logger.setLevel(logging.DEBUG)
    yield f(A)
    logger.setLevel(logging.ERROR)
    yield f(A)


@pytest.mark.parametrize("name", STORIES.alike)
def test_the_story_is_the_same(name: str) -> None:
    STORIES.compare(name)


@pytest.mark.parametrize("name", STORIES.refused)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_story_is_refused_with_line_and_mend(name: str) -> None:
    story, match = STORIES.refused[name]
    with np.errstate(all="warn"):
        with pytest.raises(tracer.TraceError, match=match) as caught:
            list(story(tracer.compile))
        assert np.geterr()["divide"] == "warn" and np.get_printoptions()["precision"] == 8
    assert caught.value.mend and caught.value.line is not None and caught.value.line.file == __file__
