"""Reads and writes at an index, through views of views, against NumPy: drawn programs and stories of five lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.errors import Error
from tests.tracer.twins import agree, replay, same
from tracer.tracing.trace import run_trace


# ---- drawn indices
@st.composite
def slices(draw: Any, n: int) -> slice:
    bound = st.none() | st.integers(-n - 2, n + 2)
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3, -1, -2])))


@st.composite
def keys(draw: Any, shape: tuple[int, ...], arrays: bool) -> tuple[Any, ...]:
    """An index for such a shape: ints, slices, None, one ellipsis; with `arrays` integer arrays and masks too."""
    used = draw(st.integers(0, len(shape)))
    dotted = draw(st.booleans())
    split = draw(st.integers(0, used)) if dotted else used
    axes = [*range(split), *range(len(shape) - (used - split), len(shape))]
    common = draw(st.sampled_from([(), (1,), (3,), (2, 3)])) if arrays else ()
    items: list[Any] = []
    for position, axis in enumerate(axes):
        if dotted and position == split:
            items.append(Ellipsis)
        if draw(st.integers(0, 5)) == 0:
            items.append(None)
        n = shape[axis]
        choices = ["slice"] + (["int"] if n else []) + (["array", "mask"] if arrays and n else [])
        kind = draw(st.sampled_from(choices))
        if kind == "slice":
            items.append(draw(slices(n)))
        elif kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "mask":
            count = common[-1] if common else 1
            mask = np.zeros(n, bool)
            mask[: min(count, n)] = True
            items.append(mask if count <= n else np.full(common or (1,), 0))
        else:
            items.append(
                np.array(draw(st.lists(st.integers(-n, n - 1), min_size=int(np.prod(common)), max_size=int(np.prod(common))))).reshape(
                    common
                )
            )
    if dotted and len(axes) == split:
        items.append(Ellipsis)
    return tuple(items)


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


def legal(act: Any) -> bool:
    try:
        act()
    except (IndexError, ValueError, TypeError):
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reads(data: Any) -> None:
    shape = data.draw(shapes())
    key = data.draw(keys(shape, True))
    if legal(lambda: numbers(shape)[key]):
        agree(lambda x: x[key], numbers(shape))
    else:
        with pytest.raises((Error, IndexError, ValueError)):
            agree(lambda x: x[key], numbers(shape))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_writes(data: Any) -> None:
    shape = data.draw(shapes())
    key = data.draw(keys(shape, True))
    if not legal(lambda: numbers(shape)[key]):
        return
    place = numbers(shape)[key].shape
    value = data.draw(st.sampled_from([7.5, 3, "whole", "row", "ones"]))
    if value == "whole":
        value = -numbers(place)
    elif value == "row":
        value = -numbers(place[-1:])
    elif value == "ones":
        value = -numbers((1, 1, *place)) if place else 8.0

    if not legal(lambda: numbers(shape).__setitem__(key, value)):
        return

    def assigned(x: Any) -> None:
        x[key] = value

    def added(x: Any) -> Any:
        x[key] += 1.5
        return x[key] * 2

    agree(assigned, numbers(shape))
    agree(lambda x, v: x.__setitem__(key, v), numbers(shape), value)
    agree(added, numbers(shape))


def _views(draw: Any, shape: tuple[int, ...]) -> list[Any]:
    """A drawn chain of view operations: pairs of a name and its argument."""
    chain: list[Any] = []
    x = numbers(shape)
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["index", "T", "reshape", "ravel", "swapaxes", "expand", "squeeze", "flip"]))
        argument: Any = None
        if name == "index":
            argument = draw(keys(x.shape, False))
        elif name == "reshape":
            argument = draw(st.sampled_from([(-1,), x.shape[::-1], (1, *x.shape), (2, -1)]))
            if not legal(lambda: x.reshape(argument)):  # noqa: B023
                continue
        elif name == "swapaxes" and x.ndim < 2:
            continue
        chain.append((name, argument))
        x = np.asarray(_step(x, name, argument))
        if x.ndim == 0:
            break
    return chain


def _step(x: Any, name: str, argument: Any) -> Any:
    match name:
        case "index":
            return x[argument]
        case "T":
            return x.T
        case "reshape":
            return x.reshape(argument)
        case "ravel":
            return np.ravel(x)
        case "swapaxes":
            return np.swapaxes(x, 0, -1)
        case "expand":
            return np.expand_dims(x, (0, -1))
        case "squeeze":
            return np.squeeze(x)
    return np.flip(x)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_views_of_views(data: Any) -> None:
    """A write through a chain of views is seen in the base and in every view between, exactly where NumPy has views and not copies."""
    shape = data.draw(shapes())
    chain = _views(data.draw, shape)
    turned = data.draw(st.sampled_from(["C", "F", "step", "product"]))
    how = data.draw(st.sampled_from(["set", "iadd", "fill", "out"]))

    def program(x: Any) -> Any:
        base = x * 2.0 if turned == "product" else x
        seen = [base]
        for name, argument in chain:
            seen.append(_step(seen[-1], name, argument))
        last = seen[-1]
        if last.ndim:
            if how == "set":
                last[...] = 100.0
            elif how == "iadd":
                last += np.ones(last.shape)
            elif how == "fill":
                last.fill(3.0)
            else:
                np.multiply(last, 3.0, out=last)
        return [v.copy() for v in seen], base.sum()

    x = numbers(shape)
    if turned == "F":
        x = np.asfortranarray(x)
    if turned == "step":
        x = numbers((*shape[:-1], 2 * shape[-1]))[..., ::2]
    if turned == "product":
        x = x.T
        if not legal(lambda: program(x.copy(order="K"))):
            return
    from_outside = np.lib.stride_tricks.as_strided(x.copy(order="K") if turned != "step" else x, x.shape)
    agree_strided(program, from_outside)


def agree_strided(program: Any, x: np.ndarray) -> None:
    """`agree` for an argument whose strides count (deepcopy would make it contiguous)."""

    def twin() -> np.ndarray:
        wide = np.zeros([max(1, n) * 2 for n in x.shape])
        base = np.lib.stride_tricks.as_strided(wide, x.shape, x.strides) if x.size else x.copy(order="K")
        base[...] = x
        return base

    a, b = twin(), twin()
    want = program(a)
    traced = run_trace(program, (b,), {})
    same(b, x, 0.0, "tracing must leave the argument alone")
    same(replay(traced, [b]), want, 1e-12, "result")
    same(b, a, 1e-12, "argument afterwards")


# ---- stories
def test_another_name_sees_the_write() -> None:
    def story(x: Any) -> Any:
        y = x
        y += 1.0
        return x * 2.0

    traced = agree(story, np.arange(3.0))
    assert traced.writes == {0: 1}


def test_a_copy_does_not_see_a_later_write() -> None:
    def story(x: Any) -> Any:
        y = x.copy()
        x[0] = 9.0
        return y, x

    agree(story, np.arange(3.0))


def test_a_scalar_is_no_view() -> None:
    def story(x: Any) -> Any:
        a, b = x[0], x[1, ...]
        total = x.sum()
        kept = total
        total += 1
        x += 10
        return a, b, total, kept

    agree(story, np.arange(3.0))


def test_swaps() -> None:
    def story(x: Any) -> Any:
        x[0], x[1] = x[1].copy(), x[0].copy()
        x[:, 0], x[:, 1] = x[:, 1], x[:, 0]

    agree(story, numbers((3, 3)))


def test_overlap_is_read_before_it_is_written() -> None:
    def story(x: Any) -> Any:
        x[1:] = x[:-1]
        x[:-1] += x[1:]

    agree(story, np.arange(6.0))


def test_traced_integers_and_masks() -> None:
    def story(x: Any, k: Any, i: Any, m: Any) -> Any:
        y = x.copy()
        y[k] += 5.0
        y[i] = -1.0
        y[i, 0] += 1.0
        y[m] = 0.5
        y[x > 6] = -2
        row = y[k]
        row += 1
        return y, x[k], x[i], x[i, 1], y[:, i]

    agree(story, numbers((3, 4)), np.int64(1), np.array([0, 2, 0]), np.array([True, False, True]))


def test_add_at_counts_repeated_indices() -> None:
    def story(x: Any, i: Any) -> Any:
        np.add.at(x, i, 1.0)
        np.add.at(x, [0, 0], np.array([2.0, 3.0]))
        np.subtract.at(x, (slice(0, 2),), 1)

    agree(story, np.zeros(4), np.array([1, 1, 3]))


def test_filling_a_buffer() -> None:
    def story(x: Any) -> Any:
        out = np.zeros((3, 2), like=x)
        for i, row in enumerate(x):
            out[i] = row * i
        buffer = np.empty_like(x)
        np.copyto(buffer, x)
        np.add(x, 1, out=buffer, where=x > 2)
        return out, buffer

    agree(story, numbers((3, 2)))


def test_the_functions_that_write() -> None:
    def story(x: Any, m: Any) -> Any:
        y, z, w, v, u = (x.copy() for _ in range(5))
        np.putmask(y, m, -1)
        np.place(z, m, np.array([7.0, 8.0]))
        np.put(w, [0, -1], [5, 6])
        np.fill_diagonal(v, 0)
        np.put_along_axis(u, np.argmax(u, axis=1, keepdims=True), 99, axis=1)
        x.sort(axis=0)
        return y, z, w, v, u

    agree(story, numbers((3, 3))[::-1].copy(), np.arange(9).reshape(3, 3) % 2 == 0)


def test_dtypes_of_places_stay() -> None:
    def story(x: Any, n: Any) -> Any:
        n[0] = 2.9
        n[1:] = x[1:].astype(np.float32)
        x[0] = True
        n += np.int8(1)

    agree(story, np.arange(3.0), np.arange(3))
