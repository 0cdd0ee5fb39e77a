"""Direct3D-S2 (DreamTechAI/Direct3D-S2) as a candidate source: fine shapes without colours."""

from __future__ import annotations

from modelzoo.ports.children.run_direct3d_s2 import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(name="direct3d-s2", child="run_direct3d_s2", install=INSTALL, licence="MIT", axes_stated=False)


def direct3d_s2_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``weights``, ``device``, ``sdf_resolution``, ``remesh``, ``simplify_ratio``, ``mc_threshold``."""
    return ExternalSource(PORT, environment)
