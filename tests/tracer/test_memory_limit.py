"""`memory_limit` of compile, train_step and their transforms: the same bits in fewer bytes, or an error before anything runs."""
from __future__ import annotations

import numpy as np
import pytest

import tracer
from ir.plan import Region
from tracer import functions as F
from tracer.sizes import bytes_of


def deep(x):
    for _ in range(30):
        x = np.tanh(x)
    return np.sum(x)


X = np.linspace(-1, 1, 1000)
STEP = tracer.grad(deep)


def network(params, x, y):
    for w, b in params:
        x = F.sigmoid(x @ w + b)
    return np.mean((x - y) ** 2)


def data():
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((16, 16)), np.zeros(16)) for _ in range(6)], *rng.standard_normal((2, 400, 16))


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"check": True}, {"audit": True}])
def test_the_same_bits_in_fewer_bytes(options):
    free, tight = tracer.compile(STEP, **options), tracer.compile(STEP, memory_limit="100 kB", **options)
    assert free.plan(X).peak_bytes > 200_000 and tight.plan(X).peak_bytes <= 100_000
    assert np.array_equal(free(X), tight(X)) and np.array_equal(tight(X), free(X))


def test_a_limit_too_low_is_refused_before_anything_runs():
    ran = []

    def loss(x):
        return np.sum(x) + tracer.functions.sum(deep(x)) if not ran.append(1) else x

    tight = tracer.compile(tracer.grad(loss), memory_limit="9 kB")
    with pytest.raises(tracer.MemoryLimitError, match="9,000 bytes") as caught:
        tight(X)
    error = caught.value
    assert error.floor_bytes <= error.smallest_bytes and error.smallest_bytes > 9000 and len(error.largest) == 3
    assert all(line is not None and line.code for _, _, line in error.largest)
    assert tight.explain().traces == 0
    with pytest.raises(MemoryError):
        tight.plan(X)


def test_what_a_region_holds_is_said_in_the_users_shape():
    """Chains of elementwise operations run over their arrays as one axis."""
    tight = tracer.compile(lambda x: np.exp(x) * 2 + 1, memory_limit=1000)
    with pytest.raises(tracer.MemoryLimitError, match=r"2,520,000 bytes: result 0: blocks f32\[700,900\]"):
        tight(np.ones((700, 900), np.float32))


@pytest.mark.parametrize("optimizer", [tracer.optimizers.SGD(lr=0.1), tracer.optimizers.Adam()])
def test_training_under_a_limit(optimizer):
    params, x, y = data()
    free = tracer.train_step(network, optimizer, params)
    limit = int(0.7 * free.plan(x, y).peak_bytes)
    tight = tracer.train_step(network, optimizer, params, memory_limit=limit)
    assert tight.plan(x, y).peak_bytes <= limit
    assert [free(x, y) for _ in range(3)] == [tight(x, y) for _ in range(3)]
    assert np.array_equal(free.run(x, y, steps=4), tight.run(x, y, steps=4))
    for a, b in zip(free.params, tight.params):
        assert all(np.array_equal(u, v) for u, v in zip(a, b))


def test_a_transform_of_a_compiled_function_has_its_limit():
    limited = tracer.grad(tracer.compile(deep, memory_limit=50_000))
    assert limited._compiled.plan(X).peak_bytes <= 50_000 and np.array_equal(limited(X), STEP(X))


def test_methods_have_the_limit():
    class Model:
        scale = 2.0

        @tracer.compile(memory_limit="1MB")
        def call(self, x):
            return x * self.scale

    assert Model().call.plan(X).memory_limit == 1_000_000


def test_explain_says_what_is_computed_again():
    tight = tracer.compile(STEP, memory_limit="64KiB")
    tight(X)
    text = str(tight.explain())
    assert "memory_limit 65536: " in text and "computed again" in text and "np.tanh(x)" in text and "saved" in text


def test_a_function_that_returns_a_variable_is_refused():
    w = tracer.Variable(np.ones(3))
    with pytest.raises(tracer.ArgumentError, match="memory_limit"):
        tracer.compile(lambda x: w * x, memory_limit="1GB")(np.ones(3))


@pytest.mark.parametrize(
    "size, bytes",
    [("200MB", 200 * 10**6), ("200MiB", 200 << 20), ("1.5GiB", 3 << 29), ("10 kB", 10_000), ("64KiB", 65536), (" 12 ", 12),
     ("1_000B", 1000), (np.int64(7), 7), (0, 0), (None, None)],
)  # fmt: skip
def test_sizes(size, bytes):
    assert bytes_of(size) == bytes


@pytest.mark.parametrize("size", ["", "MB", "200 parsecs", "-1", "1e6", "0x10", "1mb", "１MB", -1, True, 2.5, [1], b"1MB"])
def test_what_is_no_size(size):
    with pytest.raises(tracer.ArgumentError, match="memory_limit"):
        tracer.compile(deep, memory_limit=size)


def test_blocks_get_shorter():
    """Where nothing but the buffers of blocks is held, shorter ones take less; what they add up is the same but for rounding."""

    def spread(x):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        return np.sum(np.log(np.sum(e, axis=1)) * np.mean(x * e, axis=1))

    x = np.random.default_rng(0).uniform(-2, 2, (4096, 256))
    free = tracer.compile(spread)
    tight = tracer.compile(spread, memory_limit=free.plan(x).peak_bytes // 8)
    plan = tight.plan(x)
    assert plan.target.shorter > 1 and plan.peak_bytes <= plan.memory_limit and isinstance(plan.steps[0], Region)
    np.testing.assert_allclose([tight(x), free(x)], spread(x), rtol=1e-12)


def test_without_regions_where_that_takes_less():
    """A region gives all its results together; one by one some can be let go and computed again."""

    def loss(weights, x):
        for w in weights:
            x = np.tanh(x @ w)
        return np.mean(x * x)

    rng = np.random.default_rng(0)
    weights, x = [rng.uniform(-1, 1, (96, 96)) / 5 for _ in range(4)], rng.uniform(-1, 1, (4096, 96))
    free = tracer.compile(tracer.value_and_grad(loss))
    assert any(isinstance(step, Region) for step in free.plan(weights, x).steps)
    with pytest.raises(tracer.MemoryLimitError) as caught:
        tracer.compile(tracer.value_and_grad(loss), memory_limit=1)(weights, x)
    smallest = caught.value.smallest_bytes
    seen = set()
    for limit in (smallest, smallest * 3 // 2, free.plan(weights, x).peak_bytes):
        fast = tracer.compile(tracer.value_and_grad(loss), memory_limit=limit)
        plan = fast.plan(weights, x)
        seen.add(any(isinstance(step, Region) for step in plan.steps))
        assert plan.peak_bytes <= limit
        for got, want in zip(*[[value, *grads] for value, grads in (fast(weights, x), free(weights, x))], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    assert True in seen
