"""TripoSG (VAST-AI-Research/TripoSG) as a candidate source: shapes without colours."""

from __future__ import annotations

from modelzoo.ports.children.run_triposg import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(name="triposg", child="run_triposg", install=INSTALL, licence="MIT", axes_stated=False)


def triposg_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``weights``, ``device``, ``num_inference_steps``, ``guidance_scale``, ``use_flash_decoder``."""
    return ExternalSource(PORT, environment)
