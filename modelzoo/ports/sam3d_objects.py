"""The official sam3d_objects package as a candidate source: mesh, Gaussians and its own pose (sam3d facts 8)."""

from __future__ import annotations

from modelzoo.ports.children.run_sam3d_objects import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(
    name="sam3d-objects",
    child="run_sam3d_objects",
    install=INSTALL,
    licence="SAM License (2025-11-19): gated weights, acknowledgement in publications, excluded uses",
    axes_stated=True,
    environment={"LIDRA_SKIP_INIT": "1"},
)


def sam3d_objects_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``config`` (the official pipeline.yaml), ``layout_postprocess``, ``stage1_steps``, ``stage2_steps``.

    The files that the configuration names are unpickled by the official package: give it only files you trust.
    """
    return ExternalSource(PORT, environment)
