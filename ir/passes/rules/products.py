"""Products: one of BLAS in the place of many small ones. Not exact: the sums are taken in another order."""
from __future__ import annotations

from ir.graph import Value
from ir.ops.matmul import dot
from ir.ops.shape import reshape, transpose
from ir.rules import Condition, Match, Rule, kind, one_use, rank, same_dtype, single


def _rows(value: Value) -> Value:
    """All rows, of whatever leading axes, as those of one matrix."""
    columns = value.shape[-1]
    return reshape(value, shape=(value.spec.size // columns, columns))


def _over_the_batch(m: Match) -> bool:
    """The products are of matrices that stand side by side, each with its columns turned to rows; they are summed over all leading axes."""
    a, b, axes, lead = m["a"], m["b"], m["axes"], m["a"].ndim - 2
    turned = tuple(axes) == (*range(lead), lead + 1, lead)
    return lead > 0 and turned and a.shape[:-1] == b.shape[:-1] and tuple(m["axis"]) == tuple(range(lead)) and 0 not in (*a.shape, *b.shape)


def _are_rows(m: Match) -> bool:
    return m["x"].ndim > 2 and 0 not in (*m["x"].shape, *m["y"].shape)


def _product_of_rows(m: Match) -> Value:
    return reshape(dot(_rows(m["x"]), m["y"]), shape=m.root.shape)


def _one_product(m: Match) -> Value:
    return dot(transpose(_rows(m["a"]), axes=(1, 0)), _rows(m["b"]))


RULES: tuple[Rule, ...] = (
    Rule(
        "product of matrices", "matmul(x, y)", to="dot(x, y)", where=rank("x", 1, 2) & rank("y", 1, 2) & ~single("x", "y"),
        exact=False,
    ),
    Rule(  # NumPy takes a dot of more axes vector by vector
        "product of rows", "dot(x, y)", to=_product_of_rows, where=kind("fc") & rank("y", 2) & same_dtype("x", "y") & Condition(_are_rows),
        exact=False,
    ),
    Rule(
        "sum of products", "sum(matmul(transpose(a, axes=axes), b), axis=axis, keepdims=False)", to=_one_product, exact=False,
        where=kind("fc") & one_use("matmul") & same_dtype("a", "b") & Condition(_over_the_batch),
    ),
)
