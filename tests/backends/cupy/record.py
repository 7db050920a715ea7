"""Records what the installed CuPy takes: `python -m tests.backends.cupy.record` writes `recorded.json` beside this file.

In: an importable CuPy; no driver is needed. Out: for each name that programs use its parameters, for each ufunc its loops. `standin.py`
takes no more than that, and a test compares the record with CuPy where it is installed.
"""
from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("recorded.json")
FUNCTIONS = (
    "all", "amax", "amin", "any", "arange", "argmax", "argmin", "array", "asarray", "broadcast_to", "concatenate", "copyto", "cumprod",
    "cumsum", "empty", "expand_dims", "matmul", "prod", "searchsorted", "sum", "take",
)  # fmt: skip
METHODS = (
    "argsort", "astype", "copy", "dot", "fill", "get", "item", "reshape", "sort", "squeeze", "take", "transpose",
)  # fmt: skip
UFUNCS = (
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "bitwise_and", "bitwise_or", "bitwise_xor",
    "cbrt", "ceil", "conjugate", "copysign", "cos", "cosh", "divide", "equal", "exp", "exp2", "expm1", "floor", "floor_divide", "fmax",
    "fmin", "fmod", "greater", "greater_equal", "hypot", "invert", "isfinite", "isinf", "isnan", "left_shift", "less", "less_equal", "log",
    "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum",
    "multiply", "negative", "not_equal", "positive", "power", "reciprocal", "remainder", "right_shift", "rint", "sign", "signbit", "sin",
    "sinh", "sqrt", "square", "subtract", "tan", "tanh", "trunc",
)  # fmt: skip
ELSEWHERE = (
    "cuda.alloc", "cuda.get_current_stream", "cuda.nvrtc.getVersion", "cuda.runtime.CUDARuntimeError", "cuda.runtime.getDevice",
    "cuda.runtime.getDeviceCount", "cuda.runtime.memGetInfo", "get_default_memory_pool", "ndarray",
)  # fmt: skip


def record() -> dict[str, Any]:
    """What the installed CuPy takes."""
    import cupy

    return {
        "version": cupy.__version__,
        "functions": {name: _signature(getattr(cupy, name)) for name in FUNCTIONS},
        "methods": {name: _signature(getattr(cupy.ndarray, name)) for name in METHODS},
        "ufuncs": {name: [loop for loop in getattr(cupy, name).types if not set(loop) & set("EV")] for name in UFUNCS},
        "elsewhere": [name for name in ELSEWHERE if _there(cupy, name)],
    }


def _there(module: Any, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _signature(thing: Any) -> str:
    """The parameters as text; of Cython's methods from the first line of their text."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        text = re.search(r"\((.*?)\)(?: ->|$)", (thing.__doc__ or "").splitlines()[0])
        assert text is not None, thing
        parts = [re.sub(r"^\*?(?:\w+ )+(?=\w+(=|$))", "", part.strip()) for part in text[1].split(",")]
        return f"({', '.join([part for part in parts if part != 'self'])})"
    plain = [p.replace(annotation=p.empty, default=_default(p)) for p in found.parameters.values() if p.name != "self"]
    return str(inspect.Signature(plain))


def _default(parameter: inspect.Parameter) -> Any:
    """Types by their dtype's name, so that the text can be read."""
    found = parameter.default
    return np.dtype(found).name if isinstance(found, type) and found is not parameter.empty else found


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
