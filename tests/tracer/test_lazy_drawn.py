"""Drawn programs of recorded operations, looks, writes and gradients against define-by-run itself, in a few lines and as DeZero has it."""
from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer.functions as F
from tracer import Variable, no_grad


# ---- drawn programs against define-by-run itself
class Eager:
    """Define-by-run in a few lines: every operation at once, gradients by a tape of closures."""

    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = data, parents, None

    def backward(self):
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            v, done = stack.pop()
            if done:
                order.append(v)
            elif id(v) not in seen:
                seen.add(id(v))
                stack.append((v, True))
                stack += [(p, False) for p, _ in v.parents]
        grads = {id(self): np.ones_like(self.data)}
        for v in reversed(order):
            g = grads.get(id(v))
            if not v.parents:
                v.grad = g if v.grad is None else v.grad + g
            for p, rule in v.parents:
                grads[id(p)] = grads.get(id(p), 0) + rule(g)


def e_mul(x, y):
    a, b = x.data.copy(), y.data.copy()
    return Eager(a * b, ((x, lambda g: g * b), (y, lambda g: g * a)))


def e_add(x, y):
    return Eager(x.data + y.data, ((x, lambda g: g), (y, lambda g: g)))


def e_tanh(x):
    t = np.tanh(x.data)
    return Eager(t, ((x, lambda g: g * (1 - t * t)),))


NAMES = ("mul", "add", "tanh", "look", "drop", "write", "rebind", "backward", "clear", "update")
ACTIONS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 7), st.integers(0, 7)), min_size=3, max_size=30)


@given(ACTIONS)
def test_drawn_programs_are_define_by_run(actions):
    rng = np.random.default_rng(0)
    ours = [Variable(rng.uniform(0.5, 1.0, 2)) for _ in range(3)]
    theirs = [Eager(v.data.copy()) for v in ours]
    count = 3
    leaves = list(zip(ours, theirs))
    for action, i, j in actions:
        i, j = i % len(ours), j % len(ours)
        v, e = ours[i], theirs[i]
        if action == "mul":
            ours.append(v * ours[j])
            theirs.append(e_mul(e, theirs[j]))
        elif action == "add":
            ours.append(v + ours[j])
            theirs.append(e_add(e, theirs[j]))
        elif action == "tanh":
            ours.append(F.tanh(v))
            theirs.append(e_tanh(e))
        elif action == "look":
            np.testing.assert_allclose(v.data, e.data, rtol=1e-12)
        elif action == "drop" and i >= count:
            del ours[i], theirs[i]
        elif action == "backward":
            v.backward()
            e.backward()
        elif action == "clear":
            for a, b in leaves:
                a.cleargrad()
                b.grad = None
        elif i < count:
            if action == "write":
                v.data[j % 2] = 0.75
                e.data = e.data.copy()
                e.data[j % 2] = 0.75
            elif action == "rebind":
                v.data = np.array([0.25, 0.5])
                e.data = np.array([0.25, 0.5])
            elif action == "update":
                v.data *= 0.9
                e.data = e.data * 0.9
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10)


KINDS = ("mul", "add", "tanh", "power", "quiet", "look", "alias", "through", "rebind", "update", "backward", "retain", "clear")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_drawn_programs_with_aliases_are_dezeros(dezero, actions):
    """Whoever holds an array and writes into it whenever: values and gradients are DeZero's, which computes at once."""
    functions, rng = importlib.import_module("dezero.functions"), np.random.default_rng(0)
    start = [rng.uniform(0.5, 1.0, 2) for _ in range(3)]
    sides = [
        (Variable, F, no_grad, [Variable(a.copy()) for a in start], []),
        (dezero.Variable, functions, dezero.no_grad, [dezero.Variable(a.copy()) for a in start], []),
    ]
    for action, i, j in actions:
        for _, f, quietly, held, aliases in sides:
            v, w = held[i % len(held)], held[j % len(held)]
            if action == "mul":
                held.append(v * w)
            elif action == "add":
                held.append(v + w)
            elif action == "tanh":
                held.append(f.tanh(v))
            elif action == "power":
                held.append(v**2)  # held as well: DeZero retains the gradients of what nobody can ask for, and counts them again
                held.append(held[-1] * 0.5)
            elif action == "quiet":
                with quietly():
                    held.append(v * 0.5 + w)
            elif action == "look":
                v.data.sum()
            elif action == "alias":
                aliases.append(v.data)
            elif action == "through" and aliases:
                aliases[i % len(aliases)][j % 2] = 0.25 * (j + 1) / 10
            elif action == "rebind":
                v.data = np.array([0.25, 0.5])
            elif action == "update":
                v.data *= 0.9
            elif action in ("backward", "retain") and v.creator is not None:
                v.backward(retain_grad=action == "retain")
            elif action == "clear":
                v.cleargrad()
    for a, b in zip(sides[0][3], sides[1][3]):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10)
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.data, b.grad.data, rtol=1e-10)


@pytest.mark.parametrize("steps", [200])
def test_the_training_loop_is_dezeros(steps, dezero):
    results = []
    for kind, f in ((Variable, F), (dezero.Variable, importlib.import_module("dezero.functions"))):
        rng = np.random.default_rng(3)
        x = rng.random((30, 1))
        y = np.sin(2 * np.pi * x) + rng.random((30, 1))
        W1, b1, W2, b2 = (kind(a) for a in (rng.normal(size=(1, 10)), np.zeros(10), rng.normal(size=(10, 1)), np.zeros(1)))
        shown = []
        for i in range(steps):
            loss = f.mean_squared_error(y, f.linear(f.sigmoid(f.linear(x, W1, b1)), W2, b2))
            for p in (W1, b1, W2, b2):
                p.cleargrad()
            loss.backward()
            for p in (W1, b1, W2, b2):
                p.data -= 0.2 * p.grad.data
            if i % 50 == 0:
                shown.append(float(loss.data))
        results.append(shown + [p.data for p in (W1, b1, W2, b2)])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
