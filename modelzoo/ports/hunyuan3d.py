"""Hunyuan3D-2 (Tencent-Hunyuan/Hunyuan3D-2) as a candidate source: shapes, and with ``paint`` their textures."""

from __future__ import annotations

from modelzoo.ports.children.run_hunyuan3d import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(
    name="hunyuan3d-2",
    child="run_hunyuan3d",
    install=INSTALL,
    licence="Tencent Hunyuan Community License: limits on territory, users and training other models on its outputs",
    axes_stated=False,
)


def hunyuan3d_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``weights``, ``subfolder``, ``device``, ``paint``, and the call's own ``num_inference_steps``,
    ``guidance_scale`` and ``octree_resolution``.
    """
    return ExternalSource(PORT, environment)
