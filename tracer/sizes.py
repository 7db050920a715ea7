"""Sizes in bytes as users write them: `200_000_000`, `"200MB"`, `"1.5 GiB"` in, a number of bytes out."""
from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from ir.errors import ArgumentError, ValueArgumentError

UNITS = {
    "": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "TiB": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*\Z", re.ASCII)
_MEND = 'give bytes as an int, or text such as "200MB" (10**6) or "200MiB" (2**20)'


def bytes_of(size: Any) -> int | None:
    """The bytes; None for None. Raises ArgumentError for another type, ValueArgumentError for a text that is no size, or a negative one.

    >>> bytes_of("200MB"), bytes_of("1.5 KiB"), bytes_of(4096)
    (200000000, 1536, 4096)
    """
    if size is None:
        return None
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        if size < 0:
            raise ValueArgumentError(f"{size} is no number of bytes", op="memory_limit", mend=_MEND)
        return int(size)
    if not isinstance(size, str):
        raise ArgumentError(f"{size!r:.60} is no size", op="memory_limit", mend=_MEND)
    found = _SIZE.match(size)
    if found is None or found[2] not in UNITS:
        raise ValueArgumentError(f"{size!r:.60} is no size", op="memory_limit", mend=f"{_MEND}; units are {', '.join(list(UNITS)[1:])}")
    return int(Decimal(found[1].replace("_", "")) * UNITS[found[2]])
