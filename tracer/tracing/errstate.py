"""NumPy's floating-point settings while a function is traced: what `np.errstate` inside the function has changed.

In: the setting when the trace began, and the present one. Out: (kind, mode) pairs, which the lines recorded now carry, so that a call
computes these lines, and no others, under them.
"""
from __future__ import annotations

import numpy as np

from backends.numpy.support import setting

Modes = tuple[tuple[str, str], ...]


class Errstate:
    """The setting as it is now; `changed` compares a later one with it."""

    def __init__(self) -> None:
        self._seen = setting()  # a new object in each block
        self._modes: dict[str, str] = {str(kind): str(mode) for kind, mode in np.geterr().items()}

    def changed(self) -> Modes:
        """The modes that differ; all of them in a block that sets what was set before, () outside of any block.

        >>> before = Errstate()
        >>> with np.errstate(divide="ignore"):
        ...     before.changed()
        (('divide', 'ignore'),)
        """
        held = setting()
        if held is not None and held is self._seen:
            return ()
        now = {str(kind): str(mode) for kind, mode in np.geterr().items()}
        different = {kind: mode for kind, mode in now.items() if mode != self._modes[kind]}
        return tuple((different or (now if held is not None else {})).items())
