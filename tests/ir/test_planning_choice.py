"""Which class of axes a node joins: the rule's steps one by one, each where all before it are equal."""
from __future__ import annotations

import pytest

from ir import Graph, Spec
from ir.ops import elementwise as e
from ir.planning.choice import Stepping, choose
from ir.planning.strides import c_strides
from ir.target import Target

TARGET = Target("toy", {}, cache_bytes=1 << 12)


def chosen(ways, target=TARGET, lies=None):
    """The classes that the nodes join. All lies in C order, the results as `lies` says, if it does."""
    strides = {v: c_strides(v.shape, 8) for node in ways for v in (*node.operands, *node.outputs)}
    strides |= {node.outputs[0]: lies for node in ways if lies}
    found = choose(ways, Stepping(strides, target))
    return [found[node] for node in ways]


@pytest.fixture
def chain():
    """exp(x), tanh of it; x is square, so rows and columns count alike."""
    graph = Graph()
    x = graph.input(Spec((8, 8)))
    y = e.exp(x)
    return x, y.node, e.tanh(y).node


@pytest.mark.parametrize("turned", [False, True])
def test_last_the_one_that_is_met_first(chain, turned):
    x, first, second = chain
    spots = [(x, 1), (x, 0)] if turned else [(x, 0), (x, 1)]
    ways = {node: dict.fromkeys(spots) for node in (first, second)}  # reduced both: neither is outermost in a result
    assert {spot for spot, _ in chosen(ways)} == {spots[0]}


def test_before_it_the_outermost_in_memory(chain):
    x, first, second = chain
    ways = {node: {(x, 1): 1, (x, 0): 0} for node in (first, second)}
    assert chosen(ways) == [((x, 0), 0)] * 2
    assert chosen(ways, lies=(8, 64)) == [((x, 1), 1)] * 2


def test_before_it_one_of_which_an_index_is_small(chain):
    x, first, second = chain
    long = Graph().input(Spec((2, 800)))  # two indices of 6,400 bytes each
    ways = {node: {(long, 0): 0, (x, 1): 1} for node in (first, second)}
    assert chosen(ways) == [((x, 1), 1)] * 2


def test_before_it_one_that_cuts_the_result(chain):
    x, first, second = chain
    ways = {first: {(x, 0): None, (x, 1): 1}, second: {(x, 0): None, (x, 1): 1}}
    assert chosen({first: ways[first]}) == [((x, 1), 1)]


def test_first_what_is_handed_on_less_what_is_stepped(chain):
    x, first, second = chain
    ways = {first: {(x, 0): 0, (x, 1): 1}, second: {(x, 1): 1}}
    assert chosen(ways) == [((x, 1), 1)] * 2  # along the columns exp hands its result on
    walking = Target("toy", {}, cache_bytes=1 << 12, run_ns=1e6)
    assert chosen(ways, walking) == [((x, 0), 0), ((x, 1), 1)]
