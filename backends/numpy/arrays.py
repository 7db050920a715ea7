"""NumPy's arrays, as `backends.base.Arrays` asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.numpy.support import Block, lie_adjacent, side_by_side


class NumpyArrays:
    """See `backends.base.Arrays`."""

    on_host = True

    def owns(self, thing: Any) -> bool:
        """Whether it is an array of NumPy's."""
        return isinstance(thing, np.ndarray)

    def layout(self, array: Any) -> str:
        """As it lies."""
        flags = array.flags
        return "C" if flags.c_contiguous else "F" if flags.f_contiguous else "any"

    def geometry(self, array: Any) -> np.ndarray:
        """Itself."""
        return array

    def may_pack(self, arrays: Sequence[Any]) -> bool:
        """A state that lies in a pack already is not asked to move to another."""
        return lie_adjacent(arrays) or not any(type(a.base) is Block for a in arrays)

    def states(self, arrays: Sequence[Any]) -> list[Any]:
        """Copies, one behind the other."""
        return side_by_side(arrays)

    def to_host(self, array: Any) -> np.ndarray:
        """Itself."""
        return array

    def write(self, target: Any, value: Any) -> None:
        """`np.copyto`."""
        np.copyto(target, value)
