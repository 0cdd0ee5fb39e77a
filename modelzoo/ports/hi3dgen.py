"""Hi3DGen (Stable-X/Hi3DGen) as a candidate source: shapes from estimated surface normals, without colours."""

from __future__ import annotations

from modelzoo.ports.children.run_hi3dgen import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(
    name="hi3dgen",
    child="run_hi3dgen",
    install=INSTALL,
    licence="MIT for its code; see the model cards for the weights of the normal estimator",
    axes_stated=True,
    environment={"SPCONV_ALGO": "native"},
)


def hi3dgen_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``weights``, ``normal_repository``, ``normal_weights``, ``device``, the samplers' as for TRELLIS."""
    return ExternalSource(PORT, environment)
