"""Which nodes run block by block: small graphs and the groups that are found in them, a line each, with why the others are in none.

A line has the length of the axis that is cut and the operations in the order of the graph; `sum*` is taken in parts, along the axis itself.
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ir.evaluate import evaluate
from ir.graph import Graph, Value
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.opaque import opaque
from ir.ops.reduce import max as largest
from ir.ops.reduce import sum
from ir.planning.contract import contract
from ir.planning.group import ALONE
from ir.planning.regions import NO_AXIS, groups
from ir.spec import Spec
from tests.ir.plan_toys import TOY

TINY = replace(TOY, regions=True, cache_bytes=64, block_elements=2)
READS_PART = "what it reads is reduced along the axis that is cut, and its other neighbours are in no region"
MOVES = "it moves elements, or updates some, and no axis is followed through it"
LARGE_PRODUCT = "a product of which each block would read more than it multiplies"


def x_of(*shape: int, graph: Graph | None = None) -> Value:
    return (graph or Graph()).input(Spec(shape))


def found(*results: Value, exact: bool = False, target=TINY) -> list[str]:
    """The groups and what is left out, of a graph with these results."""
    graph = results[0].node.graph
    graph.outputs = list(results)
    made, why = groups(graph, target, exact, {})
    lines = [f"{g.size}: {', '.join([n.op.name + '*' * (n in g.parts) for n in g.nodes])}" for g in made]
    left = [f"{n.op.name}: {why[n]}" for n in graph.order() if n in why and n.operands]
    return lines + list(dict.fromkeys(left))


def softmax(x: Value) -> Value:
    exped = e.exp(e.subtract(x, largest(x, axis=(1,), keepdims=True)))
    return e.divide(exped, sum(exped, axis=(1,), keepdims=True))


def test_a_chain_is_cut_along_the_outermost_axis():
    assert found(e.exp(e.multiply(x_of(6, 4), 2.0))) == ["6: multiply, exp"]


def test_a_fan_out_is_one_group():
    y = e.exp(x_of(6, 4))
    assert found(e.multiply(y, 2.0), e.tanh(y), e.add(y, e.sin(y))) == ["6: exp, multiply, tanh, sin, add"]


def test_reductions_of_whole_rows_in_sequence():
    assert found(softmax(x_of(6, 4))) == ["6: max, subtract, exp, sum, divide"]


def test_reductions_of_whole_columns_cut_the_columns():
    x = x_of(6, 4)
    assert found(e.divide(e.exp(x), sum(e.exp(x), axis=(0,), keepdims=True))) == ["4: exp, exp, sum, divide"]


def test_layer_norm_with_parameters():
    x = x_of(6, 4)
    scale, bias = x_of(4, graph=x.node.graph), x_of(4, graph=x.node.graph)
    d = e.subtract(x, e.divide(sum(x, axis=(1,), keepdims=True), 4.0))
    root = e.sqrt(e.add(e.divide(sum(e.square(d), axis=(1,), keepdims=True), 4.0), 1e-5))
    y = e.add(e.multiply(e.divide(d, root), scale), bias)
    assert found(y) == ["6: sum, divide, subtract, square, sum, divide, add, sqrt, divide, multiply, add"]


def test_gradients_of_parameters_and_the_loss_are_added_up_over_the_blocks():
    y = softmax(x_of(6, 4))
    bias, loss = sum(y, axis=(0,), keepdims=False), sum(e.square(y), axis=(0, 1), keepdims=False)
    assert found(y, bias, loss) == ["6: max, subtract, exp, sum, divide, sum*, square, sum*"]


def test_exact_adds_up_nothing_in_parts():
    y = softmax(x_of(6, 4))
    alone = f"sum: exact=True takes no reduction in parts, and {ALONE}"
    assert found(y, sum(y, axis=(0,), keepdims=False), exact=True) == ["6: max, subtract, exp, sum, divide", alone]


def test_what_reads_a_part_is_in_a_later_group():
    """The sum over all rows is known when all blocks are done."""
    y = softmax(x_of(6, 4))
    later = e.multiply(e.subtract(y, sum(y, axis=(0,), keepdims=False)), 2.0)
    assert found(later) == ["6: max, subtract, exp, sum, divide, sum*", "6: subtract, multiply"]


def test_what_reads_a_part_alone_is_left_out():
    y = softmax(x_of(6, 4))
    later = e.subtract(y, sum(y, axis=(0,), keepdims=False))
    assert found(later) == ["6: max, subtract, exp, sum, divide, sum*", f"subtract: {READS_PART}"]


def test_a_value_that_leaves_and_comes_back_parts_the_group():
    """Convexity: what the unknown operation gives can't be read in the group that it reads from."""
    y = e.exp(e.multiply(x_of(6, 4), 2.0))
    z = opaque(y, specs=(y.spec,))
    (z,) = z if isinstance(z, tuple) else (z,)
    lines = found(e.tanh(e.add(y, z)))
    assert lines == ["6: multiply, exp", "6: add, tanh", "opaque: its inside is not known to the planner"]


def test_views_inside_follow_their_axes():
    x = x_of(6, 4)
    turned = TABLE["transpose"](e.exp(x), axes=(1, 0))
    assert found(e.multiply(TABLE["expand_dims"](turned, axis=(0,)), 2.0)) == ["6: exp, transpose, expand_dims, multiply"]


def test_a_merged_axis_is_cut_in_whole_runs():
    y = TABLE["reshape"](e.exp(x_of(6, 4)), shape=(24,))
    assert found(e.tanh(e.multiply(y, 2.0))) == ["6: exp, reshape, multiply, tanh"]


def test_broadcasts_read_whole_what_has_not_the_axis():
    x = x_of(6, 4)
    row, column = x_of(4, graph=x.node.graph), x_of(6, 1, graph=x.node.graph)
    assert found(e.multiply(e.add(x, e.exp(row)), e.tanh(column)))[0].startswith("6: ")


def test_left_out_with_the_reason():
    x = x_of(6, 4)
    graph = x.node.graph
    y = e.exp(e.multiply(x, 2.0))
    index = graph.input(Spec((3,), "int64"))
    taken = TABLE["take"](y, index, axis=0, mode="raise")
    product = TABLE["dot"](y, x_of(4, 5, graph=graph))
    lines = found(taken, product, TABLE["sort"](y, axis=1, kind=None))
    assert lines == ["6: multiply, exp", f"take: {MOVES}", f"dot: {LARGE_PRODUCT}", f"sort: {MOVES}"]


def test_targets_whose_products_are_library_calls():
    x = x_of(60, 2)
    y = TABLE["dot"](e.exp(e.multiply(x, 2.0)), x_of(2, 2, graph=x.node.graph))
    large = replace(TINY, cache_bytes=400)
    assert found(y, target=large) == ["60: multiply, exp, dot"]
    assert found(y, target=replace(large, region_products=False)) == ["60: multiply, exp", "dot: products are calls of a library"]


def test_small_arrays_are_no_matter():
    small = e.multiply(e.exp(x_of(1)), 2.0)
    small.node.graph.outputs = [small]
    assert contract(small.node.graph, TINY, False) == (small.node.graph, ())


@pytest.mark.parametrize("exact", [False, True])
def test_the_users_graph_is_left_alone(exact: bool):
    y = softmax(x_of(6, 4))
    graph = y.node.graph
    graph.outputs = [y]
    before = str(graph)
    made, left = contract(graph, TINY, exact)
    assert str(graph) == before and made is not graph and left == ()
    assert [n.op.name for n in made.order() if n.operands] == ["region"]


def test_a_group_that_moves_as_much_is_none():
    """Both results are read by others: in blocks nothing is saved but the second reading."""
    x = x_of(6, 4)
    lines = found(e.exp(x), e.exp(e.multiply(x_of(3, 5, graph=x.node.graph), np.float64(2.0))))
    assert lines == ["3: multiply, exp", f"exp: {ALONE}"]


def test_axes_of_one_index_are_not_cut():
    assert found(e.exp(e.multiply(x_of(1, 24), 2.0))) == ["24: multiply, exp"]
    assert NO_AXIS.startswith("it has no axis")


def test_a_region_means_what_its_nodes_mean():
    x = x_of(6, 4)
    y = softmax(x)
    graph = x.node.graph
    graph.outputs = [y, sum(e.multiply(y, y), axis=(0,), keepdims=False)]
    cut, _ = contract(graph, TINY, False)
    assert [n.op.name for n in cut.order() if n.operands] == ["region", "sum"]
    given = [np.random.default_rng(0).standard_normal((6, 4))]
    for got, want in zip(evaluate(cut, given)[0], evaluate(graph, given)[0], strict=True):
        assert np.array_equal(got, want)


def test_parts_larger_than_what_is_read_do_not_pay():
    """Each share has a row of its own for them."""
    y = e.exp(x_of(8, 40))
    product = TABLE["dot"](TABLE["transpose"](y, axes=(1, 0)), e.multiply(y, 2.0))
    lines = found(product, target=replace(TINY, cache_bytes=10240))
    assert "dot: in blocks it would move as many bytes" in lines
    assert found(sum(softmax(x_of(60, 4)), axis=(0,), keepdims=False)) == ["60: max, subtract, exp, sum, divide, sum*"]
