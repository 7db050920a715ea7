"""The short way of a call like the one that made an entry: its checks and its inputs as one straight-line function.

In: what an entry expects of plain positional arguments, its guards, the things it closes over. Out: a function from the arguments to
the program's inputs, or None where the long way must decide. Loops and calls between the pieces cost more than the pieces themselves
(11 us of a step of 76, of which the program takes 54), so they are written out. It says None rather than err: whatever it does not
know, the long way looks at.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracer.config import SWITCHES

Take = Callable[[tuple[Any, ...]], "list[Any] | None"]


def shortcut(leaves: Sequence[Any], checks: Sequence[Callable[..., bool]], captured: Sequence[Any], as_variables: bool) -> Take:
    """The function, for a trace made with `leaves`: arrays in native order and Python numbers, each an input in its place."""
    names: dict[str, Any] = {"ndarray": np.ndarray, "switches": SWITCHES, "backprop": SWITCHES.enable_backprop, "train": SWITCHES.train}
    lines = ["if switches.enable_backprop is not backprop or switches.train is not train: return None"]
    lines.append(f"{''.join([f'a{k}, ' for k in range(len(leaves))]) or '()'} = args")
    for k, leaf in enumerate(leaves):
        if type(leaf) is np.ndarray:
            names |= {f"s{k}": leaf.shape, f"t{k}": leaf.strides, f"d{k}": leaf.dtype}
            lines.append(f"if type(a{k}) is not ndarray or a{k}.shape != s{k} or a{k}.strides != t{k} or a{k}.dtype != d{k}: return None")
        else:
            names[f"k{k}"] = type(leaf)
            lines.append(f"if type(a{k}) is not k{k}: return None")
    for k, check in enumerate(checks):
        names[f"check{k}"] = check
        lines.append(f"if not check{k}(args): return None")
    for k, thing in enumerate(captured):
        names |= {f"thing{k}": thing, f"fetch{k}": thing.fetch, f"z{k}": thing.shape}
        if thing.number is not None:
            names[f"n{k}"] = thing.number
            lines.append(f"m{k} = fetch{k}()")
            lines.append(f"c{k} = m{k} if type(m{k}) is n{k} else None")
        elif not as_variables:
            lines.append(f"c{k} = fetch{k}(){'.settled()' if thing.is_variable else ''}")
            lines.append(f"if c{k} is not thing{k}.seen or c{k}.shape != z{k}: c{k} = thing{k}.now()")
        else:
            lines.append(f"c{k} = thing{k}.variable()")
        lines.append(f"if c{k} is None: return None")
    inputs = [f"a{k}" for k in range(len(leaves))] + [f"c{k}" for k in range(len(captured))]
    body = "".join([f"        {line}\n" for line in lines])
    unknown = "    except (LookupError, AttributeError, ValueError, TypeError):\n        return None\n"
    exec(f"def take(args):\n    try:\n{body}{unknown}    return [{', '.join(inputs)}]\n", names)
    take: Take = names.pop("take")  # in a circle with its globals it would outlive its entry
    return take


def is_plain(leaves: Sequence[Any]) -> bool:
    """Whether the short way is open to such arguments."""
    return all(type(x) in (int, float) or (type(x) is np.ndarray and x.dtype.isnative and x.flags.aligned) for x in leaves)
