"""What each operation's elements are made of: for a node and the indices of an element, which elements of its operands it needs (`reads`),
and the statements that make it of them (`build`). The table at the end names every operation that has a rule; `rule_of` refuses the
others by name.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ir.affine import ZERO, Bound, Dim, Index, apart, flat, index
from ir.errors import NotLowered
from ir.graph import CONSTANT, Node, Value
from ir.kernel import Operand, literal
from ir.lowering.elements import At, Elements, Key, Rule
from ir.op import Trait
from ir.ops.places import placement, ranges
from ir.planning.blocks import identity
from ir.planning.select import COMPARISONS, slot_dtype
from ir.spec import promote, ufunc_dtypes

BOOL = np.dtype(bool)
SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}


def rule_of(node: Node) -> Rule:
    """The operation's rule; NotLowered where there is none for it or its dtypes."""
    rule = RULES.get(node.op.name) or (ELEMENTWISE if node.op.has(Trait.ELEMENTWISE) and node.op.ufunc is not None else None)
    unfit = [v.dtype for v in (*node.operands, *node.outputs) if v.dtype.itemsize not in SIZES.get(v.dtype.kind, ())]
    if rule is None or unfit:
        cause = f"{'the operation' if rule is None else unfit[0]} is not lowered to generated code"
        operands = zip(node.op.names(len(node.operands)), [v.spec for v in node.operands])
        raise NotLowered(cause).at(op=node.op.name, operands=operands, line=node.line)
    return rule


# ---- elementwise
def broadcast_at(value: Value, at: At) -> At:
    """Of an operand that is broadcast to a result, the indices that go with those of the result."""
    lead = len(at) - value.ndim
    return tuple([ZERO if n == 1 else at[lead + k] for k, n in enumerate(value.shape)])


def _pointwise(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(v, broadcast_at(v, at)) for v in node.operands]


def _elementwise(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    """The operands cast to what NumPy's loop takes, then the scalar operation."""
    dtypes = list(ufunc_dtypes(node.op.ufunc, tuple([v.spec for v in node.operands])))
    dtypes = [np.dtype(np.float32) if d == np.float16 else d for d in dtypes]  # in which NumPy asks small integers for their sign
    if node.op.ufunc in COMPARISONS and dtypes[0].kind in "iu":
        dtypes[:2] = [slot_dtype(node, k) if v.spec.weak else v.dtype for k, v in enumerate(node.operands)]
        wide = np.result_type(*dtypes[:2])
        if wide.kind == "f":  # uint64 beside a signed one
            raise NotLowered("uint64 compared with signed integers is not lowered", mend="cast one to the other's dtype").at(
                op=node.op.name, line=node.line
            )
        dtypes[:2] = [wide, wide]
    operands = [e.cast(v, dtype, node.line) for v, dtype in zip(given, dtypes)]
    return e.scalar(node.op.name, operands, dtypes[-1], node.line)


def _first(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    return given[0]


def _where(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("where", [e.cast(given[0], BOOL, node.line), *[e.cast(v, dtype, node.line) for v in given[1:]]], dtype, node.line)


def _cast(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    return e.cast(given[0], node.outputs[0].dtype, node.line)


def _sigmoid(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("sigmoid", [e.cast(given[0], dtype, node.line)], dtype, node.line)


def _relu(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("maximum", [e.cast(given[0], dtype, node.line), literal(0, dtype)], dtype, node.line)


def _clip(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    dtype = node.outputs[0].dtype
    x, low, high = [e.cast(v, dtype, node.line) for v in given]
    return e.scalar("minimum", [e.scalar("maximum", [x, low], dtype, node.line), high], dtype, node.line)


def _imag(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    return literal(0, node.outputs[0].dtype)


# ---- views
def _reshaped(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, out = node.operands[0], node.outputs[0]
    strides = [math.prod(out.shape[k + 1 :]) for k in range(out.ndim)]
    return [(x, apart(flat(at, strides), x.shape))]


def _transposed(e: Elements, node: Node, at: At) -> list[Key | None]:
    axes = node.attrs["axes"]
    return [(node.operands[0], tuple([at[axes.index(k)] for k in range(len(axes))]))]


def _expanded(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(node.operands[0], tuple([i for k, i in enumerate(at) if k not in node.attrs["axis"]]))]


def _squeezed(e: Elements, node: Node, at: At) -> list[Key | None]:
    left = iter(at)
    return [(node.operands[0], tuple([ZERO if k in node.attrs["axis"] else next(left) for k in range(node.operands[0].ndim)]))]


def _sliced(e: Elements, node: Node, at: At) -> list[Key | None]:
    x = node.operands[0]
    return [(x, tuple([r.start + r.step * i for r, i in zip(ranges(node.attrs["index"], x.shape), at)]))]


# ---- joined, or written into a slice
def _joined(e: Elements, node: Node, at: At) -> list[Key | None]:
    axis, start = node.attrs["axis"], 0
    found: list[Key | None] = []
    for x in node.operands:
        found.append((x, (*at[:axis], at[axis] - start, *at[axis + 1 :])))
        start += x.shape[axis]
    return found


def _join(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    axis, dtype, stop = node.attrs["axis"], node.outputs[0].dtype, node.outputs[0].shape[node.attrs["axis"]]
    parts = [(x, e.cast(v, dtype, node.line)) for x, v in zip(node.operands, given) if x.shape[axis]]
    found = parts[-1][1] if parts else literal(0, dtype)
    for x, v in reversed(parts):
        start = stop - x.shape[axis]
        if v is not found:
            inside = e.test([Bound(at[axis], 0, stop)], node.line)
            found = e.scalar("where", [inside, v, found], dtype, node.line)
        stop = start
    return found


def _written(node: Node, at: At) -> tuple[list[Bound], At]:
    """Whether the element is one that is written, and the indices of the value that is written there."""
    base, value = node.operands
    bounds, inside = [], []
    for i, r in zip(at, ranges(node.attrs["index"], base.shape)):
        away = i - r.start if r.step > 0 else -1 * i + r.start
        step = abs(r.step)
        bounds.append(Bound(away // step, 0, len(r)))
        if step > 1:
            bounds.append(Bound(away % step, 0, 1))
        inside.append(away // step)
    lead = value.ndim - base.ndim
    own = [ZERO] * max(0, lead) + inside[max(0, -lead) :]
    return bounds, tuple([ZERO if n == 1 else i for n, i in zip(value.shape, own)])


def _base_and_value(e: Elements, node: Node, at: At) -> list[Key | None]:
    return [(node.operands[0], at), (node.operands[1], _written(node, at)[1])]


def _set_slice(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    inside, dtype = e.test(_written(node, at)[0], node.line), node.outputs[0].dtype
    return e.scalar("where", [inside, e.cast(given[1], dtype, node.line), e.cast(given[0], dtype, node.line)], dtype, node.line)


def _add_slice(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    base, value = node.operands
    inside, wide = e.test(_written(node, at)[0], node.line), promote(base.spec.strong(), value.spec)
    total = e.scalar("add", [e.cast(v, wide, node.line) for v in given], wide, node.line)
    old = e.cast(given[0], base.dtype, node.line)
    return e.scalar("where", [inside, e.cast(total, base.dtype, node.line), old], base.dtype, node.line)


# ---- read at an index
def _taken(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, indices = node.operands
    axis = node.attrs["axis"]
    where = e.gathered(indices, at[axis : axis + indices.ndim], x.shape[axis], node.attrs["mode"])
    return [(x, (*at[:axis], where, *at[axis + indices.ndim :]))]


def _gathered(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, *indices = node.operands
    axes = node.attrs["axes"]
    _, first, place = placement(x.spec, tuple([i.spec for i in indices]), axes)
    depth = max([i.ndim for i in indices])
    own = [at[p] if p >= 0 else ZERO for p in place]
    for axis, i in zip(axes, indices):
        own[axis] = e.gathered(i, broadcast_at(i, at[first : first + depth]), x.shape[axis])
    return [(x, tuple(own))]


def _along(e: Elements, node: Node, at: At) -> list[Key | None]:
    x, i = node.operands
    axis = node.attrs["axis"]
    own = list(broadcast_at(x, at))
    own[axis] = e.gathered(i, broadcast_at(i, at), x.shape[axis])
    return [(x, tuple(own))]


def counts_along(value: Value) -> int | None:
    """The axis along which a constant index array counts 0, 1, 2, ...; None where it does not."""
    if value.node.op is not CONSTANT or value.spec.size < 2 or max(value.shape) != value.spec.size:
        return None
    counts = np.array_equal(value.node.attrs["value"].array().reshape(-1), np.arange(value.spec.size))
    return value.shape.index(value.spec.size) if counts else None


# ---- written at an index: each element looks for the values that are written to it
def _looks(e: Elements, node: Node, at: At) -> tuple[tuple[Dim, ...], list[Bound], At]:
    """The dims of the index arrays, whether they point at this element, and the indices of the value."""
    base, value, *indices = node.operands
    axes = node.attrs["axes"]
    shape, first, place = placement(base.spec, tuple([i.spec for i in indices]), axes)
    depth = max([i.ndim for i in indices])
    sizes = shape[first : first + depth]
    counted = {depth - i.ndim + k: axis for axis, i in zip(axes, indices) if (k := counts_along(i)) is not None}  # no need to look
    dims = e.fresh(node, at, [1 if k in counted else n for k, n in enumerate(sizes)])
    looked = tuple([at[counted[k]] if k in counted else index(d) if d.size != 1 else ZERO for k, d in enumerate(dims)])
    bounds = [Bound(at[axis], 0, sizes[k]) for k, axis in counted.items()]
    for axis, i in zip(axes, indices):
        if axis not in counted.values():
            bounds.append(Bound(e.gathered(i, broadcast_at(i, looked), base.shape[axis]) - at[axis], 0, 1))
    written: list[Index] = [ZERO] * len(shape)
    written[first : first + depth] = looked
    for axis, p in enumerate(place):
        if p >= 0:
            written[p] = at[axis]
    lead = value.ndim - len(shape)
    own: list[Index] = [ZERO] * max(0, lead) + written[max(0, -lead) :]
    return tuple([d for d in dims if d.size != 1]), bounds, tuple([ZERO if n == 1 else i for n, i in zip(value.shape, own)])


def _at_indices(e: Elements, node: Node, at: At) -> list[Key | None]:
    _, bounds, value_at = _looks(e, node, at)
    needed = [(w.value, w.at) for b in bounds for w in e._gathers_in(b.at)]
    return [(node.operands[0], at), (node.operands[1], value_at), *needed]


def _add_at(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
    base, value = node.operands[:2]
    dims, bounds, _ = _looks(e, node, at)
    for b in bounds:
        for wanted in e._gathers_in(b.at):
            e._gather(wanted, node.line)
    wide = promote(base.spec.strong(), value.spec)
    zero = literal(identity(np.add, wide) if wide.kind != "b" else False, wide)
    hit = e.scalar("where", [e.test(bounds, node.line), e.cast(given[1], wide, node.line), zero], wide, node.line)
    added = e.reduce("add" if wide.kind != "b" else "logical_or", hit, dims, zero, node.line) if dims else hit
    total = e.scalar("add", [e.cast(given[0], wide, node.line), added], wide, node.line)
    return e.cast(total, base.dtype, node.line)


# ---- reductions
def _reduced_at(node: Node, at: At, dims: Sequence[Dim], axes: Sequence[int]) -> At:
    x, left = node.operands[0], iter(dims)
    kept, found = 0, []
    for axis, n in enumerate(x.shape):
        if axis in axes:
            found.append(index(next(left)) if n != 1 else ZERO)
            kept += node.attrs["keepdims"]
        else:
            found.append(at[kept])
            kept += 1
    return tuple(found)


def _axes(node: Node) -> tuple[int, ...]:
    axis = node.attrs["axis"]
    return (axis,) if isinstance(axis, int) else axis


def _reads_reduced(e: Elements, node: Node, at: At) -> list[Key | None]:
    axes = _axes(node)
    return [(node.operands[0], _reduced_at(node, at, e.over(node, at, axes), axes))]


def _reducing(function: Callable[[Elements, Node, _Over, Operand], Operand]) -> Rule:
    def build(e: Elements, node: Node, at: At, given: Sequence[Operand]) -> Operand:
        return function(e, node, _Over(e, node, e.over(node, at, _axes(node))), given[0])

    return Rule(_reads_reduced, build)


@dataclass(frozen=True)
class _Over:
    """Reduces elements over the dims of a node's axes; `count`: how many there are."""

    e: Elements
    node: Node
    dims: tuple[Dim, ...]

    @property
    def count(self) -> int:
        return math.prod([self.node.operands[0].shape[k] for k in _axes(self.node)])

    def __call__(self, combine: str, operand: Operand) -> Operand:
        dtype = self.e.dtype(operand)
        if not self.count:
            return literal(getattr(np, combine).reduce(np.zeros(0, dtype)), dtype)
        if not self.dims:
            return operand
        if combine == "add" and dtype.kind == "b":
            combine = "logical_or"
        start = {"multiply": 1, "logical_or": False, "logical_and": True}.get(combine)
        held = literal(identity(getattr(np, combine), dtype) if start is None else start, dtype)
        return self.e.reduce(combine, operand, self.dims, held, self.node.line)


def _total(combine: str) -> Rule:
    def build(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
        return over(combine, e.cast(x, node.outputs[0].dtype, node.line))

    return _reducing(build)


def _mean(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype = node.outputs[0].dtype
    return e.scalar("divide", [over("add", e.cast(x, dtype, node.line)), literal(over.count, dtype)], dtype, node.line)


def _var(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype, line = node.outputs[0].dtype, node.line
    x = e.cast(x, dtype, line)
    away = e.scalar("subtract", [x, e.scalar("divide", [over("add", x), literal(over.count, dtype)], dtype, line)], dtype, line)
    freedom = max(over.count - node.attrs["ddof"], 0)
    return e.scalar("divide", [over("add", e.scalar("square", [away], dtype, line)), literal(freedom, dtype)], dtype, line)


def _std(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    return e.scalar("sqrt", [_var(e, node, over, x)], node.outputs[0].dtype, node.line)


def _norm(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
    dtype, line, ord = node.outputs[0].dtype, node.line, node.attrs["ord"]
    x = e.cast(x, dtype, line)
    if ord in (None, 2):
        return e.scalar("sqrt", [over("add", e.scalar("square", [x], dtype, line))], dtype, line)
    size = e.scalar("abs", [x], dtype, line)
    if ord in (math.inf, -math.inf):
        return over("maximum" if ord > 0 else "minimum", size)
    if ord == 0:
        return over("add", e.cast(e.scalar("not_equal", [x, literal(0, dtype)], BOOL, line), dtype, line))
    if ord == 1:
        return over("add", size)
    whole = over("add", e.scalar("power", [size, literal(ord, dtype)], dtype, line))
    return e.scalar("power", [whole, literal(1 / ord, dtype)], dtype, line)


def _where_is(combine: str) -> Rule:
    """The first place of what is the greatest or least; a NaN is both."""

    def build(e: Elements, node: Node, over: _Over, x: Operand) -> Operand:
        dtype, line = node.outputs[0].dtype, node.line
        if not over.dims:
            return literal(0, dtype)
        best = over(combine, x)
        hit = e.scalar("equal", [x, best], BOOL, line)
        if e.dtype(x).kind == "f":
            hit = e.scalar("logical_or", [hit, e.scalar("isnan", [x], BOOL, line)], BOOL, line)
        place = e.position(index(over.dims[0]), dtype, line)
        return over("minimum", e.scalar("where", [hit, place, literal(np.iinfo(dtype).max, dtype)], dtype, line))

    return _reducing(build)


def _truth(combine: str) -> Rule:
    return _reducing(lambda e, node, over, x: over(combine, e.cast(x, BOOL, node.line)))


ELEMENTWISE = Rule(_pointwise, _elementwise)
RULES: dict[str, Rule] = {
    "where": Rule(_pointwise, _where), "cast": Rule(_pointwise, _cast), "copy": Rule(_pointwise, _first), "clip": Rule(_pointwise, _clip),
    "sigmoid": Rule(_pointwise, _sigmoid), "relu": Rule(_pointwise, _relu), "positive": Rule(_pointwise, _first),
    "conj": Rule(_pointwise, _cast), "real": Rule(_pointwise, _first), "imag": Rule(_pointwise, _imag),
    "reshape": Rule(_reshaped, _first), "transpose": Rule(_transposed, _first), "broadcast_to": Rule(_pointwise, _first),
    "expand_dims": Rule(_expanded, _first), "squeeze": Rule(_squeezed, _first), "slice": Rule(_sliced, _first),
    "concatenate": Rule(_joined, _join), "set_slice": Rule(_base_and_value, _set_slice), "add_slice": Rule(_base_and_value, _add_slice),
    "take": Rule(_taken, _first), "gather": Rule(_gathered, _first), "take_along_axis": Rule(_along, _first),
    "add_at": Rule(_at_indices, _add_at),
    "sum": _total("add"), "prod": _total("multiply"), "max": _total("maximum"), "min": _total("minimum"), "mean": _reducing(_mean),
    "var": _reducing(_var), "std": _reducing(_std), "norm": _reducing(_norm), "any": _truth("logical_or"), "all": _truth("logical_and"),
    "argmax": _where_is("maximum"), "argmin": _where_is("minimum"),
}  # fmt: skip
