"""How Hypothesis works here: few examples, no deadline (the machine may be busy), the same ones each time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "candid8",
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("candid8")
