"""The words of a graph's text: one line and a position in it; names, specs, numbers and strings are read off it.

What is not as it should be is a ParseError that names the line and draws a caret under the culprit. No graph is built here.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ir.constant import bits
from ir.errors import ParseError
from ir.source import Line
from ir.spec import WEAK, Spec, dtype_name, dtype_named, weak_spec

_COMMENT = re.compile(r"(?P<file>.*?):(?P<number>\d+)(?: in (?P<function>\S+))?(?: \((?P<phase>\w+)\))?(?:  (?P<code>.*))?\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"-?0x[0-9a-f]+|-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf\b)|nan\b")
WORD = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_DIMS = re.compile(r"\[((?:\d+(?:,\d+)*)?)\]")
_BLANK = re.compile(r"\s*")
NAME = re.compile(r"%\w+")
SLICE = re.compile(r"slice\(")
CONST = re.compile(r"const\(")
_COMPLEX = re.compile(r"complex\(")
_BITS = re.compile(r"bits\(0x(?:[0-9a-f]{2})+\)")
_BOOL = re.compile(r"(?:True|False)\b")
_SHA = re.compile(r"sha256:[0-9a-f]{64}")
_CULPRIT = re.compile(r"[%@]?\w+(?:\[[\d,]*\])?")
_NAMED: dict[str, Any] = {"None": None, "True": True, "False": False}


class Token(NamedTuple):
    """An element of a constant before its dtype is known: `kind` is "number", "bits", "complex" (two tokens) or "bool"."""

    kind: str
    text: Any
    start: int


class Scanner:
    """One line of the text and a position in it."""

    def __init__(self, number: int, text: str):
        self.number, self.text, self.at = number, text, 0
        self.blank()

    def blank(self) -> None:
        """Steps over blanks."""
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing at the least

    def take(self, literal: str) -> bool:
        """Steps over `literal` if it is next."""
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            self.blank()
            return True
        return False

    def need(self, literal: str) -> None:
        """Steps over `literal`, which must be next."""
        if not self.take(literal):
            self.fail(f"expected {literal!r}")

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """What the pattern matches here, stepped over; None where it does not."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        self.blank()
        return found.group()

    def end(self) -> None:
        """Nothing but a comment may follow."""
        if self.at < len(self.text) and self.text[self.at] != "#":
            self.fail("expected the end of the line")

    def fail(self, cause: str, start: int | None = None, mend: str | None = None, error: Exception | None = None) -> NoReturn:
        """Raises the ParseError, with a caret under what stands at `start`, here by default."""
        start = self.at if start is None else start
        word = _CULPRIT.match(self.text, start)
        carets = "^" * max(1, len(word.group()) if word else 1)
        shown = self.text.replace("\t", " ")
        raise ParseError(f"line {self.number}: {cause}\n  | {shown}\n  | {' ' * start}{carets}", mend=mend) from error

    # ---- what stands there
    def comment(self) -> Line | None:
        """The line of the user's in a comment, if there is one next."""
        if not self.take("#"):
            return None
        found = _COMMENT.match(self.text[self.at :].rstrip())
        self.at = len(self.text)
        if found is None:
            return None
        return Line(found["file"], int(found["number"]), found["function"] or "", found["phase"] or "forward", found["code"] or "")

    def listed(self, one: Callable[[], Any]) -> list[Any]:
        """What `one` reads, once and again behind each comma."""
        found = [one()]
        while self.take(","):
            found.append(one())
        return found

    def spec(self) -> Spec:
        """A spec such as f64[3,5]."""
        start = self.at
        found = self.word()
        return found if isinstance(found, Spec) else self.fail("expected a spec such as f64[3,5]", start)

    def string(self) -> str:
        """A string in quotes."""
        start = self.at
        found = self.match(_STRING) or self.fail("this string is not closed", start)
        try:
            return json.loads(found)
        except ValueError as error:
            self.fail(f"this is no JSON string ({error})", start, None, error)

    def word(self) -> Any:
        """None, True, False, a dtype or a spec."""
        start = self.at
        name = self.match(WORD) or self.fail("expected a value")
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
            self.fail(f"{name!r} is no dtype, spec or value", start, mend="dtypes are bool, i8 to i64, u8 to u64, f16 to f64, c64 and c128")
        dims = self.match(_DIMS)
        return dtype if dims is None else Spec([int(n) for n in dims[1:-1].split(",") if n], dtype)

    def elements(self) -> list[Token]:
        """The elements of a constant whose bracket is open, or one token of kind "sha256"."""
        start = self.at
        sha = self.match(_SHA)
        found = [] if sha is None else [Token("sha256", sha, start)]
        while not self.take(")"):
            if found:
                self.need(",")
            found.append(self.element() or self.fail("expected a number"))
        return found

    def element(self) -> Token | None:
        """One element of a constant, None where none is next."""
        start = self.at
        number = self.match(_NUMBER)
        if number is not None:
            return Token("number", number, start)
        flag = self.match(_BOOL)
        if flag is not None:
            return Token("bool", flag == "True", start)
        bits = self.match(_BITS)
        if bits is not None:
            return Token("bits", bytes.fromhex(bits[7:-1]), start)
        if self.match(_COMPLEX) is None:
            return None
        real = self.element() or self.fail("expected a number")
        self.need(",")
        imag = self.element() or self.fail("expected a number")
        self.need(")")
        return Token("complex", (real, imag), start)


def python_number(token: Token) -> Any:
    """The Python number that a token is."""
    if token.kind == "complex":
        real, imag = token.text
        return complex(python_number(real), python_number(imag))
    if token.kind == "bits":
        found = np.empty(1)
        _store_bits(found, token.text)
        return float(found[0])
    if token.kind == "bool":
        return token.text
    if "0x" in token.text:
        return int(token.text, 16)
    return int(token.text) if token.text.lstrip("-").isdigit() else float(token.text)


def store(slot: np.ndarray, token: Token) -> None:
    """Writes an element into an array of one. Raises ValueError, TypeError or OverflowError where it does not fit the dtype."""
    kind = slot.dtype.kind
    if token.kind == "complex" and kind == "c":
        store(slot.real, token.text[0])
        store(slot.imag, token.text[1])
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
