"""Texts of stand-ins: shown they describe, anywhere else they are refused, since the letters of a number hang on the number."""
from __future__ import annotations

import io
import logging
import sys

import numpy as np
import pytest

import tracer
from tracer import Variable
from tracer import functions as F

X = np.array([3.0, 1.0, 2.0])
READ = {
    "len of repr": lambda x: x * len(repr(x)), "len of str": lambda x: x * len(str(x[0])), "f-string": lambda x: x * len(f"{x} is x"),
    "percent": lambda x: x * len("%s" % x), "format": lambda x: x * len("{}".format(x[0])),  # noqa: UP031, UP032
    "join": lambda x: x * len(",".join(map(str, x))), "array2string": lambda x: x * len(np.array2string(x)),
    "compared": lambda x: x * (repr(x) == "array([3., 1., 2.])"), "letters": lambda x: x if "1." in f"{x!r}" else -x,
    "a number": lambda x: x * float(str(x.sum())), "inside print's neighbour": lambda x: [print("here"), x * len(str(x))][1],
    "a Variable": lambda x: x * len(str(Variable(x))), "of a mask": lambda x: x * len(str(x > 1)),
    "an error kept": lambda x: x * len(str(ValueError(x))),
    "the bytes that it takes": sys.getsizeof,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_text_that_is_read_is_refused(name):
    with pytest.raises(tracer.TraceError, match="not known while tracing") as caught:
        tracer.compile(READ[name])(X)
    assert caught.value.line.file == __file__ and caught.value.mend


def told(x):
    print(x)
    print(f"x is {x}", str(x[0]), file=sys.stderr)
    print(
        "over lines",
        [x, {"x": x}],
    )
    logging.getLogger("told").warning("log %s", x)
    logging.getLogger("told").warning(f"log {x}")
    assert x.shape == (3,), f"no {x}"
    return x * 2


def test_a_text_that_is_shown_describes(capsys, caplog):
    fast = tracer.compile(told)
    for k in (1.0, 2.0, 3.0):
        assert (fast(X * k) == X * k * 2).all()
    out, err = capsys.readouterr()
    assert out == "<traced f64[3]>\nover lines [<traced f64[3]>, {'x': <traced f64[3]>}]\n"
    assert err.startswith("x is <traced f64[3]> <traced f64[]>\n")
    assert [r.getMessage() for r in caplog.records] == ["log <traced f64[3]>"] * 2


def test_an_error_of_the_users_may_describe():
    class Wrong(Exception):
        pass

    def raises(x):
        if x.ndim == 1:
            raise Wrong(f"{x} has one axis")

    def asserts(x):
        assert x.ndim == 2, f"{x} has one axis"

    with pytest.raises(Wrong, match="<traced f64"):
        tracer.compile(raises)(X)
    with pytest.raises(AssertionError, match="<traced f64"):
        tracer.compile(asserts)(X)
    with pytest.raises(tracer.TraceError):
        tracer.compile(lambda x: x if str(x) else -x)(X)


def test_objects_of_the_users_that_hold_one():
    class Layer:
        def __init__(self, x):
            self.x = x

        def __repr__(self):
            return f"Layer({self.x})"

    def prints(x, file):
        print(Layer(x), file=file)
        return x

    file = io.StringIO()
    tracer.compile(lambda x: prints(x, file))(X)
    assert file.getvalue() == "Layer(<traced f64[3]>)\n"
    with pytest.raises(tracer.TraceError, match="a text"):
        tracer.compile(lambda x: x * len(repr(Layer(x))))(X)


def test_a_number_gives_its_own_text():
    fast = tracer.compile(lambda x, n: x * len(repr(n)) + len(f"{n}{n!r}{[n]}"))
    for n in (0.5, 12.25, 7, 0.5):
        assert (fast(X, n) == X * len(repr(n)) + len(f"{n}{n!r}{[n]}")).all()
    assert fast.explain().traces == 3  # one for each text


def test_code_without_a_file():
    space = {"F": F}
    exec("def shows(x):\n    print(x)\n    return x * 2\ndef reads(x):\n    return x * len(str(x))", space)
    assert (tracer.compile(space["shows"])(X) == X * 2).all()
    with pytest.raises(tracer.TraceError, match="a text"):
        tracer.compile(space["reads"])(X)
