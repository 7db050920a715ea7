"""Every operation of the table through plan and program, against the reference evaluator: layouts, exactness, poison, frozen inputs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import backends
from backends.numpy.target import KERNELS
from ir import Graph, evaluate
from ir.errors import DTypeError
from ir.graph import Value
from ir.ops import TABLE
from ir.plan import Call
from ir.planning import plan
from ir.spec import spec_of
from tests.backends.cases import VIEWS, WITHOUT, cases, draw
from tests.backends.drawn import spoil

NAMES = [name for name in TABLE if name not in VIEWS + WITHOUT]
NUMPY = backends.get("numpy")


def strided(x: np.ndarray) -> np.ndarray:
    """The same values with gaps between them."""
    wide = np.empty([2 * n for n in x.shape], x.dtype)
    view = wide[(*[slice(None, None, 2)] * x.ndim, ...)]
    view[...] = x
    return view


def as_f(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="F")


LAYOUTS: dict[str, Any] = {"C": lambda x: x, "F": as_f, "any": strided}


def built(
    name: str, operands: list[Any], attrs: dict[str, Any], weak_inputs: bool = False, owned: bool = False
) -> tuple[Graph, list[Any]] | None:
    """A graph of one application; numbers are constants, or inputs. None where NumPy has no loop for these dtypes.

    `owned`: the operation gets copies of the inputs, whose memory it may take over.
    """
    graph, given, values = Graph(), [], list[Any]()
    for x in operands:
        if isinstance(x, np.ndarray) or weak_inputs:
            value = graph.input(spec_of(x))
            values.append(TABLE["copy"](value) if owned and isinstance(x, np.ndarray) else value)
            given.append(x)
        else:
            values.append(x)
    try:
        made = graph.apply(TABLE[name], values, attrs)
    except DTypeError:
        return None
    graph.outputs = [made] if isinstance(made, Value) else list(made)
    return graph, given


def same(got: Any, wanted: Any, exact: bool, what: str) -> None:
    got_array, wanted_array = np.asarray(got), np.asarray(wanted)
    assert got_array.dtype == wanted_array.dtype and got_array.shape == wanted_array.shape, what
    assert isinstance(got, np.ndarray) == isinstance(wanted, np.ndarray) or got_array.shape, f"{what}: {type(got)} for {type(wanted)}"
    if exact:
        np.testing.assert_array_equal(got_array, wanted_array, err_msg=what)
    else:
        eps = np.finfo(wanted_array.dtype).eps if wanted_array.dtype.kind in "fc" else 0
        np.testing.assert_allclose(got_array, wanted_array, rtol=64 * float(eps), atol=float(eps), err_msg=what)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_has_a_kernel(name: str) -> None:
    assert any(kernel.exact for kernel in KERNELS[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_has_a_cost(name: str) -> None:
    """Whatever the attributes are: the cost may be asked for where a kernel has no rival."""
    for operands, attrs in cases(name, np.random.default_rng(1)):
        made = built(name, operands, attrs)
        for step in plan(made[0], NUMPY.target()).steps if made is not None else ():
            if isinstance(step, Call):
                for kernel in KERNELS[step.node.op.name]:
                    specs = tuple([v.spec for v in step.node.operands])
                    assert kernel.cost(specs, step.node.specs, step.node.attrs) >= 0, kernel.name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_against_the_reference(name: str, layout: str) -> None:
    rng = np.random.default_rng(1)
    for exact, owned in ((False, False), (True, False), (False, True)):
        for operands, attrs in cases(name, rng):
            made = built(name, operands, attrs, owned=owned)
            if made is None:
                continue
            graph, given = made
            laid = [LAYOUTS[layout](x) for x in given]
            layouts = {k: layout for k, x in enumerate(laid) if x.ndim}
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wanted = evaluate(graph, laid)[0]
                program = NUMPY.emit(plan(graph, NUMPY.target(exact), layouts=layouts, exact=exact))
                for x in laid:
                    x.flags.writeable = False
                what = f"{name} {[str(spec_of(x)) for x in operands]} {attrs} {layout} {'exact' if exact else ''}\n{program.source}"
                try:
                    instance = program.bind()
                    first = instance.run(laid)
                    for garbage in (0, 255):  # 255 in all bytes is NaN
                        spoil(instance, program.plan, garbage)
                        again = instance.run(laid)
                        for a, b in zip(first, again, strict=True):
                            np.testing.assert_array_equal(a, b)
                except Exception as error:
                    error.add_note(what)
                    raise
            for got, want in zip(first, wanted, strict=True):
                same(got, want, exact and (layout != "any" or TABLE[name].family == "elementwise"), what)


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n].family == "elementwise"])
def test_python_numbers_as_inputs(name: str) -> None:
    rng = np.random.default_rng(2)
    for operands, attrs in cases(name, rng):
        if any(not isinstance(x, np.ndarray) for x in operands):
            made = built(name, operands, attrs, weak_inputs=True)
            if made is not None:
                graph, given = made
                with np.errstate(all="ignore"):
                    got = NUMPY.emit(plan(graph, NUMPY.target()))(given)
                    for a, b in zip(got, evaluate(graph, given)[0], strict=True):
                        same(a, b, False, name)


VIEW_ATTRS: dict[str, dict[str, Any]] = {
    "reshape": {"shape": (2, 6)}, "transpose": {"axes": (1, 0)}, "broadcast_to": {"shape": (2, 3, 4)}, "expand_dims": {"axis": (1,)},
    "squeeze": {"axis": (0,)}, "slice": {"index": ((2, None, -1), (1, 4, 2))},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", VIEWS)
def test_views_of_inputs_constants_and_states(name: str, layout: str) -> None:
    given = draw(np.random.default_rng(4), (1, 4) if name == "squeeze" else (3, 4))
    for kind in ("argument", "state", "constant", "owned"):
        graph = Graph()
        value = graph.constant(given) if kind == "constant" else graph.input(spec_of(given), "state" if kind == "state" else "argument")
        view = TABLE[name](TABLE["negative"](value) if kind == "owned" else value, **VIEW_ATTRS[name])
        graph.outputs = [TABLE["add"](view, view), view]
        inputs = [] if kind == "constant" else [LAYOUTS[layout](given)]
        program = NUMPY.emit(plan(graph, NUMPY.target(), layouts=dict.fromkeys(range(len(inputs)), layout)))
        for got, want in zip(program(inputs), evaluate(graph, inputs)[0], strict=True):
            same(got, want, True, f"{kind}\n{program.source}")
