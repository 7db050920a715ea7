"""What tests of the tracer share: DeZero, whose define-by-run Variables ours are compared with."""
from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest


@pytest.fixture(scope="module")
def dezero():
    """DeZero, with the names that its version needs and NumPy 2 lacks."""
    if importlib.util.find_spec("dezero") is None:
        pytest.skip("DeZero is not installed")
    missing = [name for name in ("int", "float") if name not in vars(np)]
    for name in missing:
        setattr(np, name, {"int": int, "float": float}[name])
    try:
        found = importlib.import_module("dezero")
        importlib.import_module("dezero.functions")
    finally:
        for name in missing:
            delattr(np, name)
    return found
