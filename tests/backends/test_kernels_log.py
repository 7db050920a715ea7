"""The logarithm by way of base 2: within two units of NumPy's last place, and the same wherever that is 0, infinite or no number."""
from __future__ import annotations

import numpy as np

import tracer


def test_the_logarithm_is_within_two_units_of_the_last_place() -> None:
    rng, n = np.random.default_rng(0), 20_000
    x = np.concatenate([rng.uniform(0, 2, n), np.exp(rng.normal(size=n) * 100), 1 + rng.normal(size=n) * 1e-9, [1.0, np.inf, 5e-324]])
    fast = tracer.compile(np.log)
    assert "log.log2" in fast.plan(x).text(lines=False)
    np.testing.assert_array_max_ulp(fast(x), np.log(x), 2)
    with np.errstate(all="ignore"):
        odd = np.array([0.0, -0.0, -1.0, np.nan, -np.inf, np.inf, 1.0])
        assert np.array_equal(fast(odd), np.log(odd), equal_nan=True)
    assert "log.log2" not in tracer.compile(np.log, exact=True).plan(x).text(lines=False)
