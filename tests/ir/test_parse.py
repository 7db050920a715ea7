"""Text to graph: round trips over drawn graphs and constants to the bit, and errors that point at the culprit."""
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir import Constant, Graph, Line, Spec, evaluate, parse, passes
from ir.errors import ParseError
from ir.ops import TABLE
from ir.ops import elementwise as e
from ir.ops.custom import custom
from ir.ops.opaque import opaque
from tests.ir.networks import two_layers

DTYPES = [np.dtype(d) for d in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")]


def same(graph: Graph) -> None:
    """The graph survives its text: with and without lines, node by node, attributes and specs included."""
    for lines in (True, False):
        text = graph.text(lines)
        twin = parse(text, constants=graph.constants, rules=graph.rules)
        assert twin.text(lines) == text
        twin.verify()
        for a, b in zip(graph.order(), twin.order(), strict=True):
            assert (a.op, a.specs, dict(sorted(a.attrs.items()))) == (b.op, b.specs, dict(sorted(b.attrs.items())))


class Rule:
    name = "Twice"

    def vjp(self, g, outs, ins):
        return g


def test_round_trip_of_everything() -> None:
    graph = Graph()
    x = graph.input(Spec((2, 3)), line=Line("model.py", 3, "f", text='x = "#"'))
    w = graph.input(Spec((3,)), "state", Line("<stdin>", 4, "<lambda>", text="w"))
    n = graph.input(Spec((), int, "int"), "captured")
    with graph.at(Line("my model.py", 5, "f", "backward", text='y = 2 * x + w # {"a": 1}')):
        y = e.tanh(2 * x + w) * n
        y = custom(y, x, outs=1, rule=Rule())
        new, flag = opaque(y, w, specs=(Spec((3,)), Spec((0, 2), "?")))
    graph.outputs, graph.updates = [y, y, flag, x], [(w, new)]
    graph.apply(e.negative, [y])  # what nothing needs is kept as well
    same(graph)


def test_round_trip_of_a_training_step() -> None:
    graph = two_layers()
    same(graph)
    passes.optimize(graph)
    same(graph)
    assert "linear_vjp" in str(graph)


def test_inputs_keep_their_kind_and_lines() -> None:
    graph = parse('graph {\n%x = input() {kind="state"} : f32[2] # my file.py:7 in f (update)  a = b\nreturn %x\nupdate %x <- %x\n}')
    line = graph.inputs[0].node.line
    assert line is not None
    assert (line.file, line.number, line.function, line.phase, line.code) == ("my file.py", 7, "f", "update", "a = b")
    assert graph.inputs[0].node.attrs == {"kind": "state", "spec": Spec((2,), np.float32)}


def test_comments_and_blank_lines_are_free() -> None:
    graph = parse("# a graph\n\n graph {  # here\n\n %0 = input() : float # what comes in\n # then\n return %0\n}\n\n")
    assert graph.inputs[0].spec == Spec((), float, "float")
    assert graph.inputs[0].node.line is None


@given(st.data())
def test_constants_come_back_to_the_bit(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(st.sampled_from([(), (1,), (3,), (2, 2), (0, 3), (17,)]))
    count = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(data.draw(st.binary(min_size=count, max_size=count)), np.uint8)
    array = (raw % 2).view(bool) if dtype.kind == "b" else raw.view(dtype)
    graph = Graph()
    graph.outputs = [graph.constant(array.reshape(shape))]
    twin = parse(str(graph), constants=graph.constants)
    held = twin.outputs[0].node.attrs["value"]
    assert held.array().tobytes() == array.tobytes()
    assert held.spec == Spec(shape, dtype)


@given(st.integers() | st.floats() | st.complex_numbers())
def test_python_numbers_come_back(number: complex) -> None:
    graph = Graph()
    graph.outputs = [graph.constant(number)]
    found = parse(str(graph)).outputs[0].node.attrs["value"].value
    assert type(found) is type(number)
    assert repr(found) == repr(number)


def test_a_python_int_of_any_size() -> None:
    graph = Graph()
    graph.outputs = [graph.constant(-(3**20_000))]
    same(graph)


def test_long_doubles_and_payloads() -> None:
    third = np.longdouble(1) / 3
    nan = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    graph = Graph()
    graph.outputs = [graph.constant(np.array([third, -third, np.nan], np.longdouble)), graph.constant(nan)]
    same(graph)
    assert parse(str(graph)).outputs[0].node.attrs["value"].array()[0] == third


@given(st.text(max_size=20))
def test_lines_of_any_text(code: str) -> None:
    graph = Graph()
    graph.outputs = [graph.input(Spec(()), line=Line("a.py", 1, "f", text=code))]
    assert str(parse(str(graph))) == str(graph)


ATTRIBUTES = [
    None, True, 0, -3, 2**70, 0.5, -0.0, float("inf"), 1j, complex(-0.0, -0.0), "a \"b\" \\ \n é \u2028 }#", (), (1,), ((1, None), ("a",)),
    np.dtype("f4"), np.dtype(bool), Spec((3,)), Spec((), int, "int"), Constant(2.0), Constant(np.arange(3, dtype="i2")),
    Constant(np.arange(99)),
]


@pytest.mark.parametrize("value", ATTRIBUTES, ids=repr)
def test_attributes_come_back(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = dataclasses.replace(opaque, name="noted", operands=("x",), spec=lambda x, *, note: x)
    monkeypatch.setitem(TABLE, "noted", noted)
    graph = Graph()
    graph.outputs = [noted(graph.input(Spec((2,))), note=value)]
    known = {f"sha256:{value.sha}": value.array()} if isinstance(value, Constant) else {}
    found = parse(str(graph), constants=known).outputs[0].node.attrs["note"]
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_a_parsed_graph_runs() -> None:
    graph = parse("graph {\n%0 = input() : f64[2]\n%1 = const(0.5) : float\n%2 = multiply(%0, %1) : f64[2]\nreturn %2\n}")
    outputs, _ = evaluate(graph, [np.array([1.0, 2.0])])
    assert outputs[0].tolist() == [0.5, 1.0]


HEAD = 'graph {\n  %0 = input() {kind="state"} : f64[3]\n'
WRONG = [
    # what stands on line 3, where the caret starts, what is said
    ("  %1 = tahn(%0) : f64[3]", "tahn", "there is no operation 'tahn'"),
    ("  %1 = tanh(%9) : f64[3]", "%9", "%9 is not defined above"),
    ("  %0 = tanh(%0) : f64[3]", "%0", "%0 is defined twice"),
    ("  %1 = tanh(%0) : f64[4]", "f64[4]", "tanh gives f64[3] here, not f64[4]"),
    ("  %1 = tanh(%0) : f64[3], f64[3]", "f64[3], f64[3]", "there are 1 results but 2 specs"),
    ("  %1 = tanh(%0, %0) : f64[3]", "tanh", "tanh takes 1 operands (x), not 2"),
    ("  %1 = clip(%0) : f64[3]", "clip", "clip: wrong operands or attributes"),
    ("  %1 = tanh(%0) {axis=1} : f64[3]", "tanh", "tanh: wrong operands or attributes"),
    ("  %1 = tanh(%0) {axis=1, axis=2} : f64[3]", "axis=2", "axis is given twice"),
    ("  %1 = tanh(%0) {axis=f65} : f64[3]", "f65", "'f65' is no dtype, spec or value"),
    ("  %1 = tanh(%0) {axis=(1 2)} : f64[3]", "2)", "expected ',' or ')'"),
    ('  %1 = tanh(%0) {axis="1} : f64[3]', '"1}', "this string is not closed"),
    ("  %1 = tanh(%0) {axis=<set()>} : f64[3]", "<set", "this attribute has no text form"),
    ("  %1 = tanh(%0) {axis=@Mine} : f64[3]", "@Mine", "the rule 'Mine' is not in the text"),
    ("  %1 = tanh(%0 : f64[3]", ": f64", "expected ')'"),
    ("  %1 = tanh(%0) f64[3]", "f64", "expected ':'"),
    ("  %1 = tanh(%0) : f32", "f32", "expected a spec such as f64[3,5]"),
    ("  %1 = tanh(%0) : f64[3] and", "and", "expected the end of the line"),
    ("  %1 = const(1.0, 2.0) : f64[3]", "1.0", "2 elements are given for f64[3], which has 3"),
    ("  %1 = const(1.5) : i64[]", "1.5", "this is no element of i64"),
    ("  %1 = const(300) : u8[]", "300", "this is no element of u8"),
    ("  %1 = const(bits(0x00)) : f64[]", "bits", "this is no element of f64"),
    ("  %1 = const(1.0) : int", "1.0", "this is no Python int"),
    (f"  %1 = const(sha256:{'0' * 64}) : f64[99]", "sha256", "the array of this constant is not in the text"),
    ("  %1 = " + "(" * 99, "(", "expected the name of an operation"),
    ("  %1 = tanh(%0) {axis=" + "(" * 99 + "} : f64[3]", None, "more than 50 brackets are open"),
    ("  hello", "hello", "expected a node"),
    ("  update %0 <- %0", "update", "expected a node"),
    ("  }", "}", "the graph has no return"),
]


@pytest.mark.parametrize("text, culprit, cause", WRONG, ids=[c[2] for c in WRONG])
def test_errors_point_at_the_culprit(text: str, culprit: str | None, cause: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(HEAD + text + "\n  return %0\n}")
    said, shown, carets = str(caught.value).split("\n")[:3]
    assert said.startswith(f"line 3: {cause}")
    assert shown == f"  | {text}"
    if culprit is not None:
        assert carets.index("^") - 4 in {k for k in range(len(text)) if text.startswith(culprit, k)}


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "there is no graph in the text"),
        ("hello", "line 1: expected 'graph'"),
        ("graph {", "line 1: the graph is not closed"),
        ("graph {\nreturn\n}\nmore", "line 4: expected nothing behind the graph"),
        ("graph {\n%0 = input() : f64[3]\nreturn\nupdate %0 <- %0\n}", 'line 4: only an input of kind "state" can be updated'),
        (HEAD + "return\nupdate %0 <- %0\nupdate %0 <- %0\n}", "line 5: this state is updated twice"),
        (HEAD + "%1 = const(1.0) : f64[]\nreturn\nupdate %0 <- %1\n}", "line 5: the state is f64[3] but its new value is f64[]"),
        (HEAD + "return\n%1 = tanh(%0) : f64[3]\n}", "line 4: expected `update` or `}` behind the return"),
    ],
)
def test_errors_of_the_frame(text: str, cause: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert str(caught.value).startswith(cause)


def test_another_array_for_a_constant_is_noticed() -> None:
    graph = Graph()
    graph.outputs = [graph.constant(np.arange(99.0))]
    (key,) = graph.constants
    with pytest.raises(ParseError, match="another array is given"):
        parse(str(graph), constants={key: np.arange(99.0) + 1})


def test_the_errors_say_what_to_pass() -> None:
    graph = Graph()
    x = graph.constant(np.arange(99.0))
    graph.outputs = [custom(x, x, outs=1, rule=Rule())]
    with pytest.raises(ParseError, match="constants=graph.constants"):
        parse(str(graph))
    with pytest.raises(ParseError, match="rules=graph.rules"):
        parse(str(graph), constants=graph.constants)
    same(graph)
