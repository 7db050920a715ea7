"""What a train step keeps: the parameters, and the arrays that the optimizer keeps for each. Both are Variables, states of the plans.

In: the parameters as given, or those that a trace has found. Out: Variables for the plans; trees of arrays for whoever reads or sets them.
Invariant: setting either checks every leaf before it writes the first.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import backends
from backends.straight.finish import finish
from ir.errors import ArgumentError
from ir.source import Line, user_line
from tracer import trees
from tracer.eager.sharing import shared_by, standing
from tracer.optimizers import Optimizer
from tracer.variable import Variable

_FORMS = "parameters are float arrays or Variables of them"


class Trained:
    """`holders`: the parameters in their order. `closed_over`: they are the user's own Variables. `given`: the user named them."""

    def __init__(self, optimizer: Optimizer, params: Any, line: Line | None):
        self._optimizer, self.given = optimizer, params is not None
        leaves, self._tree = trees.flatten(params if self.given else [])
        self.closed_over = all(isinstance(leaf, Variable) for leaf in leaves)
        if not self.closed_over and any(isinstance(leaf, Variable) for leaf in leaves):
            raise ArgumentError("params mixes Variables and arrays", op="train_step", mend="give Variables only, or arrays only").at(
                line=line
            )
        if self.given and not leaves:
            raise ArgumentError("params is empty", op="train_step", mend="give the parameters, or None to find them").at(line=line)
        self.holders = [_own(leaf, name, line) for leaf, name in zip(leaves, trees.names(self._tree, "params"))]
        if len({id(v) for v in self.holders}) < len(self.holders):
            raise ArgumentError("the same Variable stands twice in params", op="train_step", mend="give it once").at(line=line)
        self._kept: dict[int, tuple[tuple[int, ...], dict[str, Variable]]] = {}  # by id: the holders are kept

    def add(self, found: Sequence[Variable]) -> None:
        """Parameters that a trace has met, in their order, where none were given."""
        known = {id(v) for v in self.holders}
        self.holders += [v for v in found if id(v) not in known]
        self._tree = trees.flatten(self.holders)[1]

    def tree(self, leaves: Sequence[Any]) -> Any:
        """The form in which the parameters were given, with these leaves."""
        return trees.unflatten(self._tree, leaves)

    def kept(self, holder: Variable) -> dict[str, Variable]:
        """What the optimizer keeps for a parameter, made when first asked for."""
        known = self._kept.get(id(holder))
        if known is None:
            memory = holder.memory()
            order: Any = "F" if memory is not None and memory.flags.fnc else "C"  # it may stay so: `ir/planning/kept.py`
            fresh = np.zeros(holder.shape, holder.dtype.newbyteorder("="), order)
            kept = {name: Variable(np.array(a, order="A")) for name, a in self._optimizer.state(fresh).items()}
            known = self._kept[id(holder)] = holder.shape, kept
        if known[0] != holder.shape and known[1]:
            raise ArgumentError(
                f"a parameter has shape {holder.shape} now, and step.state was made for {known[0]}", op="train_step",
                mend="keep the shapes of parameters, or make a new train step",
            )
        return known[1]

    # ---- as trees of arrays
    def params(self) -> Any:
        """The Variables, or copies of the arrays, in the form in which the parameters were given."""
        return self.tree(self.holders if self.closed_over else _copies(self.holders))

    def set_params(self, tree: Any) -> None:
        """Copies the arrays of a tree of that form into the parameters."""
        _write(self._matched(tree, self._tree, self.holders, "params"))

    def state(self) -> dict[str, Any]:
        """Copies of what the optimizer keeps: for each name a tree of the parameters' form."""
        kept = [self.kept(v) for v in self.holders]
        names, count = list(kept[0] if kept else ()), len(kept)
        arrays = _copies([each[name] for name in names for each in kept])
        return {name: self.tree(arrays[k * count : (k + 1) * count]) for k, name in enumerate(names)}

    def set_state(self, state: Any) -> None:
        """Copies the arrays of such a dict into what the optimizer keeps."""
        kept = [self.kept(v) for v in self.holders]
        names = list(kept[0]) if kept else []
        if not isinstance(state, dict) or sorted(map(str, state)) != sorted(names):
            given = sorted(map(str, state)) if isinstance(state, dict) else f"a {type(state).__name__}"
            raise ArgumentError(
                f"the state of {self._optimizer!r} is a dict of {names}, not {given}", op="step.state",
                mend="give a dict of the form that step.state has" if kept else "set it after the first step, which finds the parameters",
            ).at(line=user_line())
        found = []
        for name in names:
            found += self._matched(state[name], self._tree, [each[name] for each in kept], f"state[{name!r}]")
        _write(found)

    def _matched(self, tree: Any, form: trees.Structure, holders: Sequence[Variable], head: str) -> list[tuple[Variable, np.ndarray]]:
        """(Variable, its new content) for each leaf; ArgumentError where form, shape or dtype differ."""
        leaves, structure = trees.flatten(tree)
        if structure != form:
            raise ArgumentError(
                f"step.{head} has the form {form}, not {structure}", op=f"step.{head}", mend=f"change the leaves of what step.{head} gives"
            ).at(line=user_line())
        found = []
        for holder, leaf, name in zip(holders, leaves, trees.names(form, head)):
            new = backends.to_host(leaf.data if isinstance(leaf, Variable) else leaf)
            if new.shape != holder.shape or new.dtype.newbyteorder("=") != holder.dtype.newbyteorder("="):
                raise ArgumentError(
                    f"step.{name} is an array of shape {holder.shape} and dtype {holder.dtype}, not of {new.shape} and {new.dtype}",
                    op=f"step.{head}", mend="reshape it, or bring it to that dtype with .astype",
                ).at(line=user_line())
            found.append((holder, new.copy()))  # it may be a view of another leaf that is written first
        return found


def _copies(variables: Sequence[Variable]) -> list[np.ndarray]:
    """Of one whole iteration, also while another thread makes the next."""
    with standing(shared_by(variables)):
        return [v.data.copy() for v in variables]


def _write(pairs: Sequence[tuple[Variable, np.ndarray]]) -> None:
    """All or none: an interrupt waits until the last is written."""
    writes = []
    for holder, new in pairs:
        backend = backends.owner(holder.data)
        if backend is None and not holder.data.flags.writeable:
            holder.data = holder.data.copy()
        writes.append((np.copyto if backend is None else backend.arrays.write, holder.data, new))
    finish(writes)


def _own(leaf: Any, name: str, line: Line | None) -> Variable:
    """A parameter as a Variable: the one given, or one with our own copy of an array."""
    if isinstance(leaf, Variable) and not leaf.absent and leaf.dtype.kind in "fc":
        return leaf
    if isinstance(leaf, (np.ndarray, np.generic, float)) and np.asarray(leaf).dtype.kind in "fc":
        return Variable(np.array(leaf, order="A"), name=name)
    if backends.owner(leaf) is not None and leaf.dtype.kind in "fc":
        return Variable(leaf.copy(), name=name)
    absent = isinstance(leaf, Variable) and leaf.absent
    of_dtype = f" of dtype {leaf.dtype}" if isinstance(leaf, (np.ndarray, np.generic, Variable)) and not absent else ""
    raise ArgumentError(
        f"a parameter is {type(leaf).__name__}{of_dtype}" + (" without data" if absent else ""), op="train_step", mend=_FORMS
    ).at(line=line)
