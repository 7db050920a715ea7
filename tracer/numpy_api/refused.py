"""The functions of NumPy that are not traced, each with what to write instead: names in, mends out.

A mend is code where there is code that gives the same; tests run it.
"""

from __future__ import annotations

import numpy as np

ANY = "compose it from traced functions (arithmetic, exp, log, where, ...), or compute it outside and pass the result in"
_LENGTH = "use the mask itself: np.where(c, a, b); np.argsort(~c, kind='stable') lists the true places first"
_UNIQUE = "s = np.sort(x), then the mask of the first of equals: np.diff(s, prepend=-np.inf) != 0"
_SET = "a mask in place of a set: np.any(x[:, None] == y, axis=1); the length of the result must not depend on the data"
_SAVE = "return x and save the result"
_LAYOUT = "drop the call: the plan chooses the layout"
SCIMATH = "np.sqrt(x.astype(complex)) and its kin: the dtype would depend on the values"
_OUTSIDE = "compute it outside and pass the result in"
_SOLVE = f"{_OUTSIDE}; for small fixed sizes write the formula with @, np.sum and products"
_SORTED = "s = np.sort(x, axis), then the mean of its middle elements; np.linspace between two of them for quantiles"
_HORNER = "Horner's rule in a loop: y = y * x + c"
_INTERVAL = "np.sum(v[:, None] >= edges, axis=1) for increasing edges (for searchsorted from the left: v[:, None] > edges)"
_BETWEEN = "a + (b - a) * np.linspace(0, 1, n); np.exp of it between np.log(a) and np.log(b)"
_CODES = "the arithmetic of the indices: i * n + j, and k // n, k % n back"

MENDS: dict[str, str] = {
    **dict.fromkeys(["nonzero", "flatnonzero", "argwhere", "extract", "trim_zeros"], _LENGTH),
    **dict.fromkeys(["unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"], _UNIQUE),
    **dict.fromkeys(["setdiff1d", "intersect1d", "union1d", "setxor1d"], _SET),
    **dict.fromkeys(["save", "savez", "savez_compressed", "savetxt"], _SAVE),
    **dict.fromkeys(["ascontiguousarray", "asfortranarray", "require", "asarray_chkfinite"], _LAYOUT),
    **dict.fromkeys(["real_if_close"], SCIMATH),
    **dict.fromkeys(["inv", "solve", "det", "slogdet", "cholesky", "svd", "qr", "pinv", "lstsq", "matrix_rank", "cond", "svdvals"], _SOLVE),
    **dict.fromkeys(["eig", "eigh", "eigvals", "eigvalsh", "tensorinv", "tensorsolve"], _SOLVE),
    **dict.fromkeys(["median", "percentile", "quantile"], _SORTED),
    **dict.fromkeys(["searchsorted", "digitize"], _INTERVAL),
    **dict.fromkeys(["unravel_index", "ravel_multi_index"], _CODES),
    **dict.fromkeys(["polyfit", "roots", "poly", "einsum_path", "packbits", "unpackbits", "i0"], _OUTSIDE),
    **dict.fromkeys(["may_share_memory", "shares_memory"], "compare the names instead"),
    **dict.fromkeys(["linspace", "geomspace", "logspace"], _BETWEEN),
    "nanmedian": "s = np.sort(x), which puts NaN last; n = np.sum(~np.isnan(x)), then the mean of s[(n - 1) // 2] and s[n // 2]",
    "nanvar": "np.nanmean(np.abs(x - np.nanmean(x)) ** 2)",
    "nanstd": "np.sqrt(np.nanmean(np.abs(x - np.nanmean(x)) ** 2))",
    "nanargmax": "np.argmax(np.where(np.isnan(x), -np.inf, x))",
    "nanargmin": "np.argmin(np.where(np.isnan(x), np.inf, x))",
    "einsum": "np.tensordot, np.matmul or @, and transpose; sums of products with np.sum(x * y, axis)",
    "vectorize": "write it on whole arrays",
    "apply_along_axis": "write it on whole arrays with axis=, or np.stack([f(row) for row in x])",
    "apply_over_axes": "f(x, axis=axes, keepdims=True)",
    "piecewise": "np.select([a, b], [f(x), g(x)], default)",
    "bincount": "n = np.zeros(size, like=k), then np.add.at(n, k, 1)",
    "histogram": "n = np.zeros(size, like=x), then np.add.at(n, np.sum(x[:, None] >= edges[1:-1], axis=1), 1)",
    "interp": "k = np.sum(x[:, None] >= xp[1:-1], axis=1), then fp[k] + (np.clip(x, xp[0], xp[-1]) - xp[k]) * slope[k] with "
    "slope = np.diff(fp) / np.diff(xp), each table by np.asarray(table, like=x)",
    "isin": "np.any(x[:, None] == values, axis=1)",
    "lexsort": "np.argsort(kind='stable') key by key",
    "partition": "np.sort",
    "argpartition": "np.argsort",
    "cov": "d = x - x.mean(0, keepdims=True), then d.T @ d / (len(x) - 1)",
    "corrcoef": "d = x - x.mean(1, keepdims=True), c = d @ d.T, s = np.sqrt(np.diag(c)), then c / s / s[:, None]",
    "polyval": _HORNER,
    "polyadd": "p + q, the shorter one with zeros in front",
    "polymul": "sum over k of p[k] * q, each shifted by k places",
    "polyder": "p[:-1] * np.arange(len(p) - 1, 0, -1)",
    "vander": "x[:, None] ** np.arange(n - 1, -1, -1)",
    "trapezoid": "np.sum((y[1:] + y[:-1]) / 2 * dx)",
    "gradient": "(x[2:] - x[:-2]) / 2, and the ends by np.concatenate",
    "ediff1d": "np.diff(x.ravel())",
    "unwrap": "d = np.diff(x), then x[0] and x[0] + np.cumsum((d + np.pi) % (2 * np.pi) - np.pi)",
    "convolve": "sums of shifted slices",
    "correlate": "sums of shifted slices: np.stack([np.sum(x[k : k + len(y)] * y) for k in range(len(x) - len(y) + 1)])",
    "as_strided": "slices and np.stack",
    "sliding_window_view": "x[i[:, None] + np.arange(n)] with a plain i",
    "ix_": "x[i[:, None], j]",
    "array_equiv": "np.all(x == y)",
    "frexp": "e = np.where(x == 0, 0, np.floor(np.log2(np.abs(x))) + 1), m = x / 2.0 ** e",
    "ldexp": "x * 2.0 ** k",
    "nextafter": "x + np.finfo(x.dtype).eps * np.abs(x), a step of about that size",
    "spacing": "np.finfo(x.dtype).eps * np.abs(x), about that size",
    "gcd": "Euclid's steps: a, b = b, np.where(b == 0, 0, a % np.where(b == 0, 1, b)), where b ends as 0",
    "lcm": "a * b // gcd, and for gcd Euclid's steps: a, b = b, np.where(b == 0, 0, a % np.where(b == 0, 1, b))",
    "bitwise_count": "sum of (x >> k) & 1 over the bits k",
}

_RUNNING = "a loop: y = x.copy(), then y[i] = {0}(y[i], y[i - 1]) for i in range(1, len(y))"
METHODS: dict[tuple[np.ufunc, str], str] = {
    (np.logaddexp, "reduce"): "m = np.max(x, axis, keepdims=True), then m + np.log(np.sum(np.exp(x - m), axis, keepdims=True))",
    (np.hypot, "reduce"): "np.linalg.norm(x, axis=axis)",
    (np.fmax, "reduce"): "np.nanmax(x, axis)",
    (np.fmin, "reduce"): "np.nanmin(x, axis)",
    (np.maximum, "accumulate"): _RUNNING.format("np.maximum"),
    (np.minimum, "accumulate"): _RUNNING.format("np.minimum"),
}
