"""Row-major views as column-major products: run by a reader of the column-major record alone, they give what np.matmul gives."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.cupy.device import Gemm
from backends.cupy.products import Product, View, product
from tests.backends.cupy.column_major import run_gemm


def view(array: np.ndarray) -> View:
    return View(array.shape, tuple(s // array.itemsize for s in array.strides))


def start(array: np.ndarray) -> np.ndarray:
    """The flat memory from an array's first element on."""
    root = array
    while root.base is not None:
        root = root.base
    flat = root.reshape(-1)
    return flat[(array.__array_interface__["data"][0] - root.__array_interface__["data"][0]) // array.itemsize :]


def run(found: Product, a: np.ndarray, b: np.ndarray, d: np.ndarray, bias: np.ndarray | None = None) -> None:
    for x, y, z in found.offsets:
        first, second = (start(b)[y:], start(a)[x:]) if found.swapped else (start(a)[x:], start(b)[y:])
        run_gemm(found.gemm, first, second, start(d)[z:], bias)


def laid(rng: np.random.Generator, shape: tuple[int, ...], how: str, dtype: type = np.float32) -> np.ndarray:
    """An array of a shape, laid in memory in one of several ways; its neighbours are NaN."""
    if how == "turned":
        return laid(rng, (*shape[:-2], shape[-1], shape[-2]), "rows", dtype).swapaxes(-1, -2)
    gaps = {"rows": 0, "part": 3}[how]
    whole = np.full((*shape[:-1], shape[-1] + gaps), np.nan, dtype)
    whole[..., : shape[-1]] = rng.normal(size=shape) + (1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else 0)
    return whole[..., : shape[-1]]


LAYOUTS = st.sampled_from(["rows", "turned", "part"])
SIZES = st.sampled_from([1, 2, 3, 5, 8])


@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(LAYOUTS, LAYOUTS, LAYOUTS), st.integers(0, 2), st.integers(0, 99))
def test_products_of_views(sizes: tuple[int, int, int], how: tuple[str, str, str], batches: int, seed: int) -> None:
    (m, n, k), (how_a, how_b, how_d) = sizes, how
    rng = np.random.default_rng(seed)
    lead = (3, 2)[:batches]
    a, b, d = laid(rng, (*lead, m, k), how_a), laid(rng, (*lead, k, n), how_b), laid(rng, (*lead, m, n), how_d)
    d[...] = np.nan
    found = product(view(a), view(b), view(d), "float32")
    assert found is not None, "every one of these layouts has a product without a copy"
    run(found, a, b, d)
    np.testing.assert_allclose(d, a.astype(float) @ b.astype(float), rtol=1e-5, atol=1e-5)


@given(st.permutations(range(4)), st.permutations(range(4)), st.permutations(range(4)), st.integers(0, 99))
def test_axes_in_any_order(order_a: list[int], order_b: list[int], order_d: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = (2, 3, 4, 5), (2, 3, 5, 6), (2, 3, 4, 6)
    a, b, d = [rng.normal(size=np.array(shape)[order]).astype("f").transpose(np.argsort(order))
               for shape, order in zip(shapes, (order_a, order_b, order_d))]
    found = product(view(a), view(b), view(d), "float32")
    inner = [1 in view(x).strides[-2:] for x in (a, b, d)]
    assert found is not None or not all(inner), "one of the last two axes is a run of memory in each"
    if found is not None:
        d[...] = np.nan
        run(found, a, b, d)
        np.testing.assert_allclose(d, a.astype(float) @ b.astype(float), rtol=1e-5, atol=1e-5)


def test_heads_of_an_attention_are_read_where_they_lie() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 16, 4, 6)).astype("f")
    q = k = x.transpose(0, 2, 1, 3)
    scores = np.empty((8, 4, 16, 16), "f")
    found = product(view(q), view(k.swapaxes(-1, -2)), view(scores), "float32")
    assert found is not None and found.gemm.batch * len(found.offsets) == 32 and found.gemm.batch == 8
    run(found, q, k.swapaxes(-1, -2), scores)
    np.testing.assert_allclose(scores, q @ k.swapaxes(-1, -2), rtol=1e-5, atol=1e-5)
    out = np.empty((8, 16, 4, 6), "f")
    found = product(view(scores), view(q), view(out.transpose(0, 2, 1, 3)), "float32")
    assert found is not None
    run(found, scores, q, out.transpose(0, 2, 1, 3))
    np.testing.assert_allclose(out.transpose(0, 2, 1, 3), scores @ q, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("epilogue", ["bias", "relu", "relu_bias", "gelu", "gelu_bias"])
def test_a_bias_lies_along_the_last_axis(epilogue: str) -> None:
    rng = np.random.default_rng(1)
    x, w, b, d = rng.normal(size=(7, 4)), rng.normal(size=(4, 3)), rng.normal(size=3), np.empty((7, 3))
    found = product(view(x), view(w), view(d), "float64", epilogue=epilogue)
    assert found is not None and found.swapped and (found.gemm.m, found.gemm.n) == (3, 7)
    run(found, x, w, d, b)
    expected = x @ w + (b if "bias" in epilogue else 0)
    if "relu" in epilogue:
        expected = np.maximum(expected, 0)
    if "gelu" in epilogue:
        expected = 0.5 * expected * (1 + np.tanh(np.sqrt(2 / np.pi) * (expected + 0.044715 * expected**3)))
    np.testing.assert_allclose(d, expected, rtol=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_the_gradient_of_a_layer_with_its_bias(turned: bool) -> None:
    rng = np.random.default_rng(2)
    x, g, db = rng.normal(size=(7, 4)), rng.normal(size=(7, 3)), np.full(3, np.nan)
    dw = np.full((3, 4), np.nan).T if turned else np.full((4, 3), np.nan)
    found = product(view(x.T), view(g), view(dw), "float64", epilogue="sum_b")
    assert found is not None and found.gemm.epilogue == ("bgradb" if turned else "bgrada")
    run(found, x.T, g, dw, db)
    np.testing.assert_allclose(dw, x.T @ g, rtol=1e-12)
    np.testing.assert_allclose(db, g.sum(0), rtol=1e-12)


def test_results_are_added_to() -> None:
    rng = np.random.default_rng(3)
    a, b, d = rng.normal(size=(7, 4)), rng.normal(size=(4, 3)), rng.normal(size=(7, 3))
    expected = a @ b + d
    found = product(view(a), view(b), view(d), "float64", beta=1.0)
    assert found is not None
    run(found, a, b, d)
    np.testing.assert_allclose(d, expected, rtol=1e-12)


@pytest.mark.parametrize(("which", "how_d"), [("a", "turned"), ("b", "rows")])
def test_conjugates_come_with_a_transpose(which: str, how_d: str) -> None:
    rng = np.random.default_rng(4)
    a, b = laid(rng, (5, 4), "rows", np.complex128), laid(rng, (4, 3), "turned", np.complex128)
    d = laid(rng, (5, 3), how_d, np.complex128)
    found = product(view(a), view(b), view(d), "complex128", **{f"conj_{which}": True})
    assert found is not None and (found.gemm.conj_a or found.gemm.conj_b)
    run(found, a, b, d)
    np.testing.assert_allclose(d, a.conj() @ b if which == "a" else a @ b.conj(), rtol=1e-12)


@pytest.mark.parametrize(("a", "b", "d"), [
    (View((4, 4), (8, 2)), View((4, 4), (4, 1)), View((4, 4), (4, 1))),  # every other column
    (View((4, 4), (4, 1)), View((4, 4), (0, 1)), View((4, 4), (4, 1))),  # one row for all
    (View((4, 4), (-4, 1)), View((4, 4), (4, 1)), View((4, 4), (4, 1))),  # rows backwards
    (View((0, 4), (4, 1)), View((4, 4), (4, 1)), View((0, 4), (4, 1))),  # nothing to do
    (View((3, 4, 4), (-16, 4, 1)), View((3, 4, 4), (16, 4, 1)), View((3, 4, 4), (16, 4, 1))),  # batches backwards
])
def test_what_no_product_can_say(a: View, b: View, d: View) -> None:
    assert product(a, b, d, "float32") is None


def test_a_bias_along_rows_that_are_no_runs_has_no_product() -> None:
    assert product(View((7, 4), (4, 1)), View((4, 3), (3, 1)), View((7, 3), (1, 7)), "float32", epilogue="bias") is None


def test_one_matrix_for_all_of_a_batch() -> None:
    rng = np.random.default_rng(5)
    a, b, d = rng.normal(size=(6, 7, 4)), rng.normal(size=(4, 3)), np.empty((6, 7, 3))
    wide = np.broadcast_to(b, (6, 4, 3))
    found = product(view(a), view(wide), view(d), "float64")
    assert found is not None and found.gemm.batch == 6 and found.gemm.stride_a == 0
    first = found.gemm
    run_gemm(first, b.reshape(-1), a.reshape(-1), d.reshape(-1))
    np.testing.assert_allclose(d, a @ b, rtol=1e-12)


@pytest.mark.parametrize(("change", "said"), [
    ({"m": 0}, "empty product"), ({"lda": 3}, "overlap"), ({"dtype": "int32"}, "no product of int32"),
    ({"epilogue": "tanh"}, "no epilogue"),
    ({"precision": "float16"}, "no product of float32 in float16"), ({"conj_a": True}, "conjugates come with transposes"),
    ({"batch": 2, "stride_d": 3}, "results overlap"),
])
def test_a_record_that_says_nonsense_is_refused(change: dict[str, object], said: str) -> None:
    good: dict[str, object] = {"m": 4, "n": 5, "k": 6, "dtype": "float32", "lda": 4, "ldb": 6, "ldd": 4}
    assert Gemm(**good).spans() == (24 * 4, 30 * 4, 20 * 4, 0)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=said):
        Gemm(**{**good, **change})  # type: ignore[arg-type]
