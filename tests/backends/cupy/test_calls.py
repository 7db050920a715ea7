"""Every operation as CuPy's calls, on the stand-in, against its reference meaning; what has no GPU lowering is named at compile time."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import backends
from backends.cupy.array import placed
from backends.cupy.calls_index import COMBINES
from ir.errors import ArgumentError
from ir.evaluate import evaluate
from ir.graph import Graph
from ir.op import Op
from ir.ops import TABLE
from ir.planning import plan
from ir.spec import Spec, spec_of
from tests.backends.cases import VIEWS, WITHOUT, cases
from tests.backends.cupy import standin
from tests.backends.test_kernels import LAYOUTS, built

CUPY = backends.get("cupy")
NO_LOWERING = {
    "host": "code of the user's runs on the host",
    "opaque": "it runs nothing",
    "custom": "a pass replaces it by its operands",
    "python": "the host does it before the array part",
}
NAMES = [name for name in TABLE if name not in VIEWS + WITHOUT and name not in NO_LOWERING]
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 2.5, -7.25, 1e300, -1e-300, np.inf, -np.inf, np.nan])
SINGLE = np.where(np.abs(SPECIAL) == 1e300, 1e30, SPECIAL).astype(np.float32)
WHOLE = np.array([0, 1, -1, 2, -3, 7, 63, 64, 65, -(2**62) - 1, 2**62 + 1, -(2**63), 2**63 - 1])


@pytest.mark.parametrize("op", list(TABLE.values()), ids=lambda op: op.name)
def test_every_operation_has_a_lowering_or_none_by_name(op: Op) -> None:
    kernels = CUPY.target().kernels.get(op.name, ())
    assert bool(kernels) != (op.name in NO_LOWERING or op.view_of is not None)
    assert all(kernel.covers == op.name and not kernel.exact for kernel in kernels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_against_the_reference(name: str, layout: str) -> None:
    against_the_reference(name, layout)


def against_the_reference(name: str, layout: str, where: Any = standin.installed) -> None:
    """All cases of an operation, every third where its operands don't lie in C order."""
    for owned in (False, True) if layout == "C" else (False,):
        for operands, attrs in cases(name, np.random.default_rng(1))[:: 1 if layout == "C" else 3]:
            made = built(name, operands, attrs, owned=owned)
            if made is None or any(v.dtype.char in "gG" for v in (*made[0].inputs, *made[0].outputs)):
                continue
            graph, given = made
            if name == "power" and graph.outputs[0].dtype.kind == "i":
                continue
            what = f"{name} {[str(spec_of(x)) for x in operands]} {attrs} {layout}"
            compare(graph, [LAYOUTS[layout](x) for x in given], {k: layout for k, x in enumerate(given) if x.ndim}, what, where)


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n].family == "elementwise"])
def test_special_numbers(name: str) -> None:
    special_numbers(name)


def special_numbers(name: str, where: Any = standin.installed) -> None:
    """NaN, infinities and zeros of both signs; integers at the ends of their range, and 0 as a divisor."""
    op = TABLE[name]
    if op.ufunc is None or op.ufunc.nin > 2:
        return
    for numbers in (SPECIAL, SINGLE, WHOLE, WHOLE.astype(np.int8), WHOLE.astype(np.uint32)):
        pair = [numbers[:, None], numbers][: op.ufunc.nin]
        if name in ("power", "reciprocal") and numbers.dtype.kind in "iu":
            continue  # errors in NumPy; what C gives for 1 / 0
        made = built(name, pair, {})
        if made is not None:
            compare(made[0], pair, {}, f"{name} of {numbers.dtype}", where)


def test_what_has_no_lowering_is_named() -> None:
    for name, operands, why in (
        ("power", [np.array([2, 3]), np.array([1, -1])], "powers that may be negative"),
        ("add", [np.ones(2, np.longdouble), np.ones(2)], "no GPU lowering for these operands"),
        ("less", [np.ones(2, complex), np.ones(2, np.clongdouble)], "no GPU lowering for these operands"),
    ):
        made = built(name, operands, {})
        assert made is not None
        with pytest.raises(ArgumentError, match=why) as raised:
            plan(made[0], CUPY.target())
        assert "test_kernels.py" in str(raised.value) and "to_cpu" in str(raised.value)


@pytest.mark.parametrize("index", [[0, 3], [-4, 1], [2, -3]])
def test_a_constant_index_out_of_range(index: list[int]) -> None:
    """NumPy raises IndexError when it runs; a GPU would go round, so it is refused when it is compiled."""
    graph = Graph()
    x = graph.input(Spec((3,)))
    at = np.array(index)
    outs = [
        TABLE["gather"](x, at, axes=(0,)), TABLE["take"](x, at, axis=0, mode="raise"), TABLE["take_along_axis"](x, at, axis=0),
        TABLE["set_at"](x, 1.0, at, axes=(0,)), TABLE["add_at"](x, 1.0, at, axes=(0,)),
    ]  # fmt: skip
    for out in outs:
        graph.outputs = [out]
        if min(index) >= -3 and max(index) < 3:
            plan(graph, CUPY.target())
            continue
        with pytest.raises(ArgumentError, match="out of range"):
            plan(graph, CUPY.target())


def compare(graph: Graph, inputs: list[Any], layouts: dict[int, str], what: str, where: Any = standin.installed) -> None:
    """What is computed `where` CuPy is this one is what the reference says, from arrays on the device and on the host; inputs are as they
    were.
    """
    if any(node.op.name == "ufunc_at" and node.attrs["ufunc"] not in COMBINES for node in graph.order()):
        with pytest.raises(ArgumentError, match="GPU lowering"):
            plan(graph, CUPY.target(), layouts=layouts)
        return
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, _ = evaluate(graph, inputs)
    on_device = CUPY.emit(plan(graph, CUPY.target(), layouts=layouts))
    on_host: Any = CUPY.emit(plan(graph, CUPY.target())) if "F" in layouts.values() else None
    with where():
        try:
            given = [placed(x) if isinstance(x, np.ndarray) else x for x in inputs]
            for program, operands in ((on_device, given), (on_device, given), (on_host, inputs))[: 3 if on_host else 2]:
                for a, b in zip(program(operands), wanted, strict=True):
                    close(a, b)
            for x, y in zip(given, inputs):
                np.testing.assert_array_equal(backends.to_host(x), y)
        except BaseException as error:
            error.add_note(f"{what}\n{on_device.source}")
            raise


def close(got: Any, wanted: Any) -> None:
    if not isinstance(wanted, (np.ndarray, np.generic)):
        assert got == wanted
        return
    assert backends.owner(got) is CUPY
    found = backends.to_host(got)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if wanted.dtype.kind in "fc":
        eps = 64 * float(np.finfo(wanted.dtype).eps)
        np.testing.assert_allclose(found, wanted, rtol=eps, atol=eps)
        zeros = (wanted == 0) & (found == 0)
        assert wanted.dtype.kind == "c" or (np.signbit(found) == np.signbit(wanted))[zeros].all()
    else:
        np.testing.assert_array_equal(found, wanted)
