"""The kernel of code of the user's: it is called with copies of the operands, and its results are copied to where the plan has them."""
from __future__ import annotations

import math
from typing import Any

from backends.straight.site import Site
from ir.target import Kernel, Places


def _call(site: Site) -> tuple[str, ...]:
    code = site.thing(site.attrs["fn"], site.attrs["fn"].name)
    specs = site.thing(site.attrs["gives"], "specs")
    reads = "".join([f"{{{k}}}, " for k in range(len(site.reads))])
    writes = "".join([f"{{out{k or ''}}}, " for k in range(len(site.writes))])
    return (f"support.hosted({code}, ({reads}), {specs}, ({writes}))",)


def _scratch(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """The copies; what the code itself asks for, nobody knows."""
    return sum(math.prod(place.shape) * place.dtype.itemsize for place in reads)


KERNELS: dict[str, tuple[Kernel, ...]] = {"host": (Kernel("host.call", "host", _call, scratch=_scratch),)}
