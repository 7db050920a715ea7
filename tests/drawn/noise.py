"""How far rounding alone can move the results of a program: NumPy's own run with every rounding operation jittered by a few ulps.

In: a program. Out: for a leaf, whether a difference lies within what the jittered runs spread over. The judge is asked only where a
result differs beyond a few roundings, so that ill-conditioned values are no alarms and wrong ones are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.drawn.compare import leaves

RUNS = 12
ULPS = 4.0
WIDER = 8.0
EXACT = {
    "negative", "absolute", "positive", "conjugate", "sign", "floor", "ceil", "trunc", "rint", "maximum", "minimum", "fmax", "fmin",
    "copysign", "signbit", "heaviside", "fabs", "nextafter",
}  # fmt: skip
ROUNDS = {np.dot, np.inner, np.vdot, np.tensordot, np.outer, np.kron, np.cross, np.linalg.multi_dot, np.einsum, np.linspace}
_METHODS = ("sum", "mean", "prod", "std", "var", "cumsum", "cumprod", "dot", "trace")


class Noisy(np.ndarray):
    """An array whose roundings are jittered; views stay views."""

    draws = np.random.default_rng(0)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        given = [plain(x) for x in inputs]
        targets = () if out is None else tuple(plain(o) for o in out)
        if "where" in kwargs:
            kwargs["where"] = plain(kwargs["where"])
        result = getattr(ufunc, method)(*given, **({"out": targets} if targets else {}), **kwargs)
        if result is None:
            return None
        rounds = ufunc.__name__ not in EXACT
        if targets:
            if rounds:
                for t in targets:
                    if t is not None and t.dtype.kind in "fc":
                        t[...] = jittered(t)
            return out[0] if len(out) == 1 else out
        if isinstance(result, tuple):
            return tuple(wrapped(jittered(r) if rounds else r) for r in result)
        return wrapped(jittered(result) if rounds else result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(func, types, args, kwargs)
        return wrapped(jittered(result)) if func in ROUNDS else result


def _jittering(name: str) -> Any:
    def method(self: Noisy, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        result = getattr(plain(self), name)(*[plain(a) for a in args], **{k: plain(v) for k, v in kwargs.items()})
        if out is not None:
            return out
        return wrapped(jittered(result))

    return method


for _name in _METHODS:
    setattr(Noisy, _name, _jittering(_name))


def plain(x: Any) -> Any:
    """Without the jitter, in the same memory."""
    return x.view(np.ndarray) if isinstance(x, Noisy) else x


def wrapped(x: Any) -> Any:
    return x.view(Noisy) if type(x) is np.ndarray else x


def jittered(x: Any) -> Any:
    """x with each float moved by up to ULPS relative roundings."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or dtype.kind not in "fc":
        return x
    amount = ULPS * float(np.finfo(dtype).eps)
    with np.errstate(all="ignore"):
        moved = x * (1 + amount * (2 * Noisy.draws.random(np.shape(x)) - 1))
        if isinstance(x, np.ndarray):
            return np.where(np.isfinite(x), moved, x).astype(dtype)
        return dtype.type(moved) if np.isfinite(x) else x


def within(got: Any, want: Any, runs: list[Any]) -> bool:
    """Whether one leaf lies within what the jittered runs spread over around NumPy's."""
    got, want = np.asarray(got), np.asarray(want)
    runs = [np.asarray(plain(r)) for r in runs]
    if any(r.shape != want.shape or r.dtype.newbyteorder("=") != want.dtype.newbyteorder("=") for r in runs):
        return False
    with np.errstate(all="ignore"):
        if want.dtype.kind not in "fc":
            moved = np.any([r != want for r in runs], axis=0)
            return bool(np.all((got == want) | moved))
        spread = np.max([np.where(_same(r, want), 0, np.abs(r - want)) for r in runs], axis=0)
        wild = np.any([np.isfinite(r) != np.isfinite(want) for r in runs], axis=0) | np.isnan(spread)
        near = np.abs(got - want) <= WIDER * spread + 64 * np.finfo(want.dtype).eps * np.abs(want)
        return bool(np.all(_same(got, want) | near | wild))


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def paths(tree: Any) -> dict[str, Any]:
    """The leaves of a result by their paths."""
    return dict(leaves(tree))
