"""Regions run by one fork, and chains over flat views: the same values and bits for any number of workers, in any shapes and orders."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer
from ir.plan import Plan, Region
from tests.drawn.regions import tiny

SHAPES = ((9, 5), (3, 2, 4), (40,), (7, 1), (1, 11))


def regions(plan: Plan) -> list[Region]:
    return [step for step in plan.steps if isinstance(step, Region)]


def arrays(order: str, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    made = [rng.uniform(0.5, 2, shape) for shape in SHAPES]
    if order == "strided":
        return [np.repeat(a, 2, axis=-1)[..., ::2] for a in made]
    return [np.array(a, order=order) for a in made]  # type: ignore[call-overload]


def chain(x: Any) -> Any:
    return np.sqrt(np.exp(x) * x + 1) / x


def apart(*xs: Any) -> Any:
    return tuple([chain(x) for x in xs])


def one_after_the_other(*xs: Any) -> Any:
    """Each reads what the one before gives: none of them may run beside it."""
    total, found = 0.0, []
    for x in xs:
        total = np.sum(chain(x) * total + x)
        found.append(total)
    return tuple(found)


@pytest.mark.parametrize("fn", [apart, one_after_the_other])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_values_and_bits(fn: Callable[..., Any], order: str) -> None:
    xs, bits = arrays(order), set()
    for workers in (1, 2, 8):
        with tiny(workers):
            fast = tracer.compile(fn)
            got = fast(*xs)
        bits.add(b"".join([np.asarray(a).tobytes() for a in got]))
        for a, b in zip(got, fn(*xs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)
    assert len(bits) == 1


def test_what_is_apart_runs_together_on_one_axis() -> None:
    with tiny(2):
        found = regions(tracer.compile(apart).plan(*arrays("C")))
        mixed = regions(tracer.compile(lambda x, y: np.exp(x) * y + x).plan(np.ones((9, 5)), np.asfortranarray(np.ones((9, 5)))))
    assert len(found) == len(SHAPES) and [r.follows for r in found] == [False, True, True, True, True]
    assert {r.private for r in found} == {found[0].private} and all(r.scales for r in found)
    assert sorted([r.size for r in found]) == [7, 11, 24, 40, 45]
    assert len(mixed) == 1 and not mixed[0].scales


def test_what_reads_another_comes_behind_it() -> None:
    with tiny(2):
        found = regions(tracer.compile(one_after_the_other).plan(*arrays("C")))
    assert len(found) > 1 and not any(r.follows for r in found)


def test_workers_of_each_fork_have_buffers_of_their_own() -> None:
    """Two forks in one plan: what the first has in place of its regions' own buffers must not be taken for the second's."""

    def twice(x: Any, y: Any) -> Any:
        a, b = chain(x + x), chain(y)
        return a, b, *[chain(z + a[-1] * b[-1]) for z in (x, y)]

    given, bits = [np.linspace(0.5, 2, 3000), np.linspace(0.5, 2, 2000)], set()
    for workers in (1, 2, 8):
        with tiny(workers, block_elements=20):
            fast = tracer.compile(twice)
            bits.update([b"".join([a.tobytes() for a in fast(*given)]) for _ in range(5)])
            plan = fast.plan(*given)
        for a, b in zip(fast(*given), twice(*given), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        assert len({buffer.id for buffer in plan.buffers}) == len(plan.buffers)
    assert len(bits) == 1
    assert [r.follows for r in regions(plan)].count(True) > 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_update_of_many_tensors_is_one_fork(order: str) -> None:
    """Adam over tensors of different shapes: as by hand, whatever the number of workers."""
    grads = arrays(order, 1)

    def loss(params: Any, grads: Any) -> Any:
        return sum([np.sum(p * g) for p, g in zip(params, grads)])

    made = []
    for workers in (1, 2, 8):
        with tiny(workers, pack_bytes=0):
            step = tracer.train_step(loss, tracer.optimizers.Adam(0.1), arrays(order))
            for _ in range(3):
                step(grads)
            made.append([np.array(p) for p in step.params])
            together = [r for r in regions(step.plan(grads)) if r.node.outputs[0].spec.shape in SHAPES]
    assert sum([r.follows for r in together]) == len(SHAPES) - 1
    held = [(p, np.zeros_like(p), np.zeros_like(p)) for p in arrays(order)]
    for t in range(1, 4):
        for (p, m, v), g in zip(held, grads):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g * g
            p -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    for params in made:
        for a, b, (p, _, _) in zip(params, made[0], held):
            assert a.tobytes() == b.tobytes()
            np.testing.assert_allclose(a, p, rtol=1e-9)
