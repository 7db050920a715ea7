"""Storages and views: how writes into traced arrays become pure operations.

A `Storage` is a piece of memory as the user sees it; it holds the IR Value that its content is *now* and changes with each write.
A traced array is a storage and a path of view steps. Reading goes along the path; writing goes back along it: the new value of the
last view is put into the view before it, and so on down to the storage, so that every other view sees the write.

Whether NumPy gives a view or a copy for a reshape depends on strides. They are followed with stand-ins: arrays of the right shape
and strides over one element of memory, never read, on which NumPy itself does the same view operation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ir.graph import Value
from ir.op import Op
from ir.ops import TABLE
from ir.ops.places import Index, composed
from ir.ops.views import inverse
from ir.planning.strides import c_strides, is_dense
from ir.spec import Spec
from tracer.arrays.shared import Shared
from tracer.operands.stack import Recorder


class Storage:
    """`value` is the content now, `version` counts the writes. `writeable` is False for what NumPy would not let the user write.

    `source` is the index of the graph input that the storage came in by, None for memory that the function made itself. `peers` are
    the storages that share elements with this one (see `aliases.py`): after a write they are stale, and catch up when next looked at.
    `swapped`: the caller's array has the other byte order, so that NumPy's casts of it to its own dtype are copies. `gaps`: the memory
    does not fill one block, which a new content does: what is computed after a write lies otherwise than in NumPy.
    """

    __slots__ = ("tracing", "_value", "version", "writeable", "source", "peers", "swapped", "gaps", "_stale", "__weakref__")

    def __init__(self, tracing: Recorder, value: Value, *, writeable: bool = True, source: int | None = None):
        self.tracing, self._value, self.writeable, self.source = tracing, value, writeable, source
        self.version, self.swapped, self.gaps = 0, False, False
        self.peers: list[tuple[Storage, Shared]] = []
        self._stale: dict[Storage, Shared] = {}

    @property
    def value(self) -> Value:
        """The content now. A peer that was written later than this storage is never waiting for it in turn, so the calls end."""
        while self._stale:
            peer, shared = self._stale.popitem()
            self._value = shared.mirrored(peer.value, self._value)
        return self._value

    def become(self, value: Value) -> None:
        """The content is `value` from now on."""
        self._value = value
        self._stale.clear()
        self.version += 1
        for peer, shared in self.peers:
            peer.catch_up(self, shared)

    def catch_up(self, peer: Storage, shared: Shared) -> None:
        """When next looked at, take what `peer` holds."""
        self._stale[peer] = shared
        self.version += 1


class Step(NamedTuple):
    """One view operation: `op` with attributes; `indices` are the further operands of a view by traced integers."""

    op: Op
    attrs: tuple[tuple[str, Any], ...]
    indices: tuple[Value, ...] = ()

    def read(self, base: Value) -> Value:
        """The view of `base`."""
        return self.op(base, *self.indices, **dict(self.attrs))

    def put(self, base: Value, new: Value) -> Value:
        """`base` with `new` where this view shows it. A 0-d `new` stands for any shape: it passes through steps that only reshape."""
        name, attrs = self.op.name, dict(self.attrs)
        if name == "slice":
            return TABLE["set_slice"](base, new, **attrs)
        if name == "gather":
            return TABLE["set_at"](base, new, *self.indices, **attrs)
        if name in ("real", "imag"):
            part = TABLE["cast"](new, dtype=np.zeros((), base.dtype).real.dtype) if new.spec.weak else new
            return TABLE[f"set_{name}"](base, part)
        if new.ndim == 0:
            return new
        if name == "transpose":
            return TABLE["transpose"](new, axes=inverse(attrs["axes"]))
        if name in ("expand_dims", "squeeze"):
            return TABLE["squeeze" if name == "expand_dims" else "expand_dims"](new, **attrs)
        return TABLE["reshape"](new, shape=base.shape)

    def stand_in(self, base: np.ndarray) -> np.ndarray | None:
        """The same view of a stand-in, or None where NumPy would have to copy."""
        name, attrs = self.op.name, dict(self.attrs)
        if name == "slice":
            return base[tuple([slice(*triple) for triple in attrs["index"]])]
        if name == "gather":
            return base[tuple([0 if axis in attrs["axes"] else slice(None) for axis in range(base.ndim)])] if 0 not in base.shape else None
        if name == "reshape":
            try:
                return np.reshape(base, attrs["shape"], copy=False)
            except ValueError:
                return None
        return np.asarray(self.op.meaning(base, **attrs)) if name not in ("real", "imag") else getattr(base, name)


Path = tuple[Step, ...]


def read(storage: Storage, path: Path) -> Value:
    """The Value of the view now."""
    value = storage.value
    for step in path:
        value = step.read(value)
    return value


def write(storage: Storage, path: Path, new: Value) -> None:
    """Makes the view's content `new`: of the view's shape, or that its last slice broadcasts, or 0-d; any dtype, cast as by NumPy."""
    steps = _composed(path, storage.value.spec)
    if len(steps) < len(path) and new.ndim:
        shown = _shown(*steps[-1])
        new = TABLE["broadcast_to"](new, shape=shown.shape) if new.shape != shown.shape else new
    bases = [storage.value]
    for step, _ in steps[:-1]:
        bases.append(step.read(bases[-1]))
    for (step, _), base in zip(reversed(steps), reversed(bases)):
        new = step.put(base, new)
    spec = storage.value.spec
    if new.dtype != spec.dtype or new.spec.weak:
        new = TABLE["cast"](new, dtype=spec.dtype)
    if new.shape != spec.shape:
        new = TABLE["broadcast_to"](new, shape=spec.shape)
    if storage.tracing.exact and new.ndim and new.node.op.family != "update":  # the new content lies as the old one did
        new = TABLE["set_slice"](storage.value, new, index=tuple([(0, n, 1) for n in new.shape]))
    storage.become(new)


def _composed(path: Path, spec: Spec) -> list[tuple[Step, Spec]]:
    """The steps to the same view, each with what it reads; a slice of a slice is one slice, also where axes were moved, added or
    dropped between: so one place is written, not a part of a part.
    """
    steps: list[tuple[Step, Spec]] = []
    for step in path:
        at, index = len(steps), dict(step.attrs)["index"] if step.op.name == "slice" else None
        while index is not None and at and steps[at - 1][0].op.name != "slice":
            index, at = _before(steps[at - 1][0], index), at - 1
        if index is None or not at:
            steps.append((step, _shown(*steps[-1]) if steps else spec))
            continue
        earlier, read = steps[at - 1]
        attrs = (("index", composed(dict(earlier.attrs)["index"], index, read.shape)),)
        steps[at - 1] = earlier._replace(attrs=attrs), read
        for k in range(at, len(steps)):
            steps[k] = steps[k][0], _shown(*steps[k - 1])
    return steps


def _shown(step: Step, spec: Spec) -> Spec:
    return step.op.infer((spec, *[i.spec for i in step.indices]), dict(step.attrs))[0]


def _before(step: Step, index: Index) -> Index | None:
    """The slice before `step` that shows what `index` shows after it; None where there is none."""
    name, attrs = step.op.name, dict(step.attrs)
    if name == "transpose":
        return tuple([index[k] for k in inverse(attrs["axes"])])
    if name == "expand_dims":
        kept = tuple([t for k, t in enumerate(index) if k not in attrs["axis"]])
        return kept if all(index[k] == (0, 1, 1) for k in attrs["axis"]) else None
    if name == "squeeze":
        rest = iter(index)
        return tuple([(0, 1, 1) if k in attrs["axis"] else next(rest) for k in range(len(index) + len(attrs["axis"]))])
    return index if name in ("real", "imag") else None


def stand_in(spec: Spec, strides: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of that shape, dtype and strides (C order by default) over one element: never to be read."""
    if strides is None:
        strides = c_strides(spec.shape, spec.dtype.itemsize)
    return as_strided(np.empty(1, spec.dtype), spec.shape, strides)


def has_gaps(memory: np.ndarray | None) -> bool:
    """Whether an array, or the stand-in of one, leaves memory between its elements or runs backwards."""
    return memory is not None and not is_dense(memory.shape, memory.strides, memory.itemsize)
