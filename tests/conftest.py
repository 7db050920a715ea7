"""What every test shares: passes run between two verifiers, drawn tests draw the same each time, pictures need no screen."""
from __future__ import annotations

import importlib.util
import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("gradplan", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False)
settings.load_profile("gradplan")

if importlib.util.find_spec("ir.passes") is not None:
    import ir.passes

    ir.passes.VERIFY = True
