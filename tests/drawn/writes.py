"""Statements of a drawn program that write: through views, at repeated indices, under masks, with `out=`; swaps; loops and branches."""

from __future__ import annotations

import numpy as np

from tests.drawn.draw import Draw, Name


def _target(draw: Draw, kinds: str = "fiubc", least: int = 1, *, plain: bool = False) -> Name:
    """An array to write into; `plain`: also one that is no traced array, and takes no traced value."""

    def accepts(n: Name) -> bool:
        array = isinstance(n.value, np.ndarray) and n.ndim >= least and n.kind in kinds and n.value.flags.writeable
        return array and (n.text in draw.traced or (plain and not draw.is_closed(n.value)))

    return draw.name(accepts)


def _value(draw: Draw, x: Name, shape: tuple[int, ...]) -> str:
    """Something to be written into such a place: fits x's dtype whatever the data."""
    if draw.chance(0.3):
        return draw.number() if x.kind in "fc" else draw.one(("1", "2", "0", "True"))
    y = draw.name(
        lambda n: hasattr(n.value, "dtype") and _goes_into(n.shape, shape) and (x.text in draw.traced or n.text not in draw.traced)
    )
    if x.kind in "iu" and y.kind == "f":
        return f"np.nan_to_num(np.clip({y.text}, 0, 9))"
    if x.kind != "c" and y.kind == "c":
        return f"{y.text}.real" if x.kind in "fb" else "3"
    return y.text


def _goes_into(one: tuple[int, ...], place: tuple[int, ...]) -> bool:
    return len(one) <= len(place) and all(a in (1, b) for a, b in zip(reversed(one), reversed(place)))


def _of(x: Name, key: str) -> tuple[int, ...] | None:
    """The shape at a key, where it can be known without running the program."""
    try:
        return eval(f"x[{key}].shape", {"x": x.value, "np": None})
    except Exception:
        return None


def setitem(draw: Draw) -> str:
    """`x[key] = value`."""
    x = _target(draw, least=0, plain=True)
    key = draw.key(x.shape)
    shape = _of(x, key)
    return f"{x.text}[{key}] = {_value(draw, x, shape if shape is not None else ())}"


def augmented(draw: Draw) -> str:
    """`x[key] += value` and its kin, on views that are looked at again later."""
    x = _target(draw, "fiuc", least=0)
    key = draw.key(x.shape)
    shape = _of(x, key)
    op = draw.one("+-*") if x.kind in "iu" else draw.one(("+", "-", "*", "/", "**"))
    value = _value(draw, x, shape if shape is not None else ())
    if op == "**":
        value = "2"
    if x.kind in "iu":
        value = f"{draw.one((1, 2, 3))}"
    return f"{x.text}[{key}] {op}= {value}"


def whole(draw: Draw) -> str:
    """`x += value`: into x's memory for arrays, a new thing for scalars and numbers."""
    x = draw.name(lambda n: isinstance(n.value, (np.ndarray, np.generic)) and n.text in draw.traced)
    value = _value(draw, x, x.shape)
    op = draw.one(("+", "-", "*", "/", "//", "%", "&", "|", "@"))
    return f"{x.text} {op}= {value}"


def through_view(draw: Draw) -> str:
    """A view is kept under a name and written later: two statements in one."""
    x = _target(draw, plain=True)
    name = draw.new()
    view = draw.one((f"{x.text}[{draw.key(x.shape, fancy=False)}]", f"{x.text}.T", f"{x.text}.reshape(-1)", f"{x.text}[::-1]",
                     f"np.ravel({x.text})", f"{x.text}.swapaxes(0, -1)", f"np.atleast_2d({x.text})", f"{x.text}[None, ...]",
                     f"{x.text}.reshape({x.shape[::-1]})", f"{x.text}.T[::-1]", f"np.squeeze({x.text})",
                     f"np.flip({x.text}, 0)"))  # fmt: skip
    act = draw.one(("{v}[...] = 2", "{v} += 1", "{v} *= 2", "{v}[0] = {v}[-1]", "{v}.fill(1)", "{v}[:] = {v}[::-1]", "{v}[::2] += 1",
                    "np.add({v}, 1, out={v})", "{v}[...] = {v} * 2", "{v}[1:] = {v}[:-1]", "{v}[1:] += {v}[:-1]"))  # fmt: skip
    return f"{name} = {view}\n{act.format(v=name)}"


def out(draw: Draw) -> str:
    """A ufunc, reduction or product with `out=`."""
    x = _target(draw, "fc")
    a, b = draw.like(x.shape, "f"), draw.operand(x.shape, "f")
    key = draw.key(x.shape, fancy=False)
    return draw.one((
        f"np.{draw.one(('add', 'multiply', 'subtract', 'maximum', 'divide'))}({a.text}, {b}, out={x.text})",
        f"np.sin({a.text}, out={x.text})",
        f"np.multiply({x.text}[{key}], 2, out={x.text}[{key}])", f"np.exp(-np.abs({x.text}), out={x.text})",
        f"np.add({a.text}, {b}, out={x.text}, where={x.text}.real > 0)", f"np.negative({x.text}, out={x.text}[::-1])",
        f"np.sum({x.text}, axis=0, out={x.text}[0])", f"np.cumsum({x.text}, axis=0, out={x.text})",
        f"np.clip({x.text}.real, -1, 1, out={x.text})",
        f"np.copyto({x.text}, {a.text}, where={x.text}.real > 0)", f"np.matmul({x.text}, {x.text}, out={x.text})",
        f"np.dot({x.text}, {x.text}.T, out={x.text})", f"np.copyto({x.text}, {b})", f"np.where({x.text} > 0, {a.text}, {b})",
    ))  # fmt: skip


def scattered(draw: Draw) -> str:
    """Writes at integer arrays, indices repeated, and `np.add.at`."""
    x = _target(draw, "fiuc")
    n = x.shape[0]
    if not n:
        return f"{x.text}[...] = 1"
    at = draw.index(n) if draw.chance(0.5) else str([draw.one(range(-n, n)) for _ in range(3)])
    return draw.one((
        f"np.add.at({x.text}, {at}, {draw.one((1, 2))})", f"np.add.at({x.text}, {at}, {x.text}[{at}])", f"{x.text}[{at}] += 1",
        f"np.subtract.at({x.text}, {at}, 1)", f"{x.text}[{at}] = {x.text}[::-1][{at}]", f"np.put({x.text}, [0, -1], [5, 6])",
        f"{x.text}[{at}, ...] *= 2", f"np.put_along_axis({x.text}, np.argmax({x.text}.real, axis=0)[None], 7, axis=0)",
        f"np.fill_diagonal({x.text}, 1)", f"{x.text}[..., {at}] = 2",
    ))  # fmt: skip


def masked(draw: Draw) -> str:
    """Writes under a mask."""
    x = _target(draw, "fiu")
    y = draw.like(x.shape, "fiu" if x.kind == "f" else "iu")
    if draw.chance(0.03):
        return f"{x.text}[{x.text} > 0] {draw.one(('+= 1', '*= 2', f'= {x.text}[{x.text} > 0]'))}"
    return draw.one((
        f"{x.text}[{x.text} > 0] = 1", f"np.putmask({x.text}, {x.text} < 0, {y.text})",
        f"{x.text}[...] = np.where({x.text} > 1, {y.text}, {x.text})",
        f"np.putmask({x.text}, {x.text} > 0, 2)", f"np.place({x.text}, {x.text} > 0, [1, 2])",
        f"{x.text}[np.isnan({x.text})] = 0", f"np.copyto({x.text}, 2, where={x.text} > 1)",
        f"{x.text}[{x.text} > 0.5] = {y.text if not y.shape else 2}",
    ))  # fmt: skip


def swap(draw: Draw) -> str:
    """Two places exchanged, with and without copies."""
    x = _target(draw, plain=True)
    i, j = (draw.one(range(-n, n)) if (n := x.shape[0]) else 0 for _ in range(2))
    return draw.one((
        f"{x.text}[{i}], {x.text}[{j}] = {x.text}[{j}], {x.text}[{i}]",
        f"{x.text}[{i}], {x.text}[{j}] = {x.text}[{j}].copy(), {x.text}[{i}].copy()",
        f"{x.text}[[{i}, {j}]] = {x.text}[[{j}, {i}]]", f"{x.text}[:] = {x.text}[::-1]", f"{x.text}[1:] = {x.text}[:-1]",
        f"{x.text}[..., 0], {x.text}[..., -1] = {x.text}[..., -1], {x.text}[..., 0]", f"{x.text}[:-1] += {x.text}[1:]", f"{x.text}.sort()",
        f"{x.text}.sort(axis=0)", f"clamp({x.text})", f"{x.text}.fill({draw.one((0, 1))})", f"{x.text}[...] = {x.text}[..., ::-1]",
    ))  # fmt: skip


def control(draw: Draw) -> str:
    """Python's own: branches on numbers, loops that fill, unpacking, helpers that write."""
    x = draw.array("f", least=1)
    name, other, k = draw.new(), draw.new(), draw.number()
    n = x.shape[0]
    return draw.one((
        f"if {k} > 1:\n    {name} = {x.text} * 2\nelse:\n    {name} = {x.text} - 1",
        f"{name} = {x.text} * 0\nfor i in range({n}):\n    {name}[i] = {x.text}[i] * {k}",
        f"{name} = {x.text}\nfor row in {x.text}:\n    {name} = {name} + row",
        f"{name}, {other} = pair({x.text})", f"{name} = {x.text}.copy()\nclamp({name})", f"{name} = 0\nwhile {name} < 3:\n    {name} += 1",
        f"{name} = {x.text} * 1\nfor i in range(3):\n    {name}[{'1:' if n > 1 else ':'}] += {name}[{':-1' if n > 1 else ':'}] * 0.5",
        f"{name} = [{x.text}, {x.text} + 1]\n{other} = {name}[0] - {name}[-1]", f"{name} = sum({x.text})",
        f"{name} = np.stack([row * 2 for row in {x.text}])", f"{name} = {{'p': {x.text}, 'q': {k}}}\n{other} = {name}['p'] * {name}['q']",
        f"{name} = (lambda u: u * {k})({x.text})", f"{name} = {x.text} if {x.text}.ndim > 1 else {x.text}[None]",
        f"{name} = {x.text} * 1\n{other} = {name}\n{other} += 1", f"{name} = {x.text} * 1\n{other} = {name}\n{other} = {other} + 1",
        f"{name} = {x.text}\nfor i in range(2):\n    {name} = np.tanh({name} + {k})",
    ))  # fmt: skip


WRITES = ((setitem, 8), (augmented, 6), (whole, 5), (through_view, 8), (out, 5), (scattered, 5), (masked, 4), (swap, 5), (control, 6))
