"""Trees: containers to leaves and back. Lists, tuples, dicts, named tuples and what optree knows are containers; all else is a leaf.

The structure that `flatten` gives is hashable and tells apart whatever may not share a trace: kinds of containers, keys, and the
order of dicts (which optree's own treespecs hide).
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import optree

_NAMESPACE = "gradplan"


@dataclass(frozen=True, slots=True)
class Structure:
    """A tree without its leaves. Equal structures have equal containers with equal keys in equal order."""

    spec: Any
    paths: tuple[Any, ...]

    @property
    def count(self) -> int:
        """The number of leaves."""
        return self.spec.num_leaves

    @property
    def flat_args(self) -> bool:
        """Whether this is (args, kwargs) of a call with positional arguments only, none of them a container."""
        return all(len(path) == 2 and path[0] == 0 for path in self.paths)

    def __str__(self) -> str:
        return str(self.spec).removeprefix("PyTreeSpec(").split(", NoneIsLeaf")[0]


_LEAF = Structure(optree.tree_structure(cast(Any, 0), none_is_leaf=True, namespace=_NAMESPACE), ((),))


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure. None and strings are leaves.

    >>> flatten({"b": 1, "a": (2, None)})[0]
    [1, 2, None]
    """
    if not isinstance(tree, (tuple, list, dict)) and optree.tree_is_leaf(tree, none_is_leaf=True, namespace=_NAMESPACE):
        return [tree], _LEAF
    with optree.dict_insertion_ordered(True, namespace=_NAMESPACE):
        leaves, spec = optree.tree_flatten(tree, none_is_leaf=True, namespace=_NAMESPACE)
        if _has_ordered(spec):
            leaves, spec = optree.tree_flatten(_in_order(tree), none_is_leaf=True, namespace=_NAMESPACE)
    return leaves, Structure(spec, tuple(spec.paths()))


@functools.lru_cache(1024)
def _has_ordered(spec: Any) -> bool:
    """Whether there is an OrderedDict in the tree: optree takes its items as they were put in, not in the order that it has since."""
    specs = [spec]
    while specs:
        one = specs.pop()
        if one.type is OrderedDict:
            return True
        specs += one.children()
    return False


def _in_order(tree: Any) -> Any:
    """The tree with each OrderedDict filled anew in its order. Containers inside of one another are few: this goes as deep as they do."""
    return optree.tree_map(
        lambda node: OrderedDict([(k, _in_order(v)) for k, v in node.items()]) if type(node) is OrderedDict else node,
        tree, is_leaf=lambda node: type(node) is OrderedDict, none_is_leaf=True, namespace=_NAMESPACE,
    )  # fmt: skip


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The inverse of `flatten`: containers of the same kinds, dicts in their order.

    >>> leaves, structure = flatten([1, {"x": 2}])
    >>> unflatten(structure, [n * 10 for n in leaves])
    [10, {'x': 20}]
    """
    return optree.tree_unflatten(structure.spec, leaves)


def names(structure: Structure, head: str = "") -> list[str]:
    """How the user would write each leaf, `head` being the tree.

    >>> names(flatten({"w": [1, 2]})[1], "p")
    ["p['w'][0]", "p['w'][1]"]
    """
    return [head + "".join(f"[{step!r}]" for step in path) for path in structure.paths]
