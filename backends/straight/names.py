"""Names: which Python name stands for a place, and the line that makes it, once a program, once an Instance, or once a call.

In: places of a plan, in the order in which lines ask for them. Out: unique, readable names (the user's own where the line assigns
one), the definitions as three lists of lines, and what the program imports of ours. A place is one array object however often it is
asked for.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from typing import Any

import numpy as np

from backends.straight.site import type_name
from ir.errors import VerifyError
from ir.graph import Value
from ir.place import Buffer, Place
from ir.plan import Fill, Loop, Plan, View
from ir.planning.strides import is_dense

RESERVED = {
    *keyword.kwlist,
    *dir(builtins),
    "np",
    "cp",
    "arena",
    "const",
    "state",
    "moved",
    "inputs",
    "run",
    "bind",
    "held",
    "hushed",
    "quiet",
    "quietly",
    "finish",
    "finish_held",
    "together",
    "overlap",
    "moving",
    "trip",
    "look",
    "length",
    "stop",
    "ticks",
    "turn",
    "python",
    "blas_threads",
    "Blocks",
    "Together",
    "adjacent",
    "hosted",
    "support",
    "given",
    "set_at",
    "combine_at",
}
_ASSIGNED = re.compile(r"(?:\w+\s*=\s*)*([A-Za-z_]\w*)\s*=(?!=)")
_FUNCTION = re.compile(r"\b(np|cp)((?:\.\w+)+)|\bsupport\.(\w+)")


class Names:
    """`once` are lines of the module, `bound` of `bind`, `called` of `run`; `arrays` are the constants that `bind` is given.

    Names for a block of a region are within those `around` them: functions and constants are shared, and what the block is given is no
    view of the whole's memory but an argument. `module` is the array library as the lines call it.
    """

    module, support = "np", "backends.numpy.support"

    def __init__(self, plan: Plan, body: Plan, around: Names | None = None):
        self.plan, self.body, self.around = plan, body, around
        self.once: list[str] = around.once if around else []
        self.bound: list[str] = []
        self.called: list[str] = []
        self.arrays: list[Any] = around.arrays if around else []
        self.array_names: list[str] = around.array_names if around else []
        self._taken: set[str] = around._taken if around else set(RESERVED)
        self._counts: dict[str, int] = around._counts if around else {}  # up to which number a hint is taken
        self._names: dict[tuple[Any, ...], str] = {}
        self._consts: dict[str, str] = around._consts if around else {}
        self._functions: dict[str, str] = around._functions if around else {}
        self.imports: dict[str, set[str]] = around.imports if around else {}  # by module
        self._views: dict[int, View] = {id(view.place): view for view in body.views}
        self._hints = _hints(body)
        self._members: dict[Buffer, list[int]] = {}  # the inputs of each buffer: several for a pack of states
        for index, value in enumerate(plan.graph.inputs):
            if value in body.places:
                self._members.setdefault(body.places[value].buffer, []).append(index)
        self._packs: dict[Buffer, str] = {}
        self.scaled: tuple[int, ...] | None = None  # a shape for which `(length,)` is written
        self.inputs = [self._input(index, value) for index, value in enumerate(plan.graph.inputs)]

    # ---- names
    def fresh(self, hint: str) -> str:
        """A new name, the hint itself if it is free; a hint that ends with "_" is always numbered."""
        hint = re.sub(r"\W", "_", hint)
        stem, count = hint.rstrip("_"), self._counts.get(hint, 1)
        name = f"{stem}_{count}" if count > 1 or hint.endswith("_") else hint
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._counts[hint] = count
        self._taken.add(name)
        return name

    def _input(self, index: int, value: Value) -> str:
        line = value.node.line
        hint = line.code if line is not None and line.code.isidentifier() else f"{value.node.attrs['kind']}_{index}"
        return self.fresh(hint)

    def functions(self, line: str) -> str:
        """The line with each `np.add.reduce` replaced by a local name, bound once; `support.stop` is imported."""
        return _FUNCTION.sub(lambda found: self._function(found[1], found[2]) if found[1] else self._supported(found[3]), line)

    def _function(self, module: str, path: str) -> str:
        name = self._functions.get(path)
        if name is None:
            parts = [p for p in path.split(".") if p not in ("", "_core", "umath")]
            name = self._functions[path] = self.fresh("_".join(parts))
            is_type = module == "np" and path[1:] in np.__all__ and _is_type(path[1:])
            self.once.append(f"{name} = {f'np.dtype(np{path})' if is_type else module + path}")
        return name

    def _supported(self, name: str) -> str:
        return self.need(self.support, name)

    def need(self, module: str, name: str) -> str:
        """The name, which the program imports from a module of ours."""
        self.imports.setdefault(module, set()).add(name)
        return name

    def const(self, text: str, hint: str) -> str:
        """The name of a value of NumPy's made once a program from an expression."""
        name = self._consts.get(text)
        if name is None:
            name = self._consts[text] = self.fresh(hint if hint[0].isalpha() else _spelled(hint))
            self.once.append(f"{name} = {_finite(text)}")
        return name

    def thing(self, thing: Any, hint: str) -> str:
        """The name of an object that is no array, among the constants."""
        name = self.fresh(hint if hint.isidentifier() else "code_")
        self.arrays.append(thing)
        self.array_names.append(name)
        return name

    # ---- places
    def place(self, place: Place) -> str:
        """The name of a place's array; its definition is made when it is first asked for."""
        key: tuple[Any, ...] = (place.buffer, place.offset, place.shape, place.strides, place.dtype)
        if place.strides is None and id(place) in self._views:
            key = (*key, id(place))
        name = self._names.get(key)
        if name is None:
            name = self._define(place)
            self._names[key] = name
        return name

    def _define(self, place: Place) -> str:
        kind = place.buffer.kind
        for index in self._members.get(place.buffer, ()):
            if self._is_root(place, index):
                return self.inputs[index]
        name = self.fresh(
            self._hints.get(
                _spot(place),
                "number_" if kind == "const" and not place.shape else "view_" if kind in ("input", "state", "const") else "work_",
            )
        )
        if (typed := self._typed(place)) is not None:
            kept = kind == "const" or (kind == "state" and self.around is None)
            lines = self.bound if kept else self.called
            lines.append(self.functions(f"{name} = {self.place(typed)}.view(np.{type_name(place.dtype)})"))
            return name
        match kind:
            case "arena" | "scalar":
                self.bound.append(f"{name} = {self._cut('arena', place, (place.buffer.offset or 0) + place.offset)}")
            case "const":
                self._define_const(name, place)
            case "state" if self.around is None:
                self.bound.append(f"{name} = {self._view_of(place)}")
            case "input" | "state":
                self.called.append(f"{name} = {self._view_of(place)}")
            case "result":
                self._define_result(name, place)
        return name

    def _typed(self, place: Place) -> Place | None:
        """For what is read as numbers of another kind than the array given has: the place as that array has it."""
        buffer = place.buffer
        if buffer.kind == "const":
            dtype = buffer.data.dtype if buffer.data is not None else place.dtype
        elif buffer.kind == "result":
            dtype = self.plan.results[buffer.index].dtype  # type: ignore[index,union-attr]
        elif buffer in self._members:
            dtype = self.body.places[self.plan.graph.inputs[self._members[buffer][0]]].dtype
        else:
            return None
        if dtype == place.dtype or dtype.itemsize != place.dtype.itemsize:
            return None
        alike = Place(buffer, place.offset, place.shape, place.strides, dtype)
        views = [v.place for v in self.body.views if _spot(v.place) == _spot(alike) and v.place.strides == place.strides]
        return views[0] if views else alike

    def _is_root(self, place: Place, index: int) -> bool:
        root = self.body.places[self.plan.graph.inputs[index]]
        return place is root or (root.strides is not None and _spot(place) == _spot(root) and place.strides == root.strides)

    def _cut(self, base: str, place: Place, offset: int) -> str:
        strides = "" if place.contiguous("C") else f", {place.strides}"
        shape = "(length,)" if place.shape == self.scaled else place.shape
        return self.functions(f"np.ndarray({shape}, np.{type_name(place.dtype)}, {base}, {offset}{strides})")

    def _define_const(self, name: str, place: Place) -> None:
        data = place.buffer.data
        assert data is not None
        if data.ndim == 0 and place.shape == () and self.module == "np":
            self.once.append(f"{name} = {_finite(f'np.array({_number(data)}, np.{type_name(data.dtype)})')}")
        elif place.offset == 0 and place.shape == data.shape and place.strides == data.strides:
            self.arrays.append(data)
            self.array_names.append(name)
        else:
            root = Place(place.buffer, 0, data.shape, data.strides, data.dtype)
            self.bound.append(f"{name} = {self._geometry(self.place(root), root, place)}")

    def _define_result(self, name: str, place: Place) -> None:
        """The buffer of a result is a fresh array at each call, in the order of axes of the result that owns it."""
        owner = self.plan.results[place.buffer.index]  # type: ignore[index]
        assert owner is not None
        if _spot(place) == _spot(owner) and place.strides == owner.strides:
            if self.around is None:  # else an argument of the block
                self.called.append(f"{name} = {self._empty(owner)}")
        else:
            self.called.append(f"{name} = {self._geometry(self.place(owner), owner, place)}")

    def _empty(self, place: Place) -> str:
        empty, kind = f"{self.module}.empty", f"np.{type_name(place.dtype)}"
        if place.contiguous("C"):
            return self.functions(f"{empty}({place.shape}, {kind})")
        if place.contiguous("F"):
            return self.functions(f'{empty}({place.shape}, {kind}, "F")')
        slow_first = _slow_first(place)
        shape = tuple([place.shape[k] for k in slow_first])
        back = tuple([slow_first.index(k) for k in range(len(shape))])
        return self.functions(f"{empty}({shape}, {kind}).transpose({back})")

    # ---- views of arrays that are given
    def _view_of(self, place: Place) -> str:
        view = self._views.get(id(place))
        root = self._member(place)
        if root is None:
            return self._cut(self._pack(place.buffer), place, place.offset)
        if root.strides is not None and is_dense(root.shape, root.strides, root.dtype.itemsize):
            return self._geometry(self.place(root), root, place)
        if view is not None:
            return _view_text(view, self.place(view.source), self)
        alike = next(v.place for v in self.body.views if _same_elements(v.place, place))
        return f"{self.place(alike)}.reshape({place.shape})"

    def _member(self, place: Place) -> Place | None:
        """The input that a place shows a part of; None where that is a pack's, of several."""
        roots = [self.body.places[self.plan.graph.inputs[k]] for k in self._members[place.buffer]]
        if len(roots) == 1:
            return roots[0]
        assert place.strides is not None
        end = place.offset + place.dtype.itemsize + sum([(n - 1) * s for n, s in zip(place.shape, place.strides)])
        inside = [r for r in roots if r.offset <= place.offset and end <= r.offset + math.prod(r.shape) * r.dtype.itemsize]
        return inside[0] if inside and all(s >= 0 for s in place.strides) and 0 not in place.shape else None

    def _pack(self, buffer: Buffer) -> str:
        """The name of the memory of a pack, as bytes."""
        name = self._packs.get(buffer)
        if name is None:
            name = self._packs[buffer] = self.fresh("pack_")
            states = ", ".join([self.inputs[k] for k in self._members[buffer]])
            self.bound.append(f"{name} = adjacent({states})")
            self._supported("adjacent")
        return name

    def _geometry(self, base: str, root: Place, place: Place) -> str:
        """A view by shape and strides of a contiguous array."""
        if place.dtype == root.dtype and place.offset == root.offset:
            if root.strides is not None and (place.shape, place.strides) == (root.shape[::-1], root.strides[::-1]):
                return f"{base}.T"
            if root.contiguous("C") and place.contiguous("C") and math.prod(place.shape) == math.prod(root.shape):
                return f"{base}.reshape({place.shape})"
        if not root.contiguous("C"):  # a buffer must be in C order: the axes of a dense array, the slowest first
            base = f"{base}.T" if root.contiguous("F") else f"{base}.transpose({_slow_first(root)})"
        return self._cut(base, place, place.offset - root.offset)


def _slow_first(place: Place) -> tuple[int, ...]:
    """The axes of a dense place in the order of its memory."""
    strides = place.strides
    assert strides is not None
    return tuple(sorted(range(len(strides)), key=lambda k: (-strides[k], k)))


def _spot(place: Place) -> tuple[Any, ...]:
    return place.buffer, place.offset, place.shape, place.dtype


def _same_elements(a: Place, b: Place) -> bool:
    """Whether both, contiguous, are the same elements in the same order."""
    same = a.buffer is b.buffer and a.offset == b.offset and a.dtype == b.dtype and math.prod(a.shape) == math.prod(b.shape)
    return same and a.contiguous() and b.contiguous()


def _spelled(number: str) -> str:
    """A name for a number: 0.5 is `n0_5`, -1.0 is `minus_1`."""
    text = number.removesuffix(".0").replace(".", "_").replace("+", "")
    return f"minus_{text[1:]}" if text.startswith("-") else f"n{text}"


def _is_type(name: str) -> bool:
    return isinstance(getattr(np, name), type) and issubclass(getattr(np, name), np.generic)


def _number(data: np.ndarray) -> str:
    """A number as Python reads it back; the literal of a complex one would lose the signs of its zeros."""
    number = data.item()
    return f"complex({number.real!r}, {number.imag!r})" if isinstance(number, complex) else repr(number)


def _finite(text: str) -> str:
    """Python has no literals for these."""
    return re.sub(r"(?<![\w.])(inf|nan)(?!\w)", r"np.\1", text)


def _view_text(view: View, source: str, names: Names) -> str:
    """A view of an array whose strides only the call knows, as NumPy writes it."""
    attrs = view.node.attrs
    match view.node.op.name:
        case "reshape":
            return f"{source}.reshape({attrs['shape']})"
        case "transpose":
            return f"{source}.transpose({attrs['axes']})"
        case "expand_dims":
            return names.functions(f"{names.module}.expand_dims({source}, {attrs['axis']})")
        case "squeeze":
            return f"{source}.squeeze({attrs['axis']})"
        case "broadcast_to":
            return names.functions(f"{names.module}.broadcast_to({source}, {attrs['shape']})")
        case "slice":
            parts = [":".join(["" if n is None else str(n) for n in triple]) for triple in attrs["index"]]
            return f"{source}[{', '.join([*parts, '...'])}]"
        case "custom":
            return source
        case other:
            raise VerifyError(f"there is no text for the view {other}", mend="add it to _view_text")


def _hints(plan: Plan) -> dict[tuple[Any, ...], str]:
    """A name for each place: what the user's line assigns, for the last operation of that line, else the operation's name."""
    last: dict[Any, Any] = {}
    for node in plan.order:
        if node.line is not None and node.phase == "forward":
            last[node.line] = node
    hints: dict[tuple[Any, ...], str] = {}
    for value, place in plan.places.items():
        node = value.node
        found = _ASSIGNED.match(node.line.code) if node.line is not None and last.get(node.line) is node else None
        hints.setdefault(_spot(place), found[1] if found else f"{node.op.name}_")
    for step in plan.steps:
        if isinstance(step, Fill):
            hints[_spot(step.write)] = "slot_"
    return hints


def states_of(plan: Plan) -> list[int]:
    """The indices of the inputs that are states."""
    return [k for k, v in enumerate(plan.graph.inputs) if v.spec.weak is None and v.node.attrs["kind"] == "state"]


def body_of(plan: Plan) -> Plan:
    """The plan of one iteration: the loop's body where the plan is a loop."""
    loops = [step for step in plan.steps if isinstance(step, Loop)]
    return loops[0].body if loops else plan
