"""A graph as text: complete (it parses back to an equal graph), stable, one line a node.

    graph {
      %0 = input() {kind="argument"} : f64[100,3]   # model.py:12 in predict  x
      %1 = const(0.5) : float
      %2 = multiply(%0, %1) : f64[100,3]   # model.py:13 in predict  y = x * 0.5
      return %2
    }

Values are named by their position. Attributes are sorted by name and written so that every bit comes back: `f32` is a dtype, `f32[3]`
a spec, `const(f64[2]: 1.0, -0.0)` a constant, `@name` a rule of the user's, `bits(0x7ff8000000000001)` a float that decimals can't say.
Constants of more than `INLINE` elements are `const(sha256:...)`. `recompute_of=%7` among the attributes: what `%7` is, computed again.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ir.constant import Constant, bits
from ir.graph import CONSTANT, INPUT, Graph, Node, Value
from ir.source import Line
from ir.spec import Spec, dtype_name

INLINE = 16
RECOMPUTE = "recompute_of"
_LONG = 1 << 4096  # beyond, Python may refuse to print decimals
_IDENTIFIER = re.compile(r"[^\W\d]\w*(\.\w+)*\Z")


def to_text(graph: Graph, lines: bool = True) -> str:
    """The text of a graph; with `lines`, the user's line stands behind each node as a comment.

    >>> graph = Graph()
    >>> graph.outputs = [graph.input(Spec((2, 3)))]
    >>> print(to_text(graph))
    graph {
      %0 = input() {kind="argument"} : f64[2,3]
      return %0
    }
    """
    names, rules = value_names(graph), rule_names(graph)
    found = ["graph {"]
    for node in graph.order():
        text = node_text(node, names, rules)
        if lines and node.line is not None:
            text += f"   # {comment(node.line)}"
        found.append(f"  {text}")
    found.append(("  return " + ", ".join([names[v] for v in graph.outputs])).rstrip())
    found += [f"  update {names[state]} <- {names[new]}" for state, new in graph.updates]
    return "\n".join([*found, "}"])


def value_names(graph: Graph) -> dict[Value, str]:
    """`%0`, `%1`, ... for all Values in the order of the text."""
    values = [v for node in graph.order() for v in node.outputs]
    return {v: f"%{k}" for k, v in enumerate(values)}


def rule_names(graph: Graph) -> dict[Any, str]:
    """A name for each of the user's rules in the graph: its own, with `.2`, `.3`, ... where several rules share one."""
    names: dict[Any, str] = {}
    taken: set[str] = set()
    for node in graph.order():
        for value in node.attrs.values():
            if is_rule(value) and value not in names:
                name, k = str(value.name), 1
                while name in taken:
                    k += 1
                    name = f"{value.name}.{k}"
                taken.add(name)
                names[value] = name
    return names


def is_rule(value: Any) -> bool:
    """Whether an attribute is a rule or code of the user's: it has a name, and a vjp or can be called."""
    return hasattr(value, "name") and (hasattr(value, "vjp") or callable(value))


def node_text(node: Node, names: dict[Value, str], rules: dict[Any, str]) -> str:
    """One node without its line: `%5, %6 = linear_vjp(%0, %4) : f64[3,10], f64[10]`."""
    results = ", ".join([names[v] for v in node.outputs])
    specs = ", ".join(map(str, node.specs))
    if node.op is CONSTANT:
        return f"{results} = const({elements_text(node.attrs['value'])}) : {specs}"
    attrs = {k: v for k, v in node.attrs.items() if not (node.op is INPUT and k == "spec")}
    texts = [attrs_text(attrs, rules)] if attrs else []
    if node.recompute_of is not None and node.recompute_of.outputs[0] in names:
        texts.append(f"{RECOMPUTE}={names[node.recompute_of.outputs[0]]}")
    shown = f" {{{', '.join(texts)}}}" if texts else ""
    return f"{results} = {node.op.name}({', '.join([names.get(v, '%?') for v in node.operands])}){shown} : {specs}"


def attrs_text(attrs: dict[str, Any], rules: dict[Any, str]) -> str:
    """`axis=(0,), keepdims=False`, sorted by name."""
    return ", ".join([f"{name}={attr_text(value, rules)}" for name, value in sorted(attrs.items())])


def attr_text(value: Any, rules: dict[Any, str] | None = None) -> str:
    """One attribute. What has no form of its own is `<repr>`, which does not parse.

    >>> attr_text((None, -0.0, np.dtype("f4"), Spec((3,)), slice(1, None, -1)))
    '(None, -0.0, f32, f64[3], slice(1, None, -1))'
    """
    if isinstance(value, tuple):
        inner = [attr_text(v, rules) for v in value]
        return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
    if value is None or isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value)) if abs(int(value)) < _LONG else hex(value)
    if isinstance(value, float):
        return _real(np.float64(value))
    if isinstance(value, complex):
        return _complex(np.complex128(value))
    if isinstance(value, str):
        return json.dumps(str(value))
    if isinstance(value, slice):
        return f"slice({', '.join([attr_text(v, rules) for v in (value.start, value.stop, value.step)])})"
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return dtype_name(np.dtype(value))
    if isinstance(value, Spec):
        return str(value)
    if isinstance(value, Constant):
        return f"const({constant_text(value)})"
    if isinstance(value, np.generic):
        return attr_text(value.item(), rules)
    if is_rule(value):
        name = (rules or {}).get(value, str(value.name))
        return f"@{name}" if _IDENTIFIER.match(name) else f"@{json.dumps(name)}"
    return f"<{' '.join(repr(value).split())}>"


def constant_text(constant: Constant) -> str:
    """A constant with its spec: `f64[2]: 1.0, -0.0`, `float: 0.5`, `f64[100]: sha256:...`."""
    return f"{constant.spec}: {elements_text(constant)}"


def elements_text(constant: Constant) -> str:
    """The elements in C order, or the checksum where there are many."""
    if constant.spec.size > INLINE:
        return f"sha256:{constant.sha}"
    if constant.spec.weak is not None:
        return attr_text(constant.value)
    return ", ".join(map(element_text, constant.array().reshape(-1)))


def element_text(element: np.generic) -> str:
    """One element, to the bit, in the fewest digits of its dtype.

    >>> element_text(np.float32(0.1)), element_text(np.complex128(complex(1, -0.0)))
    ('0.1', 'complex(1.0, -0.0)')
    """
    if element.dtype.kind == "c":
        return _complex(element)
    return _real(element) if element.dtype.kind == "f" else str(element.item())


def _complex(z: Any) -> str:
    return f"complex({_real(z.real)}, {_real(z.imag)})"


def _real(x: Any) -> str:
    if np.isfinite(x):
        text = str(x)
        if _same_bits(x.dtype.type(text), x):
            return text
    elif np.isinf(x):
        return "inf" if x > 0 else "-inf"
    elif _same_bits(x.dtype.type(np.nan), x):
        return "nan"
    return f"bits(0x{bits(np.asarray(x))[::-1].hex()})"


def _same_bits(a: Any, b: Any) -> bool:
    return a == b and np.signbit(a) == np.signbit(b) if a == a else bits(np.asarray(a)) == bits(np.asarray(b))


def comment(line: Line) -> str:
    """`model.py:13 in predict (backward)  h = F.linear(x, W1, b1)`, on one line."""
    return " ".join(f"{line.place()}  {line.code}".splitlines()).rstrip()


def values_text(values: Iterable[Value], names: dict[Value, str]) -> str:
    """`%0: f64[3]   %1: f64[]`, for errors and pictures."""
    return "   ".join([f"{names.get(v, '%?')}: {v.spec}" for v in values])
