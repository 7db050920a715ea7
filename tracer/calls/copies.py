"""Copies and pickles of compiled functions: as Python's own functions have them.

A copy is the function itself; a deep copy too, unless what it was made of is copied (a bound method of a copied object, a partial). A
pickle holds a name, never traces or plans: where it is read, the function is traced anew.
"""
from __future__ import annotations

import copy
import sys
import types
from typing import Any, Self

from ir.errors import ArgumentError


class Copies:
    """`_recipe`: (make, fn, *rest), such that make(fn, *rest) gives such an object once more."""

    _recipe: tuple[Any, ...]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        make, fn, *rest = self._recipe
        twin = copy.deepcopy(fn, memo)
        return self if twin is fn else make(twin, *rest)

    def __reduce__(self) -> Any:
        name = name_of(self)
        if name is not None:
            return name
        make, fn, *rest = self._recipe
        if isinstance(fn, types.FunctionType) and name_of(fn) is None:
            raise ArgumentError(
                f"{fn.__qualname__} can't be pickled: no module has it by this name",
                op="pickle", mend="define the function at the top of a module, and compile it there or in each process",
            )
        return make, (fn, *rest)


def name_of(thing: Any) -> str | None:
    """The qualified name under which its module has this very thing, or None."""
    module, name = sys.modules.get(getattr(thing, "__module__", None) or ""), getattr(thing, "__qualname__", None)
    found: Any = module
    for part in (name or "").split("."):
        found = getattr(found, part, None)
    return name if found is thing else None

