"""Uni3D and ULIP-2 as scorers: how well a shape fits a picture by models that were trained to tell (sam3d facts 7.1).

Neither comes with this repository and nothing is downloaded: an operator installs the package in an environment of its
own, fetches its weights once and names both. Each runs in a child process, as the ports to generators do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzoo.contracts import CandidateRequest
from modelzoo.frames import glb_from_object
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.children import protocol, run_ulip, run_uni3d
from modelzoo.ports.external import ForeignEnvironment, Port, write_request

UNI3D = Port(name="uni3d", child="run_uni3d", install=run_uni3d.INSTALL, licence="MIT", axes_stated=False)
ULIP2 = Port(
    name="ulip-2", child="run_ulip", install=run_ulip.INSTALL, licence="BSD-3-Clause", axes_stated=False
)


class SimilarityScorer:
    """Cosine of the embeddings of a masked photograph and of a shape's surface points. ``close`` ends the child.

    ``uni3d_scorer`` takes the options weights, clip_weights, size, clip and device; ``ulip_scorer`` weights and device.
    """

    def __init__(self, port: Port, environment: ForeignEnvironment) -> None:
        self.name = port.name
        self._process = environment.process(port)

    def similarity(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        points: NDArray[np.floating],
        colours: NDArray[np.floating] | None = None,
    ) -> float:
        """In [-1, 1], of object-frame points (N x 3, Z-up; the paper takes 8,192) with sRGB colours (N x 3) in [0, 1].

        Raises ValueError for other arrays and SourceError, which says what to install, when the scorer is missing.
        """
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all() or len(points) == 0:
            raise ValueError(f"points must be N x 3 and finite, not {points.shape}")
        if colours is not None and (colours.shape != points.shape or colours.min() < 0 or colours.max() > 1):
            raise ValueError(f"colours must be {points.shape} in [0, 1], not {colours.shape}")
        request = CandidateRequest(image=image, mask=mask, seeds=(0,))
        with tempfile.TemporaryDirectory(prefix="candid8-port-") as temporary:
            folder = Path(temporary)
            write_request(folder, replace(request, points=None), masks=mask[None])
            arrays: dict[str, Any] = {"points": glb_from_object(points)}
            if colours is not None:
                arrays["colours"] = np.asarray(colours, np.float64)
            np.savez(folder / protocol.SHAPE, **arrays)
            items = self._process.ask(
                {"kind": "generate", "folder": str(folder), "seeds": [0], "options": {}}
            )
        return _similarity(items, name=self.name)

    def close(self) -> None:
        self._process.close()

    def __enter__(self) -> SimilarityScorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def uni3d_scorer(environment: ForeignEnvironment) -> SimilarityScorer:
    """Uni3D (baaivision/Uni3D)."""
    return SimilarityScorer(UNI3D, environment)


def ulip_scorer(environment: ForeignEnvironment) -> SimilarityScorer:
    """ULIP-2 (salesforce/ULIP), PointBERT with colours."""
    return SimilarityScorer(ULIP2, environment)


def _similarity(items: list[Any], *, name: str) -> float:
    value = items[0].get("similarity") if len(items) == 1 and isinstance(items[0], Mapping) else None
    if not isinstance(value, float) or not -1.0 - 1e-6 <= value <= 1.0 + 1e-6:
        raise SourceError("answer_refused", f"{name} answered no similarity: {items}")
    return value
