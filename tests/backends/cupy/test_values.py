"""CUDA text of loop forms, run on the CPU by the emulator, gives what NumPy gives: elementwise within 4 units in the last place of the
float64 reference, sums within n * eps * sum|terms|, integers exactly.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.cupy import mapping
from backends.cupy.cuda import kernel_text, module
from ir.errors import NotLowered
from ir.ops import TABLE, nn, reduce
from ir.ops import elementwise as e
from ir.ops import index as indexing
from tests.backends.cupy import emulated
from tests.kernel_cases import CASES, SIZES, softmax
from tests.lowered import Case, drawn, ulps

pytestmark = emulated.needs_compiler
EPS = float(np.finfo(np.float32).eps)


def results(cases: Sequence[Case]) -> list[list[np.ndarray]]:
    """All cases in one module, run in both orders of threads and with memory at both ends of its pages."""
    texts = [kernel_text(replace(case.form, name=f"k{k}")) for k, case in enumerate(cases)]
    text = module(texts)
    found = []
    for case, kernel in zip(cases, texts):
        memory = case.memory()
        writes = [k for k, p in enumerate(case.form.params) if p.writes]
        emulated.run(text, kernel.name, kernel.grid, kernel.block, *[memory[name] for name in kernel.params], writes=writes)
        found.append(case.results(memory))
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_text_gives_what_the_interpreter_gives(name: str) -> None:
    cases = [CASES[name](n) for n in SIZES]
    for n, case, made in zip(SIZES, cases, results(cases)):
        for got, expected in zip(made, case.interpreted(), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-5 * max(1, n) ** 0.5, err_msg=f"{name}, n={n}")


# ---- each scalar operation
HARD = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.5, 1e-20, -1e20, 88.0, -104.0, np.inf, -np.inf, np.nan]
DOMAIN: dict[str, tuple[float, float]] = {"arccosh": (1, 9), "arcsin": (-1, 1), "arccos": (-1, 1), "arctanh": (-0.99, 0.99)}
UFUNCS = [name for name, op in TABLE.items() if op.ufunc is not None and op.family == "elementwise"]


def floats(op: str, seed: int) -> np.ndarray:
    low, high = DOMAIN.get(op, (-6, 6))
    return np.concatenate([np.random.default_rng(seed).uniform(low, high, 200), HARD]).astype(np.float32)


def elementwise(dtype: Any) -> list[Case]:
    """A case for each ufunc that has a loop for that dtype."""
    found = []
    for k, name in enumerate(UFUNCS):
        op, kind = TABLE[name], np.dtype(dtype).kind
        if kind == "f":
            x, y = floats(name, k).astype(dtype), np.random.default_rng(k).permutation(floats(name, k + 1)).astype(dtype)
        else:
            rng = np.random.default_rng(k)
            info = np.iinfo(dtype) if kind != "b" else None
            x, y = [rng.integers(info.min, info.max, 300, dtype=dtype, endpoint=True) if info else rng.integers(0, 2, 300).astype(bool)
                    for _ in range(2)]
            if info:
                x[:40], y[:60] = rng.integers(0, 9, 40), rng.integers(0, 9, 60)
            if name == "power" and info:
                y %= 7
        try:
            found.append(Case(lambda *v, op=op: op(*v), [x, y, x][: len(op.operands)], name=name))
        except TypeError:  # NumPy has none
            continue
        except NotLowered as error:
            assert "float16 is not lowered" in str(error)
    return found


def scale(case: Case, exact: np.ndarray) -> np.ndarray:
    """Of what an error is counted in units of the last place: the result, or the operands where they cancel."""
    if not case.graph.outputs[0].node.op.name.startswith("logaddexp"):
        return exact
    with np.errstate(all="ignore"):
        return np.fmax(np.abs(exact), np.fmax(*[np.abs(a) for a in case.arrays]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elementwise_operations_of_floats(dtype: Any) -> None:
    cases = elementwise(dtype)
    for case, made in zip(cases, results(cases)):
        name = case.graph.outputs[0].node.op.name
        exact = case.exact()[0] if name not in ("remainder", "floor_divide", "fmod") else case.expected()[0]
        if made[0].dtype.kind != "f":
            np.testing.assert_array_equal(made[0], case.expected()[0], err_msg=name)
        else:
            assert ulps(made[0], exact, scale(case, exact)) <= 4, name


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_elementwise_operations_of_integers(dtype: Any) -> None:
    cases = lowered_integers(dtype)
    for case, made in zip(cases, results(cases)):
        name, expected = case.graph.outputs[0].node.op.name, case.expected()[0]
        if expected.dtype.kind == "f":
            assert ulps(made[0], expected) <= 4, name
        else:
            np.testing.assert_array_equal(made[0], expected, err_msg=name)


def lowered_integers(dtype: Any) -> list[Case]:
    if np.dtype(dtype).kind in "ib":  # NumPy raises for a negative exponent
        return [c for c in elementwise(dtype) if c.graph.outputs[0].node.op.name != "power"]
    return elementwise(dtype)


CASTS = [np.dtype(t) for t in ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "f", "d"]]


def test_casts() -> None:
    x = np.array([0, 1, 2, 100, 127], np.float64)
    cases = [Case(lambda v, to=to: e.cast(v, dtype=to), [x.astype(a)]) for a in CASTS for to in CASTS if a != to]
    for case, made in zip(cases, results(cases)):
        np.testing.assert_array_equal(made[0], case.expected()[0], err_msg=case.form.text())


def test_sigmoid_is_stable() -> None:
    x = np.concatenate([np.linspace(-110, 110, 999), HARD]).astype(np.float32)
    case = Case(lambda v: nn.sigmoid(v), [x])
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert ulps(results([case])[0][0], exact) <= 4


# ---- sums
REDUCED: dict[str, Callable[..., Any]] = {
    "rows": lambda x: reduce.sum(x, axis=(1,), keepdims=False), "columns": lambda x: reduce.sum(x, axis=(0,), keepdims=False),
    "all": lambda x: reduce.sum(x, axis=(0, 1), keepdims=False),
}


@pytest.mark.parametrize("name", REDUCED)
def test_sums_are_as_near_as_their_count_allows(name: str) -> None:
    shapes = [(1, 1), (3, 1025), (1025, 3), (33, 31), (2, 5000), (2, 40000)]
    cases = [Case(REDUCED[name], drawn(k, s)) for k, s in enumerate(shapes)]
    if name != "rows":
        cases += [Case(REDUCED[name], drawn(k, s), parts=1, shares=n) for k, s in enumerate(shapes[1:]) for n in (2, 7)]
    for case, made in zip(cases, results(cases)):
        x = case.arrays[0].astype(np.float64)
        axis = {"rows": 1, "columns": 0, "all": None}[name]
        n = x.size if axis is None else x.shape[axis]
        bound = n * EPS * np.abs(x).sum(axis=axis)
        assert (np.abs(made[0] - x.sum(axis=axis)) <= bound).all()


def test_softmax_of_long_rows() -> None:
    cases = [Case(softmax, drawn(n, (2, n))) for n in (2000, 20000, 60000)]
    for case, made in zip(cases, results(cases)):
        np.testing.assert_allclose(made[0], case.exact()[0], rtol=3e-6)


# ---- vectors
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
def test_what_lies_together_is_moved_at_once(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "VECTORS_FROM", 8)
    cases = [
        Case(lambda x, y, b: [e.maximum(x, y), e.equal(e.add(x, b), y)], [a.astype(dtype) for a in drawn(n, (n, 4), (n, 4), (4,))])
        for n in (2, 64, 300)
    ]
    for case in cases:
        case.form = replace(case.form, params=tuple([replace(p, aligned=16) for p in case.form.params]))
        assert "#pragma unroll" in kernel_text(case.form).source
    for case, made in zip(cases, results(cases)):
        for got, expected in zip(made, case.expected(), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_vectors_need_an_address_that_they_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "VECTORS_FROM", 8)
    form = Case(lambda x, y: x + y, drawn(0, (64,), (64,))).form
    assert all(p.aligned == 1 for p in form.params) and "pragma" not in kernel_text(form).source
    shifted = Case(lambda x: indexing.cut(x, 0, 1, 65) * 2.0, drawn(0, (65,))).form
    shifted = replace(shifted, params=tuple([replace(p, aligned=16) for p in shifted.params]))
    assert "pragma" not in kernel_text(shifted).source
