"""TRELLIS (microsoft/TRELLIS) as a candidate source: meshes with colours and Gaussians, posed by search."""

from __future__ import annotations

from modelzoo.ports.children.run_trellis import INSTALL
from modelzoo.ports.external import ExternalSource, ForeignEnvironment, Port

PORT = Port(
    name="trellis",
    child="run_trellis",
    install=INSTALL,
    licence="MIT; some of its optional renderers are not",
    axes_stated=True,
    environment={"SPCONV_ALGO": "native"},  # else the first call benchmarks every algorithm
)


def trellis_source(environment: ForeignEnvironment) -> ExternalSource:
    """Options: ``weights`` (folder of TRELLIS-image-large), ``device``, ``structure_sampler``, ``latent_sampler``."""
    return ExternalSource(PORT, environment)
