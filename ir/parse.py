"""Text to graph, the inverse of `text.py`: `str(parse(str(graph))) == str(graph)`, line comments included.

Each statement is one line of text. A node's spec is worked out by its operation's rule and must be what the text says. An error
names the line and draws a caret under the culprit. What a text can't hold, large constants and rules of the user's, is given beside it.
"""
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ir.errors import DTypeError, Error, ParseError
from ir.graph import CONSTANT, INPUT, Constant, Graph, Value, bits
from ir.op import Op
from ir.ops import TABLE
from ir.source import Line
from ir.spec import WEAK, Spec, dtype_name, dtype_named, weak_spec

_COMMENT = re.compile(r"(?P<file>.*?):(?P<number>\d+)(?: in (?P<function>\S+))?(?: \((?P<phase>\w+)\))?(?:  (?P<code>.*))?\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"-?0x[0-9a-f]+|-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf\b)|nan\b")
_WORD = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_DIMS = re.compile(r"\[((?:\d+(?:,\d+)*)?)\]")
_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"%\w+")
_SLICE = re.compile(r"slice\(")
_CONST = re.compile(r"const\(")
_COMPLEX = re.compile(r"complex\(")
_BITS = re.compile(r"bits\(0x(?:[0-9a-f]{2})+\)")
_BOOL = re.compile(r"(?:True|False)\b")
_SHA = re.compile(r"sha256:[0-9a-f]{64}")
_CULPRIT = re.compile(r"[%@]?\w+(?:\[[\d,]*\])?")
_NAMED: dict[str, Any] = {"None": None, "True": True, "False": False}
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


class _Token(NamedTuple):
    """An element of a constant before its dtype is known: `kind` is "number", "bits", "complex" (two tokens) or "bool"."""

    kind: str
    text: Any
    start: int


class _Scanner:
    """One line of the text and a position in it."""

    def __init__(self, number: int, text: str):
        self.number, self.text, self.at = number, text, 0
        self.blank()

    def blank(self) -> None:
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing at the least

    def take(self, literal: str) -> bool:
        """Steps over `literal` if it is next."""
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            self.blank()
            return True
        return False

    def need(self, literal: str) -> None:
        if not self.take(literal):
            self.fail(f"expected {literal!r}")

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        self.blank()
        return found.group()

    def end(self) -> None:
        if self.at < len(self.text) and self.text[self.at] != "#":
            self.fail("expected the end of the line")

    def fail(self, cause: str, start: int | None = None, mend: str | None = None, error: Exception | None = None) -> NoReturn:
        start = self.at if start is None else start
        word = _CULPRIT.match(self.text, start)
        carets = "^" * max(1, len(word.group()) if word else 1)
        shown = self.text.replace("\t", " ")
        raise ParseError(f"line {self.number}: {cause}\n  | {shown}\n  | {' ' * start}{carets}", mend=mend) from error


class _Parser:
    def __init__(self, constants: Mapping[str, Any], rules: Mapping[str, Any]):
        self.constants, self.rules = constants, rules
        self.graph = Graph()
        self.names: dict[str, Value] = {}
        self.returned = False

    # ---- statements
    def parse(self, text: str) -> Graph:
        scanners = [_Scanner(number, line) for number, line in enumerate(text.split("\n"), 1)]
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
        return self.graph

    def statement(self, s: _Scanner) -> bool:
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

    def update(self, s: _Scanner) -> None:
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

    def node(self, s: _Scanner) -> None:
        results = self.listed(s, self.new_name)
        s.need("=")
        start = s.at
        name = s.match(_WORD) or s.fail("expected the name of an operation")
        op, tokens, operands = self.application(s, name, start)
        attrs = self.attributes(s) if op is not CONSTANT and s.take("{") else {}
        s.need(":")
        at_specs = s.at
        specs = tuple(self.listed(s, self.spec))
        if len(specs) != len(results):
            s.fail(f"there are {len(results)} results but {len(specs)} specs", at_specs)
        if op is CONSTANT:
            attrs = {"value": self.constant(s, specs[0], tokens)}
        elif op is INPUT:
            attrs = {"kind": "argument", **attrs, "spec": specs[0]}
        else:
            self.check_specs(s, op, operands, attrs, specs, start, at_specs)
        node = self.graph._add(op, tuple(operands), attrs, specs, self.comment(s))
        self.graph.inputs += node.outputs if op is INPUT else ()
        self.names.update(zip(results, node.outputs))

    def application(self, s: _Scanner, name: str, start: int) -> tuple[Op, list[_Token], list[Value]]:
        """What is applied, to what: the operation, a constant's elements, the operands."""
        s.need("(")
        if name == "const":
            return CONSTANT, self.elements(s), []
        op = INPUT if name == "input" else TABLE.get(name)
        if op is None:
            near = difflib.get_close_matches(name, TABLE, 3)
            mend = f"did you mean {' or '.join(near)}?" if near else "ir.ops.TABLE lists them"
            s.fail(f"there is no operation {name!r}", start, mend)
        operands = self.operands(s) if s.text.startswith("%", s.at) else []
        s.need(")")
        return op, [], operands

    def check_specs(
        self, s: _Scanner, op: Op, operands: list[Value], attrs: dict[str, Any], specs: tuple[Spec, ...], start: int, at_specs: int
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

    def comment(self, s: _Scanner) -> Line | None:
        if not s.take("#"):
            return None
        found = _COMMENT.match(s.text[s.at :].rstrip())
        s.at = len(s.text)
        if found is None:
            return None
        return Line(found["file"], int(found["number"]), found["function"] or "", found["phase"] or "forward", found["code"] or "")

    # ---- pieces
    def listed(self, s: _Scanner, one: Any) -> list[Any]:
        found = [one(s)]
        while s.take(","):
            found.append(one(s))
        return found

    def new_name(self, s: _Scanner) -> str:
        start = s.at
        name = s.match(_NAME) or s.fail("expected a value such as %0")
        if name in self.names:
            s.fail(f"{name} is defined twice", start)
        return name

    def operand(self, s: _Scanner) -> Value:
        start = s.at
        name = s.match(_NAME) or s.fail("expected a value such as %0")
        if name not in self.names:
            s.fail(f"{name} is not defined above", start)
        return self.names[name]

    def operands(self, s: _Scanner) -> list[Value]:
        return self.listed(s, self.operand)

    def spec(self, s: _Scanner) -> Spec:
        start = s.at
        found = self.word(s)
        return found if isinstance(found, Spec) else s.fail("expected a spec such as f64[3,5]", start)

    def attributes(self, s: _Scanner) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not s.take("}"):
            if found:
                s.need(",")
            start = s.at
            name = s.match(_WORD) or s.fail("expected the name of an attribute")
            if name in found:
                s.fail(f"{name} is given twice", start)
            s.need("=")
            found[name] = self.attribute(s, 0)
        return found

    def attribute(self, s: _Scanner, depth: int) -> Any:
        start, next_ = s.at, s.text[s.at : s.at + 1]
        if depth > _DEPTH:
            s.fail(f"more than {_DEPTH} brackets are open")
        if s.take("("):
            return self.tuple(s, depth)
        if next_ == '"':
            return self.string(s)
        if s.take("@"):
            return self.rule(s, start)
        if next_ == "<":
            s.fail("this attribute has no text form and can't be read back")
        if s.match(_SLICE):
            return slice(*self.tuple(s, depth))
        if s.match(_CONST):
            spec = self.spec(s)
            s.need(":")
            return self.constant(s, spec, self.elements(s))
        token = self.element(s)
        return self.word(s) if token is None else _python(token)

    def tuple(self, s: _Scanner, depth: int) -> tuple[Any, ...]:
        """The rest of a tuple whose bracket is open."""
        found: list[Any] = []
        while not s.take(")"):
            found.append(self.attribute(s, depth + 1))
            if not s.take(",") and not s.text.startswith(")", s.at):
                s.fail("expected ',' or ')'")
        return tuple(found)

    def string(self, s: _Scanner) -> str:
        start = s.at
        found = s.match(_STRING) or s.fail("this string is not closed", start)
        try:
            return json.loads(found)
        except ValueError as error:
            s.fail(f"this is no JSON string ({error})", start, None, error)

    def rule(self, s: _Scanner, start: int) -> Any:
        name = self.string(s) if s.text.startswith('"', s.at) else s.match(_WORD) or s.fail("expected the name of a rule")
        if name not in self.rules:
            mend = f"pass it: ir.parse(text, rules={{{name!r}: ...}}), or rules=graph.rules"
            s.fail(f"the rule {name!r} is not in the text", start, mend)
        return self.rules[name]

    def word(self, s: _Scanner) -> Any:
        """None, True, False, a dtype or a spec."""
        start = s.at
        name = s.match(_WORD) or s.fail("expected a value")
        if name in _NAMED:
            return _NAMED[name]
        if name in WEAK:
            return weak_spec(name)
        try:
            dtype = dtype_named(name)
            known = dtype_name(dtype) == name
        except (KeyError, TypeError, ValueError):
            known = False
        if not known:
            s.fail(f"{name!r} is no dtype, spec or value", start, mend="dtypes are bool, i8 to i64, u8 to u64, f16 to f64, c64 and c128")
        dims = s.match(_DIMS)
        return dtype if dims is None else Spec([int(n) for n in dims[1:-1].split(",") if n], dtype)

    # ---- constants
    def elements(self, s: _Scanner) -> list[_Token]:
        """The elements of a constant whose bracket is open, or one token of kind "sha256"."""
        start = s.at
        sha = s.match(_SHA)
        found = [] if sha is None else [_Token("sha256", sha, start)]
        while not s.take(")"):
            if found:
                s.need(",")
            found.append(self.element(s) or s.fail("expected a number"))
        return found

    def element(self, s: _Scanner) -> _Token | None:
        start = s.at
        number = s.match(_NUMBER)
        if number is not None:
            return _Token("number", number, start)
        flag = s.match(_BOOL)
        if flag is not None:
            return _Token("bool", flag == "True", start)
        bits = s.match(_BITS)
        if bits is not None:
            return _Token("bits", bytes.fromhex(bits[7:-1]), start)
        if s.match(_COMPLEX) is None:
            return None
        real = self.element(s) or s.fail("expected a number")
        s.need(",")
        imag = self.element(s) or s.fail("expected a number")
        s.need(")")
        return _Token("complex", (real, imag), start)

    def constant(self, s: _Scanner, spec: Spec, tokens: list[_Token]) -> Constant:
        if tokens and tokens[0].kind == "sha256":
            return self.given(s, spec, tokens[0])
        if len(tokens) != spec.size:
            s.fail(f"{len(tokens)} elements are given for {spec}, which has {spec.size}", tokens[0].start if tokens else s.at)
        if spec.weak is not None:
            value = _python(tokens[0])
            return Constant(value) if type(value).__name__ == spec.weak else s.fail(f"this is no Python {spec.weak}", tokens[0].start)
        array = np.empty(spec.size, spec.dtype)
        for k, token in enumerate(tokens):
            try:
                _store(array[k : k + 1], token)
            except (TypeError, ValueError, OverflowError) as error:
                s.fail(f"this is no element of {dtype_name(spec.dtype)}", token.start, None, error)
        return Constant(array.reshape(spec.shape)[()])

    def given(self, s: _Scanner, spec: Spec, token: _Token) -> Constant:
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




def _python(token: _Token) -> Any:
    """The Python number that a token is."""
    if token.kind == "complex":
        real, imag = token.text
        return complex(_python(real), _python(imag))
    if token.kind == "bits":
        found = np.empty(1)
        _store_bits(found, token.text)
        return float(found[0])
    if token.kind == "bool":
        return token.text
    if "0x" in token.text:
        return int(token.text, 16)
    return int(token.text) if token.text.lstrip("-").isdigit() else float(token.text)


def _store(slot: np.ndarray, token: _Token) -> None:
    """Writes an element into an array of one. Raises ValueError, TypeError or OverflowError where it does not fit the dtype."""
    kind = slot.dtype.kind
    if token.kind == "complex" and kind == "c":
        _store(slot.real, token.text[0])
        _store(slot.imag, token.text[1])
    elif token.kind == "bits" and kind == "f":
        _store_bits(slot, token.text)
    elif (token.kind == "bool") != (kind == "b") or token.kind in ("complex", "bits"):
        raise ValueError(token.kind)
    elif kind in "iu":
        slot[:] = int(token.text, 16 if "0x" in token.text else 10)
    else:
        slot[:] = token.text if kind == "b" else slot.dtype.type(token.text)


def _store_bits(slot: np.ndarray, given: bytes) -> None:
    if len(given) != len(bits(slot)):
        raise ValueError(f"{len(given)} bytes")
    slot[:] = np.frombuffer(given[::-1].ljust(slot.dtype.itemsize, b"\0"), slot.dtype.newbyteorder("<"))
