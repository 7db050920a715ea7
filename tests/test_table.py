"""The table of operations is complete: no rule, no gradient (or its stated absence) and no kernel is missing, nothing is left out."""
from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import backends
import ir.ops
from ir.evaluate import evaluate
from ir.gradient import append_gradient
from ir.graph import Graph
from ir.op import Gathered, Mixed, NoVjp, Op, Part, Reduced, Same, Shift, Trait, Whole
from ir.ops import TABLE
from ir.spec import Spec, spec_of
from tests.ir.cases import ALL, IDS, WITHOUT, Case, cases, specs

OPS = list(TABLE.values())
FLAT = {"copysign", "floor_divide", "sign", "imag", "custom"}  # rules that give no cotangent, or zeros, for some real operand
KERNELS = backends.get("numpy").target().kernels
NO_KERNEL = {
    "opaque": "it runs nothing",
    "custom": "a pass replaces it by its operands",
    "python": "the host does it before the array part",
}
FAMILIES = {"elementwise", "reduce", "shape", "matmul", "nn", "index", "update", "scalar", "custom", "opaque"}


def test_names_are_unique_and_nothing_is_left_out() -> None:
    records: dict[str, set[Op]] = {}
    for module in pkgutil.iter_modules(ir.ops.__path__):
        for name, found in vars(importlib.import_module(f"ir.ops.{module.name}")).items():
            if isinstance(found, Op) and not found.has(Trait.SOURCE) and not name.startswith("_"):
                records.setdefault(found.name, set()).add(found)
    assert all(len(found) == 1 for found in records.values())
    assert {name: [op] for name, op in TABLE.items()} == {name: list(found) for name, found in records.items()}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_rule_is_there(op: Op) -> None:
    assert op.name.isidentifier() and op.family in FAMILIES and op.operands
    for rule in (op.spec, op.meaning, op.axes, op.flops):
        assert callable(rule)
    assert callable(op.vjp) or (isinstance(op.vjp, NoVjp) and op.vjp.reason)
    assert op.order in ("C", "K", "view", "gather") and (op.order == "view") == (op.view_of is not None)
    assert op.name in WITHOUT or cases(op), f"tests/ir/cases.py has no case for {op.name}"


@pytest.mark.parametrize(("op", "case"), ALL, ids=IDS)
def test_rules_answer(op: Op, case: Case) -> None:
    operands, attrs = case
    given = specs(case)
    outs = op.infer(given, attrs)
    assert outs and all(isinstance(s, Spec) for s in outs)
    axes = op.axes(outs, given, **attrs)
    assert [len(a) for a in axes] == [s.ndim for s in given]
    assert all(isinstance(a, (Same, Shift, Part, Mixed, Reduced, Gathered, Whole)) for of_one in axes for a in of_one)
    flops = op.flops(outs, given, **attrs)
    assert type(flops) is int and flops >= 0
    assert len(op.names(len(operands))) == len(operands)


@pytest.mark.parametrize(("op", "case"), ALL, ids=IDS)
def test_gradients_are_there(op: Op, case: Case) -> None:
    """Every floating operand gets a cotangent, and the graph with it runs."""
    operands, attrs = case
    graph = Graph()
    values = [graph.input(spec_of(x)) for x in operands]
    given = op(*values, **attrs)
    outputs = list(given) if isinstance(given, tuple) else [given]
    wrt = [v for v in values if v.dtype.kind == "f"]
    if not wrt or any(v.dtype.kind != "f" for v in outputs) or isinstance(op.vjp, NoVjp) and not op.vjp.zero:
        return
    seeds = [graph.input(v.spec.strong()) for v in outputs]
    graph.outputs = append_gradient(graph, outputs, seeds, wrt)
    weights = [np.linspace(0.5, 1.5, max(v.spec.size, 1))[: v.spec.size].reshape(v.shape).astype(v.dtype) for v in seeds]
    found = evaluate(graph, [*operands, *weights])[0]
    for value, array in zip(wrt, found):
        assert array.shape == value.shape and np.isfinite(array).all()
        if not isinstance(op.vjp, NoVjp) and op.name not in FLAT and array.size:
            assert np.any(array != 0), f"{op.name} gives no gradient"


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_operation_has_a_kernel(op: Op) -> None:
    """Views cost no step and need none; what else has none says why."""
    has: Any = KERNELS.get(op.name, ())
    if op.name in NO_KERNEL:
        assert not has
    elif op.view_of is None:
        assert has, f"the NumPy backend has no kernel for {op.name}"
    assert all(kernel.covers == op.name for kernel in has)


def test_kernels_cover_operations_of_the_table() -> None:
    assert set(KERNELS) - set(TABLE) == set()
