"""Operands for every operation of the table: `cases(name, rng)` gives (operands, attributes) pairs over shapes and dtypes.

Operands are arrays (C-ordered; the tests lay them out otherwise) or Python numbers. Empty arrays, 0-d arrays, axes of size 1,
broadcasting and mixed dtypes are among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.ops import TABLE
from ir.spec import Spec

Case = tuple[list[Any], dict[str, Any]]
VIEWS = ("reshape", "transpose", "broadcast_to", "expand_dims", "squeeze", "slice")
WITHOUT = ("python", "custom", "opaque")  # no arrays; no meaning of its own; no meaning at all
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (1, 5), (5, 1), (), (0, 3), (2, 3, 4), (7,))
LOW: dict[str, float] = {"arccosh": 1.1}


def cases(name: str, rng: np.random.Generator) -> list[Case]:
    """The cases of one operation."""
    op = TABLE[name]
    if name in SPECIAL:
        return SPECIAL[name](rng)
    if op.family == "elementwise":
        return _elementwise(name, op.ufunc.nin, rng)
    assert name in REDUCTIONS, f"no cases for {name}: add them here"
    return _reductions(name, rng)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "d") -> Any:
    """An array of small values; floats lie within (0.1, 0.9), where most functions are smooth."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if kind in "iu":
        return np.asarray(rng.integers(1, 5, shape)).astype(dtype)
    values = np.asarray(rng.uniform(0.1, 0.9, shape))
    return (values + 1j * rng.uniform(-1, 1, shape)).astype(dtype) if kind == "c" else values.astype(dtype)


def _elementwise(name: str, count: int, rng: np.random.Generator) -> list[Case]:
    integers = name in ("bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift")
    dtypes = "lB?" if integers else "dfel"
    found: list[Case] = []
    for shape in SHAPES:
        found.append(([draw(rng, shape, dtypes[0]) for _ in range(count)], {}))
    for dtype in dtypes + "D":
        found.append(([draw(rng, (3, 4), dtype) for _ in range(count)], {}))
    if count > 1:
        found.append(([draw(rng, (3, 1), dtypes[0]), *[draw(rng, (4,), dtypes[0]) for _ in range(count - 1)]], {}))
        found.append(([draw(rng, (3, 4), dtypes[0]), *[draw(rng, (), dtypes[0]) for _ in range(count - 1)]], {}))
        found.append(([draw(rng, (3, 4), dtypes[0]), *[draw(rng, (3, 4), dtypes[1]) for _ in range(count - 1)]], {}))
        for small in ((4,), (), (3, 1), (1, 4)):
            found.append(([draw(rng, (3, 4), dtypes[0]), *[draw(rng, small, dtypes[1]) for _ in range(count - 1)]], {}))
            found.append(([*[draw(rng, small, dtypes[1]) for _ in range(count - 1)], draw(rng, (3, 4), dtypes[0])], {}))
        found.append(([draw(rng, (4,), dtypes[0]), *[draw(rng, (4,), dtypes[1]) for _ in range(count - 1)]], {}))
        number = 2 if integers else 0.5
        found.append(([draw(rng, (3, 4), dtypes[1]), *[number] * (count - 1)], {}))
        found.append(([*[number] * (count - 1), draw(rng, (3, 4), dtypes[0])], {}))
    return found


REDUCTIONS = ("sum", "mean", "max", "min", "prod", "any", "all", "var", "std")


def _reductions(name: str, rng: np.random.Generator) -> list[Case]:
    extra: dict[str, Any] = {"ddof": 1} if name in ("var", "std") else {}
    found: list[Case] = []
    for shape, axis in (
        ((3, 4), (0, 1)),
        ((3, 4), (0,)),
        ((3, 4), (1,)),
        ((2, 3, 4), (0, 1)),
        ((2, 3, 4), (1, 2)),
        ((2, 3, 4), (1,)),
        ((2, 3, 4), (0, 2)),
        ((5,), (0,)),
        ((), ()),
        ((3, 4), ()),
        ((5, 1), (0,)),
        ((1, 5), (0,)),
        ((100, 10), (0,)),
        ((6, 0), (0,)),
    ):
        for keepdims in (False, True):
            found.append(([draw(rng, shape)], {"axis": axis, "keepdims": keepdims, **extra}))
    if name not in ("max", "min"):
        found.append(([draw(rng, (0, 3))], {"axis": (0,), "keepdims": False, **extra}))
    for dtype in "fel?DF":
        if not (name in ("max", "min") and dtype in "DF"):
            found.append(([draw(rng, (6, 5), dtype)], {"axis": (0,), "keepdims": False, **extra}))
            found.append(([draw(rng, (6, 5), dtype)], {"axis": (0, 1), "keepdims": True, **extra}))
    if name in ("sum", "mean", "prod"):
        found.append(([draw(rng, (6, 5), "f")], {"axis": (1,), "keepdims": False, "dtype": np.dtype("d")}))
        found.append(([draw(rng, (6, 5), "i")], {"axis": (1,), "keepdims": False, "dtype": np.dtype("f")}))
    return found


def _norm(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = []
    for order in (None, 1, 2, 3, 0, 0.5, math.inf, -math.inf):
        for dtype in "dflD":
            found.append(([draw(rng, (4, 5), dtype)], {"axis": (1,), "keepdims": False, "ord": order}))
    for dtype in "dflDe":
        found.append(([draw(rng, (4, 5), dtype)], {"axis": (0, 1), "keepdims": True, "ord": None}))
    found += [
        ([draw(rng, (2, 3, 4))], {"axis": (0, 2), "keepdims": False, "ord": None}),
        ([draw(rng, ())], {"axis": (), "keepdims": False, "ord": None}),
    ]
    return found


def _products(rng: np.random.Generator) -> list[Case]:
    shapes = (
        ((3, 4), (4, 5)),
        ((3, 1), (1, 5)),
        ((4,), (4,)),
        ((3, 4), (4,)),
        ((4,), (4, 5)),
        ((3, 0), (0, 5)),
        ((0, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((1, 1), (1, 1)),
        ((20, 30), (30, 10)),
    )
    found = [([draw(rng, a), draw(rng, b)], {}) for a, b in shapes]
    found += [([draw(rng, (3, 4), p), draw(rng, (4, 5), q)], {}) for p, q in ("ff", "fd", "ll", "ld", "DD", "dD", "ee", "??", "gg")]
    return found


def _dot(rng: np.random.Generator) -> list[Case]:
    return [*_products(rng), ([draw(rng, ()), draw(rng, (3, 4))], {}), ([draw(rng, (2, 3, 4)), draw(rng, (5, 4, 2))], {})]


def _matmul(rng: np.random.Generator) -> list[Case]:
    return [*_products(rng), ([draw(rng, (2, 3, 4)), draw(rng, (2, 4, 5))], {}), ([draw(rng, (6, 1, 3, 4)), draw(rng, (2, 4, 5))], {})]


def _linear(rng: np.random.Generator) -> list[Case]:
    sizes = ((6, 3, 4), (6, 1, 4), (6, 3, 1), (0, 3, 4), (1, 1, 1), (100, 1, 10))
    found = [([draw(rng, (n, i)), draw(rng, (i, o)), draw(rng, (o,))], {}) for n, i, o in sizes]
    return found + [
        ([draw(rng, (6, 3), p), draw(rng, (3, 4), q), draw(rng, (4,), r)], {})
        for p, q, r in ("fff", "fdd", "ffd", "ddf", "lll", "DDD", "eee", "lff")
    ]


def _linear_vjp(rng: np.random.Generator) -> list[Case]:
    sizes = ((6, 3, 4), (6, 1, 4), (6, 3, 1), (0, 3, 4), (1, 1, 1), (100, 1, 10))
    found: list[Case] = [([draw(rng, (n, i)), draw(rng, (n, o))], {}) for n, i, o in sizes]
    return found + [([draw(rng, (6, 3), p), draw(rng, (6, 4), q)], {}) for p, q in ("ff", "fd", "df", "ll", "DD", "ee", "lf", "il")]


def _sigmoid(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = [([20 * draw(rng, shape) - 10], {}) for shape in SHAPES]
    found += [([np.array([-800.0, 800.0, np.nan, -0.0, np.inf, -np.inf]).astype(d)], {}) for d in "dfe"]
    return found + [([draw(rng, (3, 4), d)], {}) for d in "lD?"]


def _where(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = [([draw(rng, s, "?"), draw(rng, s), draw(rng, s)], {}) for s in SHAPES]
    found += [([draw(rng, (3, 4), "?"), draw(rng, (3, 4), p), draw(rng, (3, 4), q)], {}) for p, q in ("fd", "lf", "dD", "??")]
    odd = np.array([-0.0, np.nan, np.inf, -np.inf, 1e-310])
    for d in "defgDbL":  # large enough for the kernels that choose by bits
        x, y = np.resize(draw(rng, (3,), d), (20, 30)), draw(rng, (20, 30), d)
        if d in "defg":
            x[:5, :5] = y[3:8, 3:8] = odd.astype(d)
        mask = draw(rng, (20, 30), "?")
        found += [([mask, x, y], {}), ([mask, x, 0.0 if d in "defgD" else 0], {}), ([mask, x[:, :1], y.T.reshape(30, 20).T], {})]
    return found + [
        ([draw(rng, (3, 1), "?"), draw(rng, (4,)), 0.0], {}),
        ([draw(rng, (3, 4), "l") - 1, draw(rng, (4,)), draw(rng, ())], {}),
        ([draw(rng, (3, 4), "?"), 1, draw(rng, (3, 4), "f")], {}),
    ]


def _unary(name: str) -> Any:
    def make(rng: np.random.Generator) -> list[Case]:
        return [([draw(rng, shape)], {}) for shape in SHAPES] + [([draw(rng, (3, 4), d)], {}) for d in "fDFl?"]

    return make


def _cast(rng: np.random.Generator) -> list[Case]:
    return [([draw(rng, (3, 4), p)], {"dtype": np.dtype(q)}) for p in "dfl?" for q in "dfleD?"] + [
        ([draw(rng, ())], {"dtype": np.dtype("f")})
    ]


def _arg(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, s)], {"axis": a, "keepdims": k})
        for s, a in (((3, 4), 0), ((3, 4), 1), ((5,), 0), ((2, 3, 4), 1), ((1, 4), 0))
        for k in (False, True)
    ]


def _cumulated(rng: np.random.Generator) -> list[Case]:
    return [([draw(rng, s, d)], {"axis": a}) for s, a in (((3, 4), 0), ((3, 4), 1), ((5,), 0), ((0, 3), 0)) for d in "dfl?"]


def _concatenate(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, (3, 4)), draw(rng, (3, 4))], {"axis": 0}),
        ([draw(rng, (3, 4)), draw(rng, (3, 1)), draw(rng, (3, 0))], {"axis": 1}),
        ([draw(rng, (3,), "f"), draw(rng, (2,), "d")], {"axis": 0}),
        ([draw(rng, (3,), "l")], {"axis": 0}),
        ([draw(rng, (2, 3, 4)), draw(rng, (2, 5, 4))], {"axis": 1}),
    ]


def _ints(*values: Any, dtype: str = "l") -> Any:
    return np.array(values, dtype)


def _take(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = []
    for mode in ("raise", "wrap", "clip"):
        found += [
            ([draw(rng, (5, 4)), _ints(0, 3, 3, -1)], {"axis": 0, "mode": mode}),
            ([draw(rng, (5, 4)), _ints([0, 1], [2, 3], dtype="i")], {"axis": 1, "mode": mode}),
            ([draw(rng, (5,)), np.array(2)], {"axis": 0, "mode": mode}),
            ([draw(rng, (5, 2), "f"), _ints(1, dtype="B")], {"axis": 0, "mode": mode}),
        ]
    return found


def _gather(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, (5, 4)), _ints(0, 3, -1)], {"axes": (0,)}),
        ([draw(rng, (5, 4)), _ints(0, 3, -1), _ints(0, 1, 2)], {"axes": (0, 1)}),
        ([draw(rng, (5, 4, 3)), _ints([0], [3]), _ints(0, 1)], {"axes": (0, 2)}),
        ([draw(rng, (5, 4, 3)), _ints(0, 3, dtype="i")], {"axes": (1,)}),
        ([draw(rng, (5, 4)), np.array(2)], {"axes": (0,)}),
        ([draw(rng, (5, 4)), 3], {"axes": (1,)}),
        ([draw(rng, (5,)), np.array(3)], {"axes": (0,)}),
        ([draw(rng, (5, 4), "f"), np.zeros((0,), "l")], {"axes": (0,)}),
    ]


def _along(rng: np.random.Generator) -> list[Case]:
    x = draw(rng, (5, 4))
    return [
        ([x, np.argsort(x, 0)], {"axis": 0}),
        ([x, np.argmax(x, 1, keepdims=True)], {"axis": 1}),
        ([draw(rng, (1, 4)), _ints([0, 1], [2, 3], [1, 1])], {"axis": 1}),
    ]


def _sort(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, s)], {"axis": a, "kind": k})
        for s, a in (((6, 5), 0), ((6, 5), 1), ((9,), 0), ((2, 3, 4), 1), ((1, 4), 0), ((0, 3), 1))
        for k in (None, "stable")
    ]


def _write_slice(rng: np.random.Generator) -> list[Case]:
    index = ((1, 4, 1), (3, None, -2))
    return [
        ([draw(rng, (5, 4)), draw(rng, (3, 2))], {"index": index}),
        ([draw(rng, (5, 4)), draw(rng, (2,))], {"index": index}),
        ([draw(rng, (5, 4)), draw(rng, (1, 3, 1))], {"index": index}),
        ([draw(rng, (5, 4)), 2.0], {"index": index}),
        ([draw(rng, (5, 4), "d"), draw(rng, (3, 2), "f")], {"index": index}),
        ([draw(rng, (5, 4), "f"), draw(rng, (3, 2), "d")], {"index": index}),
        ([draw(rng, (5, 4)), draw(rng, (0, 4))], {"index": ((0, 0, 1), (0, 4, 1))}),
        ([draw(rng, ()), draw(rng, ())], {"index": ()}),
        ([draw(rng, (5, 4), "l"), 3], {"index": index}),
    ]


def _write_at(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, (5, 4)), draw(rng, (3, 4)), _ints(0, 2, 2)], {"axes": (0,)}),
        ([draw(rng, (5, 4)), draw(rng, (4,)), _ints(0, 2, 2)], {"axes": (0,)}),
        ([draw(rng, (5, 4)), draw(rng, (3,)), _ints(0, 2, 2), _ints(1, 3, 3)], {"axes": (0, 1)}),
        ([draw(rng, (5, 4)), 1.0, _ints(0, -1, 2)], {"axes": (1,)}),
        ([draw(rng, (5, 4, 3)), draw(rng, (2, 2, 4)), _ints([0], [3]), _ints(0, 1)], {"axes": (0, 2)}),
        ([draw(rng, (5, 4), "f"), draw(rng, (3, 4), "d"), _ints(0, 2, 2, dtype="i")], {"axes": (0,)}),
        ([draw(rng, (5, 4)), draw(rng, (1, 1, 3, 4)), _ints(0, 2, 2)], {"axes": (0,)}),
        ([draw(rng, (5,)), draw(rng, ()), np.array(3)], {"axes": (0,)}),
        ([draw(rng, (5, 4), "f"), draw(rng, (4,), "f"), np.array(3)], {"axes": (0,)}),
        ([draw(rng, (5, 4)), draw(rng, ()), np.array(3), 1], {"axes": (0, 1)}),
    ]


def _adding(cases_of: Any) -> Any:
    """Without values that have more axes than their place: `+=` takes none, assignment does."""

    def make(rng: np.random.Generator) -> list[Case]:
        return [(operands, attrs) for operands, attrs in cases_of(rng) if np.shape(operands[1])[:1] != (1,)]

    return make


class Swap:
    """Code for `host`: two results, both written into what it was given, so that it asks for no memory that the bill can't know of."""

    name, line = "Swap", None
    one, two = np.ones(()), np.full((), 2, np.float32)

    def __call__(self, x: Any, y: Any) -> Any:
        np.add(x, self.one, x)
        np.multiply(y, self.two, y)
        return y, x


def _host(rng: np.random.Generator) -> list[Case]:
    x, y = draw(rng, (3, 4)), draw(rng, (2,), "f")
    return [([x, y], {"gives": (Spec((2,), np.float32), Spec((3, 4))), "fn": Swap()})]


def _ufunc_at(rng: np.random.Generator) -> list[Case]:
    cases = [(operands, {**attrs, "ufunc": "multiply"}) for operands, attrs in _adding(_write_at)(rng)]
    for dtype, names in (("d", ("subtract", "divide", "maximum", "power", "hypot")), ("l", ("bitwise_and", "left_shift", "logical_and"))):
        cases += [([draw(rng, (5, 4), dtype), 3, _ints(0, -1, 0)], {"axes": (1,), "ufunc": name}) for name in names]
    return cases


def _set_part(rng: np.random.Generator) -> list[Case]:
    return [
        ([draw(rng, (5, 4), base), draw(rng, shape, value)], {})
        for base, value, shape in (("D", "d", (5, 4)), ("D", "f", (4,)), ("F", "d", (5, 1)), ("D", "l", ()))
    ] + [([draw(rng, (), "D"), 2.0], {}), ([draw(rng, (0, 3), "D"), draw(rng, (3,))], {})]


SPECIAL: dict[str, Any] = {
    "norm": _norm,
    "dot": _dot,
    "matmul": _matmul,
    "linear": _linear,
    "linear_vjp": _linear_vjp,
    "sigmoid": _sigmoid,
    "relu": lambda rng: [([draw(rng, s)], {}) for s in SHAPES] + [([draw(rng, (3, 4), d)], {}) for d in "fel?B"],
    "where": _where,
    "real": _unary("real"),
    "imag": _unary("imag"),
    "copy": _unary("copy"),
    "cast": _cast,
    "argmax": _arg,
    "argmin": _arg,
    "cumsum": _cumulated, "cumprod": _cumulated,
    "concatenate": _concatenate,
    "take": _take,
    "gather": _gather,
    "take_along_axis": _along,
    "sort": _sort,
    "argsort": _sort,
    "set_slice": _write_slice,
    "add_slice": _adding(_write_slice),
    "set_at": _write_at,
    "add_at": _adding(_write_at),
    "ufunc_at": _ufunc_at, "host": _host,
    "set_real": _set_part,
    "set_imag": _set_part,
}
