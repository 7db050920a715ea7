"""Stories of writes as people spell them: results, their kinds and the arguments are NumPy's in two calls of one trace, or both refuse."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer
from tests.tracer.twins import same


def ones_up(*shape: int) -> np.ndarray:
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


STORIES: list[tuple[Any, ...]] = []


def story(*args: Any) -> Any:
    def told(fn: Any) -> Any:
        STORIES.append((fn, args))
        return fn

    return told


# ---- swaps, loops, names
@story(ones_up(6))
def swaps_of_views(x: Any) -> None:
    x[0], x[1] = x[1], x[0]
    a, b = x[2:4], x[4:6]
    a[...], b[...] = b, a  # the second sees the first, as in NumPy


@story(ones_up(3), ones_up(3) * 2)
def swaps_of_names(x: Any, y: Any) -> Any:
    x, y = y, x
    x += 10
    return x, y


@story(ones_up(3, 3), ones_up(3))
def a_chain_of_targets(x: Any, y: Any) -> None:
    x[0], y[:], x[:, 1] = y, x[1], x[0, 0]


@story(ones_up(2, 2), ones_up(2, 2) * 3)
def rows_in_a_loop(x: Any, y: Any) -> None:
    for a, b in zip(x, y):
        a += b
        b[...] = a
    for row in x:
        for k in range(2):
            row[k] = row[k] * 2
    for i, v in enumerate(x):
        x[i] = v + i


@story(ones_up(4))
def several_names(x: Any) -> Any:
    y = z = x
    y += 1
    z = z + 1
    z[0] = 100
    scalar, part = x[0], x[1:2]
    scalar += 5
    part += 5
    return x, y, z, scalar, part, x.__iadd__(1)


@story(ones_up(4, 4))
def a_recurrence(x: Any) -> None:
    for i in range(1, 4):
        x[i] += x[i - 1]
        for j in range(4):
            x[i, j] = x[i, j] * 0.5 + x[i - 1, (j + 1) % 4]


# ---- views
@story(ones_up(3, 4))
def views_and_copies(x: Any) -> Any:
    v = x.T[::-1, 1:]
    w = v.reshape(2, -1)
    v[0] = -1
    w[0] = 5
    r = x.ravel()
    r[3] = 11
    q = x[:, ::2].ravel()
    q[0] = 77
    n = x[:, None, ::-2]
    n[1, 0, 0] += 4
    d = x.diagonal()
    x[1, 1] = 99
    return v, w, r, q, n, d + 0


@story(ones_up(6))
def views_of_views(x: Any) -> Any:
    v = x[1:]
    w = v[::2]
    w[1:] += 10
    v[0] = 99
    z = w.reshape(3, 1).T
    z[0, 2] = 7
    return v, w, z


@story(ones_up(2, 3, 4))
def three_axes(x: Any) -> None:
    x[..., 0] = 1
    x[:, 1][:, 2] = 5
    x[0, ..., [1, 2]] = np.zeros((2, 3))
    x.transpose(2, 0, 1)[1] *= 3
    x.swapaxes(0, 1)[0, 1] = 9
    np.moveaxis(x, 0, -1)[..., 1] += 1
    x.reshape(6, 4)[::2] = 0


@story(ones_up(4, 6))
def parts_of_a_split(x: Any) -> None:
    a, b = np.hsplit(x, 2)
    a += 1
    a, b = np.vsplit(x, 2)
    b *= 2
    np.array_split(x, 3)[2][...] = 9


@story(ones_up(3, 3))
def turned_onto_itself(x: Any) -> None:
    x.T[0] += x[0]
    x += x.T
    x -= x[0]
    x *= x[:, :1]
    x[1:] += x[:-1]
    x[:, :-1] = x[:, 1:]
    x[::-1] = x
    x[...] = x[::-1].T


# ---- indices
@story(ones_up(4, 4), np.array([0, 2]), 1)
def index_arrays(x: Any, i: Any, k: Any) -> None:
    x[np.ix_([0, 1], [2, 3])] = 0
    x[i, :2] += 1
    x[:, i] *= 2
    x[1, i] = [5, 6]
    x[i[:, None], i] = 9
    x[i[0], 1] += 5
    x[k : k + 2] += 1
    x[-k] = x[i[1]]


@story(ones_up(6), np.array([1, 1, -4]))
def an_index_that_stands_twice(x: Any, i: Any) -> None:
    x[i] += 10.0  # once
    x[i] *= np.array([1.0, 2.0, 3.0])  # the last one counts
    x[i] = x[i] + x[i[::-1]]


@story(ones_up(3, 3))
def indices_of_triangles(x: Any) -> None:
    x[np.tril_indices(3)] = 0
    x[np.diag_indices(3)] += 1
    x[np.nonzero(np.eye(3))] *= 4
    x[[True, False, True], 1] = 7


@story(ones_up(5), np.ones(1), 2.5)
def lists_of_traced_values(x: Any, y: Any, k: Any) -> None:
    x[1:3] = [x[0], x[4]]
    x[[0, 1]] = (x[2], k)
    x[...] = [x[1], y[0], k * 2, 7, x.sum()]


@story(ones_up(3, 2))
def lists_of_rows(x: Any) -> None:
    x[:2] = [x[1], x[0]]
    x[1:] = [[x[0, 0], 2], [3, x[2, 1]]]


# ---- out=
@story(ones_up(3, 3))
def out_onto_itself(x: Any) -> None:
    np.add(x, 1, x)
    np.multiply(x, x, out=x[...])
    np.negative(x[0], out=x[1])
    np.maximum(x, 4, out=(x,))
    np.add(x[:-1], x[1:], out=x[1:])
    np.add(x.T, x, out=x)
    np.cumsum(x, axis=1, out=x)
    np.sum(x, axis=0, out=x[0])
    np.subtract(x[0], x[1], out=x[:, 0])
    x /= 100
    np.matmul(x, x, out=x)
    x.dot(x, out=x)


@story(ones_up(6))
def out_of_another_dtype(x: Any) -> Any:
    whole, mask, single = np.zeros_like(x, dtype=np.int64), np.zeros_like(x, dtype=bool), np.zeros_like(x, dtype=np.float32)
    np.multiply(x, 1.7, out=whole, casting="unsafe")
    np.greater(x, 2, out=mask)
    np.add(x, 1, out=single)
    np.divmod(x, 2, out=(x, single))
    return whole, mask, single


# ---- dtypes, shapes without elements
@story(np.arange(6, dtype=np.int32))
def integers(n: Any) -> None:
    n[0] = 3.99
    n[1:3] = [1.5, 2.5]
    n += np.int64(3)
    n *= True
    n //= 2
    n **= 2
    n[4:] = np.array([2.7, -2.7])
    n <<= 1
    n ^= 2


@story(np.array([True, False, True]))
def bools(b: Any) -> None:
    b &= np.array([True, True, False])
    b |= b[::-1]
    b ^= True
    b[0] = 3


@story(np.array(5.0))
def no_axes(x: Any) -> Any:
    x += 1
    x[...] *= 2
    x[()] += 1
    x.flat[0] = 4
    x.reshape(1)[0] = 9
    x[None][0] += 1
    return x, x[()]


@story(np.ones((2, 0, 3)), np.ones(0))
def no_elements(x: Any, y: Any) -> Any:
    x[...] = 3
    x += 1
    x[:, :, 1] *= 2
    x.T[1] = 4
    x[x > 2] = 0
    np.add.at(x, [0, 0], 1.0)
    x.flat = [1]
    y[[]] = 3
    return x.sum(), y


@pytest.mark.parametrize(("fn", "args"), STORIES, ids=[fn.__name__ for fn, _ in STORIES])
def test_as_numpy(fn: Any, args: tuple[Any, ...]) -> None:
    fast = tracer.compile(fn)
    for turn in range(2):
        mine, due = [(np.asarray(args[0] + args[0].dtype.type(turn)), *map(np.copy, args[1:2]), *args[2:]) for _ in range(2)]
        same(fast(*mine), fn(*due), 1e-13, "result")
        same(mine, due, 1e-13, "arguments")
    assert fast.explain().traces == 1


@pytest.mark.parametrize(("fn", "x"), [
    (lambda x: np.broadcast_to(x, (2, 3)).__setitem__(0, 1), np.ones(3)),
    (lambda x: np.diagonal(x).__setitem__(0, 1), np.ones((3, 3))),
    (lambda x: x.__iadd__(1.5), np.arange(4)),
    (lambda x: x[1:].__iadd__(1.5), np.arange(4)),
    (lambda x: x.__itruediv__(2), np.arange(4)),
    (lambda x: x.__setitem__(7, 1), np.ones(5)),
    (lambda x: x.__setitem__(slice(1, None), np.ones(3)), np.ones(5)),
    (lambda x: x.__setitem__(0, [x[1]]), np.ones(5)),
    (lambda x: x.__setitem__(0, 300), np.zeros(3, np.uint8)),
    (lambda x: np.add(x, np.ones((2, 3)), out=x), np.ones(3)),
    (lambda x: np.add(x, 1.5, out=x), np.arange(3)),
    (lambda x: np.copyto(x, 1.5), np.arange(3)),
])  # fmt: skip
def test_both_refuse(fn: Any, x: np.ndarray) -> None:
    mine = x.copy()
    with pytest.raises((TypeError, ValueError, IndexError, OverflowError)):
        fn(x.copy())
    with pytest.raises(tracer.Error) as caught:
        tracer.compile(fn)(mine)
    assert "test_writes_stories.py" in str(caught.value)
    same(mine, x, 0, "argument")
