"""Operands and attributes for each operation of the table, shared by the tests that go through all of it.

A case is (operands, attributes). Elementwise operations find theirs by trying dtypes; the others are listed by name.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ir.errors import DTypeError
from ir.op import Op
from ir.ops import TABLE
from ir.spec import Spec, spec_of

Case = tuple[tuple[Any, ...], dict[str, Any]]
WITHOUT = ("opaque",)  # it runs nothing


class Plus:
    """Code for `host`."""

    name, line = "Plus", None

    def __call__(self, x: Any, y: Any) -> Any:
        return x + y


class Nothing:
    """A rule for `custom`."""

    name = "Nothing"

    def vjp(self, g: Any, outs: Any, ins: Any) -> tuple[Any, ...]:
        return (None,) * len(ins)


def floats(*shape: int) -> np.ndarray:
    """Distinct values between 0.1 and 0.9, in no order."""
    size = int(np.prod(shape))
    return np.random.default_rng(size).permutation(np.linspace(0.1, 0.9, size)).reshape(shape)


def ints(*numbers: Any) -> np.ndarray:
    return np.array(numbers, np.int64)


def _reductions(**attrs: Any) -> list[Case]:
    return [
        ((floats(2, 3, 4),), {"axis": (1,), "keepdims": False, **attrs}),
        ((floats(2, 3, 4),), {"axis": (0, 2), "keepdims": True, **attrs}),
        ((floats(3, 2),), {"axis": (0, 1), "keepdims": False, **attrs}),
    ]


def _positions() -> list[Case]:
    return [((floats(2, 3),), {"axis": 0, "keepdims": False}), ((floats(2, 3),), {"axis": 1, "keepdims": True})]


def _along(**attrs: Any) -> list[Case]:
    return [((floats(2, 3, 4),), {"axis": k, **attrs}) for k in range(3)]


def _writes(*, fits: list[Any]) -> list[Case]:
    index = ((0, 4, 2), (2, None, -1))
    return [((floats(5, 4), v), {"index": index}) for v in fits] + [((floats(4), floats(2)), {"index": ((1, 3, 1),)})]


def _writes_at() -> list[Case]:
    return [
        ((floats(4), floats(3), ints(2, 0, 2)), {"axes": (0,)}),
        ((floats(3, 4), floats(3, 2), ints(1, 3)), {"axes": (1,)}),
        ((floats(3, 4), floats(1, 1), ints(1, 3)), {"axes": (1,)}),
        ((floats(3, 2, 4), floats(2, 2), ints(1, 0), ints(3, 1)), {"axes": (0, 2)}),
    ]


LISTED: dict[str, list[Case]] = {
    "cast": [((floats(2, 3),), {"dtype": np.dtype(np.float32)})],
    "clip": [((floats(2, 3), np.float64(0.3), np.full((2, 1), 0.8)), {})],
    "where": [((floats(2, 3) > 0.5, floats(3), floats(2, 1)), {})],
    "sum": _reductions(dtype=None), "mean": _reductions(dtype=None), "prod": _reductions(dtype=None),
    "max": _reductions(), "min": _reductions(), "any": _reductions(), "all": _reductions(),
    "var": _reductions(ddof=0), "std": _reductions(ddof=1), "norm": _reductions(ord=None)[:2],
    "argmax": _positions(), "argmin": _positions(), "cumsum": _along(), "cumprod": _along(),
    "reshape": [
        ((floats(*old),), {"shape": new})
        for old, new in [
            ((2, 6), (2, 2, 3)), ((2, 3, 4), (6, 4)), ((4, 3), (2, 6)), ((1, 3, 1), (3,)), ((3,), (1, 3, 1)), ((2, 3, 1, 4), (2, 1, 12)),
            ((1, 1), ()), ((), (1, 1)), ((0, 3), (5, 0)), ((2, 3), (2, 3)), ((2, 3, 2, 5), (6, 10)),
        ]
    ],
    "transpose": [((floats(2, 3, 4),), {"axes": (2, 0, 1)}), ((floats(2, 3),), {"axes": (1, 0)})],
    "broadcast_to": [((floats(3, 1),), {"shape": (2, 3, 4)}), ((floats(),), {"shape": (2,)})],
    "expand_dims": [((floats(2, 3),), {"axis": (0, 2)})],
    "squeeze": [((floats(1, 2, 1, 3),), {"axis": (0, 2)})],
    "concatenate": [((floats(2, 3), floats(4, 3)), {"axis": 0}), ((floats(2, 3), floats(2, 0), floats(2, 1)), {"axis": 1})],
    "dot": [
        ((floats(*x), floats(*y)), {})
        for x, y in [
            ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((), (2, 3)), ((2, 1, 3), (2, 3, 4)), ((5, 3), (2, 2, 3, 4)),
        ]
    ],
    "matmul": [
        ((floats(*x), floats(*y)), {})
        for x, y in [
            ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 3, 4)), ((5, 2, 3), (3,)), ((5, 1, 2, 3), (2, 3, 4)),
            ((2, 3), (5, 3, 1)),
        ]
    ],
    "linear": [((floats(4, 2), floats(2, 3), floats(3)), {})],
    "linear_vjp": [((floats(4, 2), floats(4, 3)), {})],
    "slice": [
        ((floats(5, 4),), {"index": ((0, 4, 2), (2, None, -1))}), ((floats(5),), {"index": ((4, 0, -3),)}), ((floats(),), {"index": ()}),
    ],
    "take": [
        ((floats(2, 3, 4), ints(2, 0, 2)), {"axis": 1, "mode": "raise"}),
        ((floats(2, 3), ints([5, 1], [0, -1])), {"axis": 1, "mode": "wrap"}),
        ((floats(4), ints(1)[0]), {"axis": 0, "mode": "clip"}),
    ],
    "gather": [
        ((floats(4), ints(2, 0, 2)), {"axes": (0,)}),
        ((floats(2, 3, 4), ints(2, 0)), {"axes": (1,)}),
        ((floats(2, 3, 4), ints([2, 0], [1, 1]), ints(3, 1)), {"axes": (1, 2)}),
        ((floats(2, 3, 4), ints([1], [0]), ints(3, 1)), {"axes": (0, 2)}),
    ],
    "take_along_axis": [((floats(3, 4), ints([1, 3, 0, 2])), {"axis": 1}), ((floats(3, 1), ints([1, 0, 2, 2])), {"axis": 0})],
    "sort": _along(kind=None), "argsort": _along(kind="stable"),
    "set_slice": _writes(fits=[floats(2, 3), floats(3), floats(2, 1), floats(1, 2, 3)]),
    "add_slice": _writes(fits=[floats(2, 3), floats(3), floats(2, 1)]),
    "set_at": _writes_at(), "add_at": _writes_at(),
    "ufunc_at": [
        (operands, {**attrs, "ufunc": name})
        for name in ("subtract", "multiply", "divide", "maximum", "minimum")
        for operands, attrs in _writes_at()
    ],
    "set_real": [((floats(2, 3) * (1 + 2j), v), {}) for v in (floats(2, 3), floats(3), floats(2, 1))],
    "set_imag": [((floats(2, 3) * (1 + 2j), v), {}) for v in (floats(2, 3), floats(3), floats(2, 1))],
    "python": [((2.5, 3), {"fn": "mul"}), ((2,), {"fn": "neg"})],
    "host": [((floats(2, 3), floats(3)), {"gives": (Spec((2, 3)),), "fn": Plus()})],
    "custom": [((floats(2, 3), floats(3)), {"outs": 1, "rule": Nothing()})],
}  # fmt: skip


def cases(op: Op) -> list[Case]:
    """Operands and attributes that `op` takes."""
    return LISTED[op.name] if op.name in LISTED else _elementwise(op)


def _elementwise(op: Op) -> list[Case]:
    """Broadcast operands of the first dtype that the operation takes."""
    shapes = [[(2, 3)], [(3,)]] if len(op.operands) == 1 else [[(2, 3), (2, 1), (3,)], [(1, 3), (2, 3), (2, 1)]]
    found: list[Case] = []
    for dtype in (np.float64, np.int64):
        for chosen in shapes:
            low = 1.0 if op.name == "arccosh" else 0.0  # where it begins
            operands = tuple([(low + floats(*s) * (1 if dtype is np.float64 else 9)).astype(dtype) for s in chosen[: len(op.operands)]])
            try:
                op.infer(tuple([spec_of(x) for x in operands]), {})
            except DTypeError:
                break
            found.append((operands, {}))
        if found:
            break
    return found


def specs(case: Case) -> tuple[Spec, ...]:
    return tuple([spec_of(x) for x in case[0]])


ALL = [(op, case) for op in TABLE.values() if op.name not in WITHOUT for case in cases(op)]
IDS = [f"{op.name}-{','.join(map(str, specs(case)))}" for op, case in ALL]
