"""Optimizers and schedules: against torch.optim where it is installed, against their formulas in NumPy, and what they refuse."""
from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import tracer
from ir.planning.packs import root
from tracer import Variable, optimizers
from tracer.optimizers import SGD, Adam, AdamW, Cosine, Optimizer, RMSprop, StepDecay, Warmup

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))


def loss(params, a, b):
    return np.mean((np.tanh(a @ params["W"]) + params["c"] - b) ** 2)


def start(dtype=np.float64):
    rng = np.random.default_rng(1)
    return {"W": rng.normal(size=(3, 2)).astype(dtype), "c": rng.normal(size=2).astype(dtype)}


def gradients(params):
    """By hand."""
    t = np.tanh(A @ params["W"])
    d = 2 * (t + params["c"] - B) / B.size
    return {"W": A.T @ (d * (1 - t**2)), "c": d.sum(0)}


def ours(optimizer, steps=12, dtype=np.float64):
    step = tracer.train_step(loss, optimizer, start(dtype))
    for _ in range(steps):
        step(A.astype(dtype), B.astype(dtype))
    return step


# ---- against PyTorch
CASES = {
    "sgd": (lambda: SGD(0.1), lambda t, p: t.SGD(p, lr=0.1)),
    "sgd decay": (lambda: SGD(0.1, weight_decay=0.03), lambda t, p: t.SGD(p, lr=0.1, weight_decay=0.03)),
    "momentum": (
        lambda: SGD(0.1, momentum=0.9, weight_decay=0.03), lambda t, p: t.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.03),
    ),
    "nesterov": (
        lambda: SGD(0.1, 0.8, nesterov=True, weight_decay=0.02),
        lambda t, p: t.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02),
    ),
    "adam": (lambda: Adam(0.05), lambda t, p: t.Adam(p, lr=0.05)),
    "adam decay": (
        lambda: Adam(0.05, (0.8, 0.95), 1e-3, weight_decay=0.1),
        lambda t, p: t.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    ),
    "adamw": (lambda: AdamW(0.05), lambda t, p: t.AdamW(p, lr=0.05)),
    "adamw decay": (lambda: AdamW(0.05, weight_decay=0.2), lambda t, p: t.AdamW(p, lr=0.05, weight_decay=0.2)),
    "rmsprop": (lambda: RMSprop(0.02), lambda t, p: t.RMSprop(p, lr=0.02)),
    "rmsprop all": (
        lambda: RMSprop(0.02, 0.9, 1e-4, momentum=0.7, centered=True, weight_decay=0.05),
        lambda t, p: t.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, momentum=0.7, centered=True, weight_decay=0.05),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_as_pytorch(case, dtype):
    torch = pytest.importorskip("torch", reason="torch is compared with where it is installed; the formulas are tested below")
    make, make_theirs = CASES[case]
    theirs = {k: torch.tensor(v, requires_grad=True) for k, v in start(dtype).items()}
    optimizer = make_theirs(torch.optim, list(theirs.values()))
    a, b = torch.tensor(A.astype(dtype)), torch.tensor(B.astype(dtype))
    for _ in range(12):
        optimizer.zero_grad()
        ((torch.tanh(a @ theirs["W"]) + theirs["c"] - b) ** 2).mean().backward()
        optimizer.step()
    found = ours(make(), 12, dtype).params
    for name in found:
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name], theirs[name].detach().numpy(), rtol=1e-9 if dtype is np.float64 else 2e-4, atol=1e-6)


@pytest.mark.parametrize("limit", [0.05, 100.0])
def test_clipping_as_pytorch(limit):
    torch = pytest.importorskip("torch", reason="torch is compared with where it is installed; the formula is tested below")
    theirs = {k: torch.tensor(v, requires_grad=True) for k, v in start().items()}
    optimizer = torch.optim.Adam(theirs.values(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        ((torch.tanh(torch.tensor(A) @ theirs["W"]) + theirs["c"] - torch.tensor(B)) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(theirs.values(), limit)
        optimizer.step()
    found = ours(Adam(0.05, clip_norm=limit), 5).params
    np.testing.assert_allclose(found["W"], theirs["W"].detach().numpy(), rtol=1e-4)  # it divides by norm + 1e-6


# ---- against the formulas
def by_hand(rule, steps=12):
    params, kept = start(), {"W": {}, "c": {}}
    for t in range(1, steps + 1):
        grads = gradients(params)
        params = {name: rule(t, params[name], grads[name], kept[name]) for name in params}
    return params


def momentum(t, p, g, kept):
    g = g + 0.03 * p
    v = kept["v"] = 0.9 * kept.get("v", 0) + g
    return p - 0.1 * v


def nesterov(t, p, g, kept):
    v = kept["v"] = 0.9 * kept.get("v", 0) + g
    return p - 0.1 * (g + 0.9 * v)


def adam(t, p, g, kept, l2=0.0, decoupled=0.0):
    g = g + l2 * p
    m = kept["m"] = 0.9 * kept.get("m", 0) + 0.1 * g
    v = kept["v"] = 0.999 * kept.get("v", 0) + 0.001 * g**2
    return p * (1 - 0.05 * decoupled) - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def rmsprop(t, p, g, kept):
    s = kept["s"] = 0.99 * kept.get("s", 0) + 0.01 * g**2
    a = kept["a"] = 0.99 * kept.get("a", 0) + 0.01 * g
    v = kept["v"] = 0.5 * kept.get("v", 0) + g / (np.sqrt(s - a**2) + 1e-8)
    return p - 0.01 * v


FORMULAS = {
    "momentum": (lambda: SGD(0.1, 0.9, weight_decay=0.03), momentum),
    "nesterov": (lambda: SGD(0.1, 0.9, nesterov=True), nesterov),
    "adam": (lambda: Adam(0.05), adam),
    "adam L2": (lambda: Adam(0.05, weight_decay=0.1), lambda *a: adam(*a, l2=0.1)),
    "adamw": (lambda: AdamW(0.05, weight_decay=0.3), lambda *a: adam(*a, decoupled=0.3)),
    "rmsprop": (lambda: RMSprop(0.01, momentum=0.5, centered=True), rmsprop),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_formulas(case):
    make, rule = FORMULAS[case]
    found, due = ours(make()).params, by_hand(rule)
    for name in due:
        np.testing.assert_allclose(found[name], due[name], rtol=1e-9)


@pytest.mark.parametrize("case", [*FORMULAS, "clip", "schedule"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_run_is_so_many_steps_to_the_bit(case, dtype):
    extra = {"clip": lambda: SGD(0.1, 0.9, clip_norm=0.05), "schedule": lambda: Adam(Warmup(5, Cosine(0.1, 9)), clip_norm=1)}
    make = extra.get(case) or FORMULAS[case][0]
    a, b = A.astype(dtype), B.astype(dtype)
    called, ran = tracer.train_step(loss, make(), start(dtype)), tracer.train_step(loss, make(), start(dtype))
    losses = [called(a, b) for _ in range(14)]
    found = np.concatenate([ran.run(a, b, steps=n) for n in (1, 4, 0, 9)])
    np.testing.assert_array_equal(found, losses)
    for name, array in called.params.items():
        np.testing.assert_array_equal(array, ran.params[name])
    for kind, tree in called.state.items():
        for name, array in tree.items():
            assert array.dtype == dtype
            np.testing.assert_array_equal(array, ran.state[kind][name])
    assert called.iteration == ran.iteration == 14 and called.explain().traces == 1


def test_clipping_by_the_norm_of_all():
    limit = 0.05
    before, grads = start(), gradients(start())
    norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
    assert norm > limit
    step = ours(SGD(1.0, clip_norm=limit), 1)
    for name, after in step.params.items():
        np.testing.assert_allclose(before[name] - after, grads[name] * limit / norm, rtol=1e-9)
    plain, loose = ours(SGD(1.0), 5), ours(SGD(1.0, clip_norm=1e6), 5)
    np.testing.assert_allclose(plain.params["W"], loose.params["W"], rtol=1e-14)


def test_clipping_keeps_dtypes():
    params = {"W": start()["W"].astype(np.float32), "c": start()["c"]}
    step = tracer.train_step(loss, SGD(0.1, 0.9, clip_norm=0.01), params)
    step(A, B)
    assert step.params["W"].dtype == np.float32 and step.params["c"].dtype == np.float64
    assert step.state["velocity"]["W"].dtype == np.float32


# ---- schedules
def test_a_schedule_is_asked_for_each_iteration():
    asked = []

    def rate(iteration):
        asked.append(iteration)
        return 0.1 / (1 + iteration)

    step = tracer.train_step(lambda p: np.sum(p), SGD(rate), np.zeros(2))
    asked.clear()
    for _ in range(3):
        step()
    np.testing.assert_allclose(step.params, -0.1 * (1 + 1 / 2 + 1 / 3))
    step.run(steps=2)
    np.testing.assert_allclose(step.params, -0.1 * (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5))
    assert sorted(set(asked)) == [0, 1, 2, 3, 4] and step.explain().traces == 1
    step.optimizer.lr = 0.0  # a number in its place, and the other way round
    before = step.params
    step()
    np.testing.assert_array_equal(step.params, before)
    step.optimizer.lr = StepDecay(1.0, every=6, factor=0.5)
    step()
    np.testing.assert_allclose(step.params, before - 0.5)  # the seventh
    step.iteration = 0
    step()
    np.testing.assert_allclose(step.params, before - 1.5)
    assert step.explain().traces == 1


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_schedule_that_gives_no_rate(bad):
    step = tracer.train_step(lambda p: np.sum(p), SGD(lambda k: 0.1 if k < 2 else bad), np.zeros(2))
    step(), step()
    before = step.params
    for call in (step, lambda: step.run(steps=3)):
        with pytest.raises(tracer.ArgumentError, match="iteration 2"):
            call()
    np.testing.assert_array_equal(step.params, before)
    assert step.iteration == 2


def test_schedules_against_their_formulas():
    for k in range(25):
        assert Cosine(0.3, 20, 0.1)(k) == pytest.approx(0.1 + 0.1 * (1 + math.cos(math.pi * min(k, 20) / 20)))
        assert StepDecay(0.3, 7, 0.5)(k) == pytest.approx(0.3 * 0.5 ** (k // 7))
        assert Warmup(5, 0.3)(k) == pytest.approx(0.3 * min(1, (k + 1) / 5))
        assert Warmup(5, Cosine(0.3, 20))(k) == pytest.approx(0.3 * (k + 1) / 5 if k < 5 else Cosine(0.3, 20)(k - 5))


@pytest.mark.parametrize("make", [lambda: Cosine(0.1, 0), lambda: StepDecay(0.1, every=0), lambda: Warmup(-1, 0.1)])
def test_bad_schedules(make):
    with pytest.raises(tracer.ArgumentError, match="1 or more"):
        make()


def test_a_number_that_is_branched_on_and_changes():
    class Stepwise(Optimizer):
        def scalars(self, iteration):
            return {"lr": self.lr, "late": float(iteration >= 2)}

        def update(self, parameter, gradient, state, scalars):
            return (parameter - scalars["lr"] * gradient if scalars["late"] > 0.5 else parameter), {}

    step = tracer.train_step(lambda p: np.sum(p), Stepwise(1.0), np.zeros(2))
    for due in (0, 0, -1, -2):
        step()
        np.testing.assert_array_equal(step.params, due)  # a guard: the branch is taken anew
    step.iteration = 1
    with pytest.raises(tracer.ArgumentError, match="changes from one iteration"):
        step.run(steps=3)
    np.testing.assert_array_equal(step.params, -2)


# ---- options
def test_numbers_can_be_set_between_steps():
    step = tracer.train_step(loss, SGD(0.1, 0.9, weight_decay=0.5, clip_norm=9), start())
    step(A, B)
    for name, value in [("momentum", 0.5), ("weight_decay", 1e-3), ("clip_norm", 1e-9)]:
        setattr(step.optimizer, name, value)
        assert getattr(step.optimizer, name) == value
    step.state = {"velocity": {"W": np.zeros((3, 2)), "c": np.zeros(2)}}
    before = step.params
    step(A, B)
    np.testing.assert_allclose(step.params["W"], before["W"] * (1 - 0.1 * 1e-3), rtol=1e-8)
    assert step.explain().traces == 1
    adam = Adam()
    adam.betas = 0.5, 0.6
    assert (adam.beta1, adam.beta2) == (0.5, 0.6)


@pytest.mark.parametrize("name, value", [("momentum", 0), ("weight_decay", 0.1), ("clip_norm", 1.0), ("clip_norm", None)])
def test_a_term_can_neither_come_nor_go(name, value):
    optimizer = SGD(0.1, 0.9, clip_norm=2.0 if value is None else None)
    with pytest.raises(tracer.ArgumentError, match="make a new optimizer"):
        setattr(optimizer, name, value)


@pytest.mark.parametrize(
    "make, word",
    [(lambda: SGD(momentum=-0.1), "momentum"), (lambda: SGD(nesterov=True), "nesterov"), (lambda: SGD(weight_decay=float("nan")), "weight"),
     (lambda: SGD(clip_norm=0), "clip_norm"), (lambda: SGD(clip_norm=-1), "clip_norm"), (lambda: Adam(betas=(0.9, 1.0)), "beta2"),
     (lambda: Adam(betas=0.9), "betas"), (lambda: Adam(eps=-1), "eps"), (lambda: RMSprop(alpha=2), "alpha"), (lambda: AdamW(lr="x"), "lr"),
     (lambda: SGD(momentum="x"), "momentum"), (lambda: SGD(lr=True), "lr"), (lambda: SGD(lr=SGD), "lr")],
)  # fmt: skip
def test_bad_options(make, word):
    with pytest.raises(tracer.ArgumentError, match=word) as error:
        make()
    assert "mend" in str(error.value)


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, nesterov=True, clip_norm=2), Adam(Cosine(0.1, 5)), AdamW(), RMSprop(centered=True)])
def test_optimizers_print_copy_and_pickle(optimizer):
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)), eval(repr(optimizer), vars(optimizers))):
        assert repr(twin) == repr(optimizer) and twin.scalars(3) == optimizer.scalars(3)


def test_complex_parameters():
    target = np.array([1 + 2j, -1j])

    def distance(p):
        return np.sum(np.abs(p - target) ** 2)

    step = tracer.train_step(distance, SGD(0.25, clip_norm=100.0), np.zeros(2, complex))
    losses = step.run(steps=40)
    assert losses[-1] < 1e-12 * losses[0]
    np.testing.assert_allclose(step.params, target, atol=1e-6)
    with pytest.raises(tracer.ArgumentError, match="complex"):
        tracer.train_step(distance, Adam(), np.zeros(2, complex))()


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_floats_keep_their_dtype(dtype):
    step = tracer.train_step(lambda p: np.sum(p * p), Adam(0.125), np.ones(3, dtype))
    assert type(step()) is dtype
    assert step.params.dtype == dtype and step.state["v"].dtype == dtype
    assert (step.params < 1).all()


def test_optimizers_of_the_users_must_name_their_state():
    class Wrong(Optimizer):
        def state(self, parameter):
            return {"a": np.zeros_like(parameter)}

        def update(self, parameter, gradient, state, scalars):
            return parameter, {"b": gradient}

    with pytest.raises(tracer.ArgumentError, match="'b'") as error:
        tracer.train_step(lambda p: np.sum(p), Wrong(), np.zeros(2))()
    assert "Wrong" in str(error.value)


def test_a_state_of_another_shape_than_its_parameter():
    class Counting(Optimizer):
        def state(self, parameter):
            return {"sum": np.zeros(()), "rows": np.zeros(parameter.shape[:1])}

        def update(self, parameter, gradient, state, scalars):
            total = state["sum"] + np.sum(gradient)
            return parameter - scalars["lr"] * gradient, {"sum": total, "rows": state["rows"] + gradient.sum(1)}

    W = Variable(np.ones((2, 3)))
    step = tracer.train_step(lambda: np.sum(W.data), Counting(0.1), [W])
    step.run(steps=3)
    assert step.state["sum"][0] == 18
    np.testing.assert_array_equal(step.state["rows"][0], [9, 9])


def test_a_checked_run_follows_the_schedule():
    checked = tracer.train_step(loss, Adam(Cosine(0.1, 5)), start(), check=True)
    plain = tracer.train_step(loss, Adam(Cosine(0.1, 5)), start())
    np.testing.assert_array_equal(checked.run(A, B, steps=3), plain.run(A, B, steps=3))


# ---- the learning rate of plain SGD goes through the backward pass
def test_plain_sgd_passes_over_no_parameter_for_its_rate():
    step = tracer.train_step(loss, SGD(0.1), start())
    (subtracted,) = {root(new).node for _, new in step.plan(A, B).graph.updates}  # both parameters at once
    assert subtracted.op.name == "subtract"
    joined = subtracted.operands[1].node
    assert joined.op.name == "concatenate" and "multiply" not in [root(v).node.op.name for v in joined.operands]


def test_a_subclass_with_an_update_of_its_own_gets_the_gradient_as_it_is():
    class Half(SGD):
        def update(self, parameter, gradient, state, scalars):
            return parameter - 0.5 * scalars["lr"] * gradient, {}

    want = {k: start()[k] - 0.05 * g for k, g in gradients(start()).items()}
    got = ours(Half(0.1), steps=1).params
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-12)


def test_in_half_precision_a_small_rate_is_not_lost_on_the_way():
    """6e-8 is the smallest float16: the rate over the batch size would be zero."""
    x, w = np.full((100, 1), 8.0, np.float16), np.ones((1, 1), np.float16)
    step = tracer.train_step(lambda p, x: np.mean(x @ p), SGD(1e-6), w)
    step(x)
    assert step.params == w - np.float16(1e-6) * np.float16(8.0)
    step = tracer.train_step(lambda p, x: np.mean(x @ p), SGD(1e-3), w)
    step(x)
    assert step.params < w
