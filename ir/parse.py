"""Text to graph, the inverse of `text.py`: `str(parse(str(graph))) == str(graph)`, line comments included.

Each statement is one line of text. A node's spec is worked out by its operation's rule and must be what the text says. An error
names the line and draws a caret under the culprit. What a text can't hold, large constants and rules of the user's, is given beside it.
"""
from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ir.constant import Constant
from ir.errors import DTypeError, Error, ParseError
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.op import Op
from ir.ops import TABLE
from ir.scanner import CONST, NAME, SLICE, WORD, Scanner, Token, python_number, store
from ir.spec import Spec, dtype_name
from ir.text import RECOMPUTE

_DEPTH = 50


def parse(text: str, *, constants: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None) -> Graph:
    """The graph that a text describes. `constants` maps `sha256:...` to arrays, `rules` the names behind `@` to rules.

    Raises ParseError, with line and caret, where the text is no graph or where something it refers to is not given.

    >>> graph = parse('''
    ... graph {
    ...   %0 = input() {kind="argument"} : f64[3]
    ...   %1 = negative(%0) : f64[3]
    ...   return %1
    ... }''')
    >>> [str(v.spec) for v in graph.outputs]
    ['f64[3]']
    """
    return _Parser(constants or {}, rules or {}).parse(text)


class _Parser:
    """Builds the graph, one statement after another."""

    def __init__(self, constants: Mapping[str, Any], rules: Mapping[str, Any]):
        self.constants, self.rules = constants, rules
        self.graph = Graph()
        self.names: dict[str, Value] = {}
        self.again: list[tuple[Node, str, Scanner, int]] = []
        self.returned = False

    # ---- statements
    def parse(self, text: str) -> Graph:
        scanners = [Scanner(number, line) for number, line in enumerate(text.split("\n"), 1)]
        statements = [s for s in scanners if s.at < len(s.text) and s.text[s.at] != "#"]
        if not statements:
            raise ParseError("there is no graph in the text", mend="a graph begins with a line `graph {` and ends with `}`")
        statements[0].need("graph")
        statements[0].need("{")
        statements[0].end()
        closed = False
        for scanner in statements[1:]:
            if closed:
                scanner.fail("expected nothing behind the graph")
            closed = self.statement(scanner)
            scanner.end()
        if not closed:
            last = statements[-1]
            last.fail("the graph is not closed", len(last.text), mend="end it with a line `}`")
        for node, name, scanner, start in self.again:
            self.mark(node, name, scanner, start)
        return self.graph

    def mark(self, node: Node, name: str, s: Scanner, start: int) -> None:
        """The node computes again what stands at `name`, which may be further down."""
        if name not in self.names:
            s.fail(f"{name} is not defined", start)
        first = self.names[name].node
        if first is node or first.op is not node.op or first.specs != node.specs:
            s.fail(f"{name} is another operation than this one, which computes it again", start)
        node.recompute_of = first

    def statement(self, s: Scanner) -> bool:
        """One line; True for the closing one."""
        if s.take("}"):
            if not self.returned:
                s.fail("the graph has no return", s.text.index("}"), mend="write `return` in front, alone if there are no outputs")
            return True
        if self.returned:
            if not s.take("update"):
                s.fail("expected `update` or `}` behind the return")
            self.update(s)
        elif s.text.startswith("%", s.at):
            self.node(s)
        elif s.take("return"):
            self.returned = True
            self.graph.outputs = self.operands(s) if s.text.startswith("%", s.at) else []
        else:
            s.fail("expected a node (`%0 = ...`), `return` or `}`")
        return False

    def update(self, s: Scanner) -> None:
        start = s.at
        state = self.operand(s)
        if state.node.op is not INPUT or state.node.attrs["kind"] != "state":
            s.fail("only an input of kind \"state\" can be updated", start)
        if any(state is known for known, _ in self.graph.updates):
            s.fail("this state is updated twice", start)
        s.need("<-")
        start = s.at
        new = self.operand(s)
        if new.spec != state.spec:
            s.fail(f"the state is {state.spec} but its new value is {new.spec}", start)
        self.graph.updates.append((state, new))

    def node(self, s: Scanner) -> None:
        results = s.listed(lambda: self.new_name(s))
        s.need("=")
        start = s.at
        name = s.match(WORD) or s.fail("expected the name of an operation")
        op, tokens, operands = self.application(s, name, start)
        at_attrs = s.at
        attrs = self.attributes(s) if op is not CONSTANT and s.take("{") else {}
        again = attrs.pop(RECOMPUTE, None)
        s.need(":")
        at_specs = s.at
        specs = tuple(s.listed(s.spec))
        if len(specs) != len(results):
            s.fail(f"there are {len(results)} results but {len(specs)} specs", at_specs)
        if op is CONSTANT:
            attrs = {"value": self.constant(s, specs[0], tokens)}
        elif op is INPUT:
            attrs = {"kind": "argument", **attrs, "spec": specs[0]}
        else:
            self.check_specs(s, op, operands, attrs, specs, start, at_specs)
        node = self.graph._add(op, tuple(operands), attrs, specs, s.comment())
        self.graph.inputs += node.outputs if op is INPUT else ()
        if again is not None:
            self.again.append((node, again, s, at_attrs))
        self.names.update(zip(results, node.outputs))

    def application(self, s: Scanner, name: str, start: int) -> tuple[Op, list[Token], list[Value]]:
        """What is applied, to what: the operation, a constant's elements, the operands."""
        s.need("(")
        if name == "const":
            return CONSTANT, s.elements(), []
        op = INPUT if name == "input" else TABLE.get(name)
        if op is None:
            near = difflib.get_close_matches(name, TABLE, 3)
            mend = f"did you mean {' or '.join(near)}?" if near else "ir.ops.TABLE lists them"
            s.fail(f"there is no operation {name!r}", start, mend)
        operands = self.operands(s) if s.text.startswith("%", s.at) else []
        s.need(")")
        return op, [], operands

    def check_specs(
        self, s: Scanner, op: Op, operands: list[Value], attrs: dict[str, Any], specs: tuple[Spec, ...], start: int, at_specs: int
    ) -> None:
        if len(operands) > len(op.operands) and not (op.operands and op.operands[-1].startswith("*")):
            s.fail(f"{op.name} takes {len(op.operands)} operands ({', '.join(op.operands)}), not {len(operands)}", start)
        try:
            inferred = op.infer(tuple([v.spec for v in operands]), attrs)
        except Error as error:
            s.fail(f"{op.name}: {error.cause}", start, error.mend, error)
        except TypeError as error:
            s.fail(f"{op.name}: wrong operands or attributes ({error})", start, None, error)
        if inferred != specs:
            given, found = ", ".join(map(str, specs)), ", ".join(map(str, inferred))
            s.fail(f"{op.name} gives {found} here, not {given}", at_specs)

    # ---- pieces
    def new_name(self, s: Scanner) -> str:
        start = s.at
        name = s.match(NAME) or s.fail("expected a value such as %0")
        if name in self.names:
            s.fail(f"{name} is defined twice", start)
        return name

    def operand(self, s: Scanner) -> Value:
        start = s.at
        name = s.match(NAME) or s.fail("expected a value such as %0")
        if name not in self.names:
            s.fail(f"{name} is not defined above", start)
        return self.names[name]

    def operands(self, s: Scanner) -> list[Value]:
        return s.listed(lambda: self.operand(s))

    def attributes(self, s: Scanner) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not s.take("}"):
            if found:
                s.need(",")
            start = s.at
            name = s.match(WORD) or s.fail("expected the name of an attribute")
            if name in found:
                s.fail(f"{name} is given twice", start)
            s.need("=")
            found[name] = self.attribute(s, 0) if name != RECOMPUTE else s.match(NAME) or s.fail("expected a value such as %0")
        return found

    def attribute(self, s: Scanner, depth: int) -> Any:
        start, next_ = s.at, s.text[s.at : s.at + 1]
        if depth > _DEPTH:
            s.fail(f"more than {_DEPTH} brackets are open")
        if s.take("("):
            return self.tuple(s, depth)
        if next_ == '"':
            return s.string()
        if s.take("@"):
            return self.rule(s, start)
        if next_ == "<":
            s.fail("this attribute has no text form and can't be read back")
        if s.match(SLICE):
            return slice(*self.tuple(s, depth))
        if s.match(CONST):
            spec = s.spec()
            s.need(":")
            return self.constant(s, spec, s.elements())
        token = s.element()
        return s.word() if token is None else python_number(token)

    def tuple(self, s: Scanner, depth: int) -> tuple[Any, ...]:
        """The rest of a tuple whose bracket is open."""
        found: list[Any] = []
        while not s.take(")"):
            found.append(self.attribute(s, depth + 1))
            if not s.take(",") and not s.text.startswith(")", s.at):
                s.fail("expected ',' or ')'")
        return tuple(found)

    def rule(self, s: Scanner, start: int) -> Any:
        name = s.string() if s.text.startswith('"', s.at) else s.match(WORD) or s.fail("expected the name of a rule")
        if name not in self.rules:
            mend = f"pass it: ir.parse(text, rules={{{name!r}: ...}}), or rules=graph.rules"
            s.fail(f"the rule {name!r} is not in the text", start, mend)
        return self.rules[name]

    def constant(self, s: Scanner, spec: Spec, tokens: list[Token]) -> Constant:
        if tokens and tokens[0].kind == "sha256":
            return self.given(s, spec, tokens[0])
        if len(tokens) != spec.size:
            s.fail(f"{len(tokens)} elements are given for {spec}, which has {spec.size}", tokens[0].start if tokens else s.at)
        if spec.weak is not None:
            value = python_number(tokens[0])
            return Constant(value) if type(value).__name__ == spec.weak else s.fail(f"this is no Python {spec.weak}", tokens[0].start)
        array = np.empty(spec.size, spec.dtype)
        for k, token in enumerate(tokens):
            try:
                store(array[k : k + 1], token)
            except (TypeError, ValueError, OverflowError) as error:
                s.fail(f"this is no element of {dtype_name(spec.dtype)}", token.start, None, error)
        return Constant(array.reshape(spec.shape)[()])

    def given(self, s: Scanner, spec: Spec, token: Token) -> Constant:
        key = token.text
        if key not in self.constants:
            s.fail("the array of this constant is not in the text", token.start, "pass it: ir.parse(text, constants=graph.constants)")
        try:
            held = Constant(np.asarray(self.constants[key]))
        except DTypeError as error:
            s.fail(error.cause, token.start, error.mend, error)
        if f"sha256:{held.sha}" != key or held.spec != spec:
            s.fail("another array is given for this constant", token.start, mend="constants maps each sha256 to its own array")
        return held
