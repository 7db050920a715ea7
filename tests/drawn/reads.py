"""Expressions of a drawn program: each draws the text of one.

LookupError means that nothing fits; an illegal expression is found when NumPy runs it.
"""

from __future__ import annotations

import numpy as np

from tests.drawn.draw import Draw, Name

FLOATING = (
    "sin({x})", "cos({x})", "tanh({x})", "arctan({x})", "exp(-np.abs({x}))", "sqrt(np.abs({x}))", "log1p(np.abs({x}))", "expm1({x} * 0.5)",
    "exp({x})", "log({x})", "sqrt({x})", "sinh({x})", "cosh({x})", "arcsin(np.tanh({x}))", "log2(np.abs({x}) + 1)", "exp2({x})",
    "cbrt({x})",
    "arcsinh({x})", "arctanh({x} * 0.25)", "log10(np.abs({x}) + 0.5)", "sinc({x})", "deg2rad({x})", "tan({x} * 0.5)",
)  # fmt: skip
ANY = (
    "negative({x})", "abs({x})", "square({x})", "sign({x})", "positive({x})", "conj({x})", "real({x})", "imag({x})", "isnan({x})",
    "isfinite({x})", "logical_not({x})", "copy({x})", "array({x}, like={x})", "asarray({x}, like={x})", "zeros_like({x})", "ones_like({x})",
    "full_like({x}, 0.5)", "nan_to_num({x})", "reciprocal({x} + 3)", "signbit({x}.real)", "angle({x})", "isinf({x})", "zeros_like({x}) * 1",
)  # fmt: skip
ROUNDING = ("floor({x})", "ceil({x})", "trunc({x})", "rint({x})", "round({x}, 1)", "round({x})", "fix({x})")
BINARY = ("+", "-", "*", "+", "-", "*", "/", "//", "%", "<", ">=", "==", "!=", ">", "<=", "&", "|", "^", "**")
TWO = (
    "maximum({x}, {y})", "minimum({x}, {y})", "arctan2({x}, {y})", "hypot({x}, {y})", "copysign({x}, {y})",
    "logaddexp({x}, {y})", "power(np.abs({x}) + 0.5, {y})", "fmax({x}, {y})", "fmin({x}, {y})", "add({x}, {y})", "multiply({x}, {y})",
    "subtract({x}, {y})", "true_divide({x}, {y})", "logical_and({x}, {y})", "logical_xor({x}, {y})", "isclose({x}, {y})",
    "greater({x}, {y})",
    "fmod({x}, {y})", "divmod({x}, {y})[1]", "float_power(np.abs({x}) + 1, {y})", "remainder({x}, {y})",
    "floor_divide({x}, {y})", "left_shift({x}, np.abs({y}) % 3)",
)  # fmt: skip
REDUCTIONS = ("sum", "sum", "mean", "max", "min", "prod", "std", "var", "any", "all", "ptp", "nansum", "nanmean", "average",
              "count_nonzero", "linalg.norm")  # fmt: skip
PLACES = ("argmax", "argmin")
SHAPES = (
    "{x}.T", "np.ravel({x})", "{x}.reshape(-1)", "{x}.reshape({x}.shape[::-1])", "np.flip({x})", "np.squeeze({x})", "{x}[None]",
    "{x}[..., None]", "np.broadcast_to({x}, (2, *{x}.shape))", "np.atleast_2d({x})", "np.roll({x}, 1)", "np.tile({x}, 2)", "{x}.copy()",
    "np.repeat({x}, 2)", "np.expand_dims({x}, (0, -1))", "{x}.flatten()", "{x}.reshape(-1, 1)", "{x}.reshape(2, -1)", "{x}.mT",
    "np.rot90({x})", "np.swapaxes({x}, 0, -1)", "np.moveaxis({x}, 0, -1)", "np.diagonal({x})", "np.tril({x})", "np.triu({x}, 1)",
    "np.diag({x})", "np.pad({x}, 1)", "np.pad({x}, 1, mode='edge')", "np.diff({x})", "np.trace({x})", "np.fliplr({x})", "np.flipud({x})",
    "np.roll({x}, -2, axis=0)", "np.repeat({x}, [2], axis=-1)", "np.array_split({x}, 2)[0]", "np.split({x}, [1, 2], axis=-1)[1]",
    "{x}.reshape({x}.shape[::-1], order='F')", "np.ravel({x}, order='F')", "{x}.swapaxes(-1, 0)", "np.atleast_1d({x})", "{x}.T.reshape(-1)",
    "np.broadcast_arrays({x}, {x}[None])[0]", "np.meshgrid({x}, {x})[1]", "np.unstack({x})[0]", "np.delete({x}, 0, axis=0)",
    "np.insert({x}, 0, 1, axis=0)", "np.append({x}, {x})", "np.tri({x}.shape[0]) * {x}", "np.rollaxis({x}, -1)",
)  # fmt: skip
PRODUCTS = (
    "{x} @ {y}", "{x} @ {y}.T", "{x}.T @ {y}", "np.dot({x}, {y})", "np.dot({x}, {y}.T)", "np.inner({x}, {y})", "np.outer({x}, {y})",
    "np.tensordot({x}, {y}, 1)", "np.vdot({x}, {y})", "np.matmul({x}, {y})", "{x}.dot({y})", "np.kron({x}, {y})", "np.vecdot({x}, {y})",
    "np.tensordot({x}, {y}, ([0], [0]))", "np.cross({x}, {y})", "data(F.matmul({x}, {y}))", "data(F.linear({x}, {y}))",
    "np.matmul({x}.mT, {y})",
    "np.linalg.multi_dot([{x}, {y}, {y}])",
)  # fmt: skip
LIBRARY = (
    "data(F.exp({x} * 0.5))", "data(F.sigmoid({x}))", "data(F.tanh({x}))", "data(F.relu({x}))", "data(F.sum({x}))", "data(F.sin({x}))",
    "data(F.square({x}))", "data(F.clip({x}, -1, 1))",
    "data(F.reshape({x}, (-1,)))", "data(F.transpose({x}))", "data(F.sum({x}, axis=0))", "data(F.max({x}, axis=-1))",
    "data(F.average({x}))", "data(F.sqrt(np.abs({x})))",
    "data(F.broadcast_to({x}, (2, *{x}.shape)))", "data(F.get_item({x}, 0))", "data(F.pow({x}, 3))", "data(F.neg({x}))",
    "data(F.sum_to({x}, {x}.shape[1:]))",
    "data(Tripled()({x}))", "halved({x})", "halved({x}, by=4)", "pair({x})[0]", "pair({x})[1]",
)  # fmt: skip


def _template(draw: Draw, templates: tuple[str, ...], kinds: str = "fiubc", least: int = 0) -> str:
    return draw.one(templates).format(x=draw.array(kinds, least=least).text)


def function(draw: Draw) -> str:
    """A function of one array."""
    kind = draw.rng.random()
    if kind < 0.6:
        return "np." + _template(draw, FLOATING)
    return "np." + (_template(draw, ROUNDING, "fiub") if kind < 0.7 and not draw.smooth else _template(draw, ANY))


def binary(draw: Draw) -> str:
    """An operator between two that broadcast, in either order, numbers among them."""
    x = draw.array()
    y = draw.operand(x.shape)
    one, two = (x.text, y) if draw.chance(0.7) else (y, x.text)
    op = draw.one(BINARY)
    if op == "**" and draw.chance(0.5):
        return f"{x.text} ** {draw.one(('2', '3', '0.5', '2.0', '-1', '1', '0'))}"
    if op == "**":
        return f"(np.abs({one}) + 0.5) ** {two}"
    return f"{one} {op} {two}"


def two(draw: Draw) -> str:
    """A ufunc or function of two."""
    x = draw.array()
    y = draw.operand(x.shape)
    one, other = (x.text, y) if draw.chance(0.7) else (y, x.text)
    return "np." + draw.one(TWO).format(x=one, y=other)


def reduction(draw: Draw) -> str:
    """A reduction, as a function or a method, over one axis, several, or all."""
    x = draw.array()
    name = draw.one(REDUCTIONS)
    keep = ", keepdims=True" if draw.chance(0.3) else ""
    more = ", ddof=1" if name in ("std", "var") and draw.chance(0.3) else ""
    if name in ("sum", "mean", "max", "prod", "std") and draw.chance(0.4):
        return f"{x.text}.{name}({draw.axis(x)}{keep.replace(', ', ', ')}{more})"
    if name == "sum" and draw.chance(0.2):
        return f"np.sum({x.text}, axis={draw.axis(x)}, where={x.text} > 0)"
    return f"np.{name}({x.text}, axis={draw.axis(x)}{keep}{more})"


def place(draw: Draw) -> str:
    """argmax, sort, cumulative sums and their kin."""
    x = draw.array(least=1)
    axis = draw.axis(x, none=False)
    return draw.one((
        f"np.argmax({x.text}, axis={axis})", f"np.argmin({x.text}, axis={axis}, keepdims=True)", f"np.argmax({x.text})",
        f"np.sort({x.text}, axis={axis})", f"np.sort({x.text}, axis=None)", f"np.argsort({x.text}, axis={axis}, kind='stable')",
        f"np.cumsum({x.text}, axis={axis})", f"np.cumsum({x.text})",
        f"np.take_along_axis({x.text}, np.argsort({x.text}, axis={axis}), axis={axis})",
        f"np.add.reduce({x.text}, axis={axis})", f"np.maximum.reduce({x.text}, axis={axis})", f"np.add.accumulate({x.text}, axis={axis})",
        f"np.multiply.reduce({x.text}, axis={axis})", f"np.add.outer({x.text}, {x.text})",
    ))  # fmt: skip


def shape(draw: Draw) -> str:
    """A view or copy of another shape."""
    return _template(draw, SHAPES, least=draw.one((0, 1, 2)))


def index(draw: Draw) -> str:
    """Elements at an index."""
    x = draw.array(least=1)
    kind = draw.rng.random()
    if kind < 0.75:
        return f"{x.text}[{draw.key(x.shape)}]"
    if kind < 0.85:
        if not x.shape[0]:
            return f"{x.text}[()]"
        at = draw.index(x.shape[0])
        return f"np.take({x.text}, {at if x.text in draw.traced else 0}, axis=0)"
    if kind < 0.9:
        return f"np.take({x.text}, {draw.one(([0, 0], [1, 9], [-1]))}, mode={draw.one(('wrap', 'clip'))!r})"
    return f"{x.text}[{draw.key(x.shape, fancy=False)}][{draw.one(('::-1', '...', '0', '1:'))}]"


def choice(draw: Draw) -> str:
    """where, clip, select and comparisons under them."""
    x = draw.array()
    y, z = draw.operand(x.shape), draw.operand(x.shape)
    mask = f"{x.text} > {draw.number() if draw.chance(0.5) else 0}"
    if draw.chance(0.3) and not draw.smooth:
        mask = draw.like(x.shape, "b").text
    return draw.one((
        f"np.where({mask}, {y}, {z})", f"np.where({mask}, {x.text}, {z})", f"np.clip({x.text}, -1, 1)", f"np.clip({x.text}, {y}, {z})",
        f"np.select([{mask}, {x.text} < -1], [{y}, {z}], 0)", f"np.where({x.text} > 0, np.sqrt(np.abs({x.text})), {z})",
        f"np.clip({x.text}, None, 0.5)", f"{x.text}.clip(0, 1)", f"np.where({mask}, {y}, {x.text})", f"({mask}) * {x.text}",
        f"np.choose(({mask}) * 1, [{x.text}, {z}], mode='clip')", f"np.sum({x.text}, where={mask})",
        f"np.nan_to_num(np.where({mask}, np.nan, {y}))",
    ))  # fmt: skip


def join(draw: Draw) -> str:
    """concatenate, stack and their kin."""
    x = draw.array()
    if draw.chance(0.5):
        y = draw.name(lambda n: isinstance(n.value, (np.ndarray, np.generic)) and n.shape == x.shape)
    else:
        y = Name(f"{x.text} * 2", x.value)
    axis = draw.axis(x, none=False)
    return draw.one((
        f"np.concatenate([{x.text}, {y.text}], axis={axis})", f"np.stack([{x.text}, {y.text}], axis={axis})",
        f"np.hstack(({x.text}, {y.text}))",
        f"np.vstack([{x.text}, {y.text}, {x.text}])", f"np.stack([{y.text}, {x.text}])", f"np.column_stack(({x.text}, {y.text}))",
        f"np.concatenate([{x.text}, {y.text}], axis=None)", f"np.block([[{x.text}, {y.text}]])", f"np.dstack([{x.text}, {y.text}])",
        f"np.concatenate([{x.text}[:1], {y.text}[1:]])", f"np.array([{x.text}, {y.text}], like={x.text})",
    ))  # fmt: skip


def product(draw: Draw) -> str:
    """A product of matrices and vectors."""
    x = draw.array(least=1, kinds="fc" if draw.chance(0.8) else "fiubc")
    template = draw.one(PRODUCTS)
    y = draw.name(lambda n: isinstance(n.value, np.ndarray) and 1 <= n.ndim <= 3 and bool(set(n.shape) & set(x.shape)))
    if draw.chance(0.1):
        y = x
    return template.format(x=x.text, y=y.text)


def library(draw: Draw) -> str:
    """The library's own functions, custom functions, helpers."""
    x = draw.array("f", least=draw.one((0, 1)))
    if draw.chance(0.2):
        y = draw.operand(x.shape, "f")
        return draw.one((f"added({x.text}, {y})", f"data(Mixed()({x.text}, {y}))", f"data(F.mean_squared_error({x.text}, {y}))",
        f"data(F.add({x.text}, {y}))",
                         f"data(F.maximum({x.text}, {y}))", f"data(F.where({x.text} > 0, {x.text}, {y}))"))  # fmt: skip
    return draw.one(LIBRARY).format(x=x.text)


def cast(draw: Draw) -> str:
    """Another dtype: floats to integers only where the value fits whatever the data."""
    x = draw.array()
    to = draw.one(("np.float32", "np.float64", "float", "np.float16", "complex", "np.complex64", "bool", "'>f8'", "int", "np.int8",
    "np.uint8"))
    if to in ("int", "np.int8", "np.uint8"):
        low = 0 if to == "np.uint8" else -9
        return f"np.nan_to_num(np.clip({x.text}, {low}, 9)).astype({to})" if x.kind == "f" else f"{x.text}.astype({to})"
    return f"{x.text}.astype({to})" if draw.chance(0.8) else f"np.asarray({x.text}, dtype={to}, like={x.text})"


def fresh(draw: Draw) -> str:
    """An array that comes from nothing, or from a shape."""
    x = draw.array()
    n = x.shape[0] if x.shape else 2
    return draw.one((
        f"np.zeros({x.text}.shape)", f"np.ones({x.shape}, np.float32)", f"np.arange({n})", f"np.arange({n}, dtype=float) * {draw.number()}",
        f"np.eye({n})", f"np.linspace(0, 1, {n})", f"np.full({x.shape}, {draw.number()})", "np.array([1.0, 2.0, 3.0])",
        f"np.zeros({n}, like={x.text})",
        f"np.zeros({x.shape}) + {x.text}", f"np.full_like({x.text}, {draw.number()})", f"np.identity({n}) - {x.text}",
        f"np.float64({draw.constant()})",
    ))  # fmt: skip


def number(draw: Draw) -> str:
    """A Python number, or a NumPy scalar."""
    x = draw.array(least=1)
    return draw.one((
        f"{draw.number()} * 2", f"{draw.number()} + 1", f"-{draw.number()}", f"{x.text}.shape[0] * {draw.number()}", f"len({x.text}) + 1",
        f"{draw.number()} ** 2", f"abs({draw.number()})", f"{draw.number()} / 4", f"max({draw.number()}, 1)", f"float({draw.number()})",
        f"{draw.number()} // 2", f"{draw.number()} % 3", f"np.sqrt(abs({draw.number()}))", f"np.sin({draw.number()})", f"{x.text}.size",
        f"{draw.number()} > 1", f"int({draw.number()})", f"{x.text}.ndim + {draw.number()}", f"round({draw.number()}, 1)",
        f"np.float32({draw.number()})", f"np.asarray({draw.number()})", f"np.maximum({draw.number()}, {draw.number()})",
    ))  # fmt: skip


def refused(draw: Draw) -> str:
    """What is known not to be traced."""
    x = draw.array("f", least=1)
    return draw.one((
        f"{x.text}[{x.text} > 0]", f"np.cumprod({x.text}, axis=0)", f"np.maximum.accumulate({x.text})", f"np.partition({x.text}, 0)",
        f"np.median({x.text})", f"np.i0({x.text})", f"np.fmod({x.text}, 2)", f"np.ediff1d({x.text})", f"np.heaviside({x.text}, 1)",
        f"np.einsum('i...->i...', {x.text})", f"np.unique({x.text})", f"np.nextafter({x.text}, 1)",
        f"np.gcd(3, {x.text}.shape[0] + {x.text} // 1)", f"np.nanmax({x.text})",
        f"np.array({x.text})", f"np.array([{x.text}, {x.text}])", f"np.choose(({x.text} > 0) * 1, [{x.text}, 0])",
        f"float({x.text}[0])", f"np.nonzero({x.text})[0]",
    ))  # fmt: skip


READS = (
    (function, 14), (binary, 18), (two, 6), (reduction, 10), (place, 5), (shape, 12), (index, 10), (choice, 6), (join, 4), (product, 6),
    (library, 5), (cast, 4), (fresh, 3), (number, 5), (refused, 0.1),
)  # fmt: skip
SMOOTH = tuple([(make, weight) for make, weight in READS if make not in (cast, fresh, refused)])  # no dtypes are named: see smooth.py
