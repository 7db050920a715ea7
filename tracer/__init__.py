"""gradplan: trace a Python function once, plan once, run every iteration. This package is what a user holds."""
from __future__ import annotations

import importlib.util
import os

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _name in ("ir", "backends"):
    _spec = importlib.util.find_spec(_name)
    _origin = os.path.abspath(_spec.origin) if _spec is not None and _spec.origin else None
    if _origin is None or os.path.dirname(os.path.dirname(_origin)) != _HERE:
        raise ImportError(
            f"the package {_name!r} that Python finds is not gradplan's but {_origin or 'missing'}; "
            f"put {_HERE} first on sys.path, or install gradplan into an environment without the other package"
        )

from backends.numpy.workers import set_threads  # noqa: E402
from ir.errors import (  # noqa: E402
    ArgumentError,
    AuditError,
    BackendUnavailable,
    CheckError,
    DTypeError,
    Error,
    GradientError,
    IndexRangeError,
    MemoryLimitError,
    NotFiniteError,
    NumberRangeError,
    ParseError,
    RenderError,
    ShapeError,
    TraceError,
    ValueArgumentError,
    VerifyError,
)
from ir.spec import Spec  # noqa: E402
from tracer import cuda, functions, optimizers  # noqa: E402
from tracer.compile import compile  # noqa: E402
from tracer.config import Config, no_grad, test_mode, using_config  # noqa: E402
from tracer.function import Function  # noqa: E402
from tracer.functions import sum_to  # noqa: E402
from tracer.grad import grad, value_and_grad  # noqa: E402
from tracer.tracing.trace import trace  # noqa: E402
from tracer.train import train_step  # noqa: E402
from tracer.variable import Parameter, Variable, as_array, as_variable  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "ArgumentError", "AuditError", "BackendUnavailable", "CheckError", "Config", "DTypeError", "Error", "Function", "GradientError",
    "IndexRangeError", "MemoryLimitError", "NotFiniteError", "NumberRangeError", "Parameter", "ParseError", "RenderError",
    "ShapeError", "Spec", "TraceError", "ValueArgumentError", "Variable", "VerifyError", "as_array", "as_variable", "compile", "cuda",
    "functions", "grad", "no_grad", "optimizers", "set_threads", "sum_to", "test_mode", "trace", "train_step", "using_config",
    "value_and_grad",
]  # fmt: skip
