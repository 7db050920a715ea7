"""The page on gradients: each row of its tables is what `grad` gives, compiled or not. Its examples: `test_pages.py`."""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tracer
from ir.op import NoVjp
from ir.ops import TABLE

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "gradients.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| .+ \|$", PAGE, flags=re.M)
NAMES = {"np": np, "F": tracer.functions, "inf": np.inf, "nan": np.nan}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("row", ROWS, ids=[f"{what} at {at}" for what, at, _ in ROWS])
def test_a_row_of_the_table(row):
    expression, at, want = row
    fn = eval(f"lambda x: np.sum({expression.replace('* [1, 2, 3]', '* np.array([1, 2, 3])')})", NAMES)
    x = np.asarray(eval(at, NAMES), float)
    for call in (tracer.grad(fn), tracer.compile(tracer.grad(fn))):
        np.testing.assert_allclose(call(x), eval(want, NAMES), rtol=1e-12, atol=1e-12)


def test_every_row_is_read():
    assert len(ROWS) == PAGE.count("\n| `") >= 40


def test_what_is_flat_is_named():
    """The operations whose gradient is 0 are those that the page names, or kinds of which it names."""
    flat = {name for name, op in TABLE.items() if isinstance(op.vjp, NoVjp) and op.vjp.zero}
    kinds = ("equal", "greater", "less", "logical", "bitwise", "shift", "invert", "floor", "ceil", "rint", "trunc", "is", "signbit")
    named = {name for name in flat if any(kind in name for kind in kinds) or f"`{name}`" in PAGE}
    assert named == flat
