"""Drawing from a flow: settings, the one call ``sample``, and the randomness of candidates."""

from modelzoo.samplers.randomness import candidate_generator, draw_noise
from modelzoo.samplers.sampling import VelocityFn, sample
from modelzoo.samplers.settings import FlowSettings, geometry_flow, texture_flow

__all__ = [
    "FlowSettings",
    "VelocityFn",
    "candidate_generator",
    "draw_noise",
    "geometry_flow",
    "sample",
    "texture_flow",
]
