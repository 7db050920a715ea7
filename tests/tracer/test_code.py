"""What a function's code does with names from outside, on each version of Python that the tests run on."""
from __future__ import annotations

import types

from tracer.captures.code import uses
from tracer.tracing.numbers import Globals

FACTOR = 2.0


def helper(x):
    return x


def used(fn):
    return uses(fn.__code__)


def test_what_is_only_called_and_what_is_not():
    count, inner, other = 0, lambda x: x, lambda x: x

    def fn(x, *args):
        nonlocal count
        count += 1

        def nested():
            return other

        return inner(x) + helper(*args) + FACTOR + inner(*args) + other(x), nested

    found = used(fn)
    assert found.called == {"inner", "helper"} and found.stored == {"count"}
    assert found.globals_ == ("helper", "FACTOR") and found.by_name and not found.asks_is
    assert "helper" in used(lambda xs: [helper(x) for x in xs]).called
    assert "helper" in used(lambda xs: helper(*xs, **{})).called
    assert "helper" not in used(lambda xs: [helper(x) for x in xs] + [helper]).called
    assert "helper" not in used(lambda x: helper(helper)).called


def test_other_ways_to_the_globals():
    def stores():
        global FACTOR
        FACTOR = 3.0

    def has_a_class():
        class Inner:
            k = FACTOR

        return Inner

    assert used(lambda: FACTOR).by_name
    evaluates, other = lambda: eval("FACTOR"), lambda: [type, FACTOR]
    for fn in (stores, has_a_class, lambda: globals()["FACTOR"], evaluates, lambda: helper.__globals__, other):
        assert not used(fn).by_name
    assert used(lambda: type(FACTOR)).asks_type and not used(lambda: isinstance(FACTOR, type)).asks_type


def test_asking_whether_two_things_are_one():
    def branches(a, b):
        if a is None or b is not None:
            return a
        return a is True, b is ..., a is not False

    assert not used(branches).asks_is
    assert used(lambda a, b: a is b).asks_is and used(lambda a, b: a is not b).asks_is
    assert used(lambda a: {id(a): a}).asks_is and used(lambda a: a is used(a)).asks_is and used(lambda a: a is a.FACTOR).asks_is
    cell = types
    for fn in (lambda a: a is FACTOR, lambda a: FACTOR is not a, lambda a: a is cell.FACTOR):  # by name: what it is decides
        assert not used(fn).asks_is and len(used(fn).compared) == 1
    assert used(lambda a: a is cell.FunctionType.mro).compared == {("cell", "FunctionType", "mro")}


def test_many_names_need_long_arguments():
    names = [f"name_{k}" for k in range(600)]
    space: dict = {}
    exec(f"def fn():\n    return [{', '.join(names)}, last()]", space)
    assert used(space["fn"]).globals_ == (*names, "last") and used(space["fn"]).called == {"last"}


class Owner:
    """What a Globals asks of its owner, once the trace is over."""

    closed = True


def test_globals_with_another_reader_beside():
    def fn(x):
        return helper(x) + FACTOR

    other = {"helper": abs, "FACTOR": 5.0, "__builtins__": __builtins__}
    twin = types.FunctionType(fn.__code__, Globals(Owner(), other))
    for _ in range(100):  # past the point where CPython specialises the code, which both share
        assert fn(-3) == -1 and twin(-3) == 8
    other["FACTOR"] = 6.0
    assert twin(-3) == 9 and fn(-3) == -1
