"""What `explain()` says of regions: each with its operations, block and bytes; each large operation outside of them with the reason."""
from __future__ import annotations

import numpy as np

import tracer
from tests.drawn.regions import tiny


def lines(fn, *arguments, exact=False):
    """What is said of regions, without places in the file."""
    with tiny(block_elements=16):
        fast = tracer.compile(fn, exact=True) if exact else tracer.compile(fn)
        fast(*arguments)
        found = [line.strip() for line in str(fast.explain()).splitlines() if "region" in line]
    return [line.partition(" at ")[0] + ": " + line.partition(": ")[2].partition(": ")[2] if "in no" in line else line for line in found]


X = np.linspace(0, 1, 240).reshape(40, 6)


def softmax(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def test_a_region_and_its_bytes():
    """x is read and y written, each once; as single steps max reads x, subtract x and max, ... reciprocal the sums ..."""
    (text,) = lines(softmax, X)
    full, row = X.nbytes, X.nbytes // 6
    assert "max, subtract, exp, sum, reciprocal, multiply; 40 in blocks of 4; " in text
    assert f"{2 * full} bytes moved instead of {8 * full + 6 * row}; buffers of " in text


def test_left_out_with_the_reason():
    def fn(x, W, i):
        y = x - np.max(x, axis=1, keepdims=True)
        b = np.sum(y, axis=0)
        return y @ W, y - b, np.take(y, i, axis=0)

    found = lines(fn, X, np.ones((6, 5)), np.array([1, 0]))
    assert "in no region: dot: a product of which each block would read more than it multiplies" in found
    assert "in no region: take: it moves elements, or updates some, and no axis is followed through it" in found
    assert "in no region: subtract: what it reads is reduced along the axis that is cut, and its other neighbours are in no region" in found
    exact = lines(fn, X, np.ones((6, 5)), np.array([1, 0]), exact=True)
    assert "in no region: matmul: exact=True calls products whole" in exact
    exact = lines(lambda x: np.sum(softmax(x), axis=0), X, exact=True)
    assert any("in no region: sum: exact=True takes no reduction in parts" in line for line in exact)


def test_alone_and_small():
    assert lines(np.exp, X) == ["in no region: exp: none of its neighbours is cut along the same axis"]
    assert lines(lambda x: np.exp(x) * 2, np.ones(1)) == []  # nothing is large: nothing is left out
