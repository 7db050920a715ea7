"""Stories of changes: a generator yields its function once, and again after each change of what the function reaches."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracer

X = np.array([1.0, 2.0, 3.0])


def check(story: Callable[[], Iterator[Callable[..., Any]]]) -> None:
    """At each yield the compiled function gives, or raises, what the function itself does."""
    fast = None
    for fn in story():
        fast = fast or tracer.compile(fn)
        try:
            due = fn(X)
        except Exception as error:
            with pytest.raises(type(error)):
                fast(X)
            continue
        got = fast(X)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(due))
        assert got.dtype == due.dtype
