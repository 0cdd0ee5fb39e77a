"""ULIP and Uni3D scores (sam3d facts 7.1): how alike a picture and 8,192 points of a shape are to models of both.

They ask for no truth, so that they serve where none exists (ISO3D); they are lazy and optional, as their models are an
operator's own (modelzoo/ports/similarity.py). A scorer that is missing raises SourceError, which says what to install.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from modelzoo.ports.similarity import SimilarityScorer
from training.metrics.sampling import TriangleMesh, sampled_mesh

PERCEPTUAL_POINTS = 8192


def perceptual_scores(
    scorer: SimilarityScorer,
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    meshes: Iterable[TriangleMesh],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Similarity in [-1, 1] of a masked photograph with each of K meshes (object frame, Z-up), uncoloured."""
    values = []
    for number, mesh in enumerate(meshes):
        rng = np.random.default_rng([seed, number])
        points = sampled_mesh(mesh, count=PERCEPTUAL_POINTS, rng=rng).points
        values.append(scorer.similarity(image, mask, points))
    return np.array(values, dtype=np.float64)
