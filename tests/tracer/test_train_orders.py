"""Parameters in Fortran's order: they stay so where their gradients lie so too, and follow gradients that lie in C order."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer
from tracer import Variable
from tracer import functions as F
from tracer.optimizers import SGD, Adam

SHAPE = (160, 120)  # more bytes than what may be packed


class Given(tracer.Function):
    """A number whose slope by `p` is `g`."""

    def forward(self, p: Any, g: Any) -> Any:
        return p[0, 0] * 0.0

    def backward(self, gy: Any) -> Any:
        return gy * self.inputs[1], None


def stepped(optimizer: Any, order: str, way: str, **options: Any) -> tuple[Any, Variable]:
    """A train step over one parameter in that order after three iterations."""
    rng = np.random.default_rng(0)
    p, g = [np.array(a, order=order) for a in rng.standard_normal((2, *SHAPE))]
    held = Variable(p)
    step = tracer.train_step(lambda g: Given()(held, g), optimizer, [held], **options)
    if way == "run":
        step.run(g, steps=3)
    else:
        for k in range(3):
            step(g)
            if way == "rebound" and k == 0:
                held.data = np.array(held.data, order="C")
    return step, held


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("way", ["step", "run", "rebound"])
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.01)], ids=["sgd", "momentum", "adam"])
def test_they_stay_so_and_have_the_same_bits(optimizer: Any, way: str, exact: bool) -> None:
    _, due = stepped(optimizer, "C", "step", exact=exact)
    step, held = stepped(optimizer, "F", way, exact=exact)
    assert held.data.tobytes() == due.data.tobytes()
    if way != "rebound" or not exact:
        assert held.data.flags.fnc and all(v.memory().flags.fnc for v in step._trained.kept(held).values())


def test_they_follow_a_product_into_c_order() -> None:
    x = np.random.default_rng(0).standard_normal((8, SHAPE[0]))

    def trained(order: str) -> Any:
        W = Variable(np.array(np.ones(SHAPE), order=order))
        tracer.train_step(lambda x: F.sum(F.tanh(x @ W)), Adam(0.01), [W]).fit([x] * 3)
        return W.data

    assert trained("F").flags.c_contiguous
    np.testing.assert_allclose(trained("F"), trained("C"), rtol=1e-12)


def test_arrays_given_as_parameters() -> None:
    p, g = np.asfortranarray(np.ones(SHAPE)), np.asfortranarray(np.full(SHAPE, 2.0))
    step = tracer.train_step(lambda p, g: Given()(p, g), SGD(0.25), p)
    step(g)
    np.testing.assert_array_equal(step.params, np.full(SHAPE, 0.5))
    np.testing.assert_array_equal(p, np.ones(SHAPE))
