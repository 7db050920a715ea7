"""NumPy's floating-point settings while a function is traced: what `np.errstate` or `warnings` inside the function has changed.

In: the setting when the trace began, and the present one. Out: (kind, mode) pairs, which the lines recorded now carry, so that a call
computes these lines, and no others, under them. A line whose warnings the function itself ignores carries "ignore" for them; one whose
warnings it makes errors or collects is refused, since the values that decide are not there.
"""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from backends.numpy.support import setting
from tracer.operands.refusal import refuse

Modes = tuple[tuple[str, str], ...]
_TEXTS = {  # how NumPy's warnings of each kind begin
    "divide": "divide by zero encountered in divide", "over": "overflow encountered in exp",
    "under": "underflow encountered in exp", "invalid": "invalid value encountered in sqrt",
}  # fmt: skip


class Errstate:
    """The setting as it is now; `changed` compares a later one with it."""

    def __init__(self) -> None:
        self._seen = setting()  # a new object in each block
        self._modes = _modes()
        self._filters, self._fates = warnings.filters, _fates()

    def changed(self) -> Modes:
        """The modes that differ; all of them in a block that sets what was set before, () outside of any block.

        >>> before = Errstate()
        >>> with np.errstate(divide="ignore"):
        ...     before.changed()
        (('divide', 'ignore'),)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     before.changed()[0]
        ('divide', 'ignore')
        """
        held = setting()
        outside = held is not None and held is self._seen
        if outside and warnings.filters is self._filters:
            return ()
        modes = _modes()
        now = modes | self._quieted(modes)
        different = {kind: mode for kind, mode in now.items() if mode != self._modes[kind]}
        if not {"call", "log"}.isdisjoint(different.values()):
            raise refuse(
                "this line calls a function of yours where a value goes wrong: that needs the values",
                "set np.errstate(..., call=...) around the call, or look at the result with np.isfinite", op="errstate",
            )  # fmt: skip
        return tuple((different or (now if held is not None and not outside else {})).items())

    def _quieted(self, modes: dict[str, str]) -> dict[str, str]:
        """The kinds whose warnings the function's own filters leave out. TraceError where they become errors, or are collected."""
        found = {}
        for kind, fate in _fates().items() if warnings.filters is not self._filters else ():
            if fate == self._fates[kind] or modes[kind] != "warn":
                continue
            if fate != "ignore":
                raise refuse(
                    f"this line may warn, and in this catch_warnings block a warning is {_MEANS.get(fate, fate)}: that needs the values",
                    "with np.errstate(all='raise') around the call it is an error; np.isfinite tells in the result which are bad",
                    op="warnings",
                )  # fmt: skip
            found[kind] = "ignore"
        return found


_MEANS = {"error": "an error", "collect": "collected", "show": "shown"}


def _modes() -> dict[str, str]:
    return {str(kind): str(mode) for kind, mode in np.geterr().items()}


def _fates() -> dict[str, str]:
    """What becomes of a warning of each kind: "ignore", "error", "show", or "collect" where the block records them."""
    shows: Any = getattr(warnings, "_showwarnmsg_impl", None)
    shown = "show" if getattr(shows, "__module__", None) == "warnings" else "collect"
    return {kind: {"ignore": "ignore", "error": "error"}.get(_action(text), shown) for kind, text in _TEXTS.items()}


def _action(text: str) -> str:
    for action, message, category, module, number in warnings.filters:
        if issubclass(RuntimeWarning, category) and module is None and not number and (message is None or message.match(text)):
            return action
    return "default"
