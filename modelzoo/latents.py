"""The latents of a candidate as one safetensors blob: what training reads and what a layout proposal starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays


@dataclass(frozen=True, kw_only=True)
class CandidateLatents:
    """``shape_latent`` (C, D, D, D) and ``layout`` (13,) are raw, not standardised; ``slat_feats`` (N, C') are.

    ``shape_latent`` and ``layout`` are None for a shape that no model made; ``occupancy`` (R, R, R) is solid.
    """

    occupancy: NDArray[np.bool_]
    slat_coords: NDArray[np.uint8]
    slat_feats: NDArray[np.float16]
    shape_latent: NDArray[np.float32] | None = None
    layout: NDArray[np.float32] | None = None


def latents_to_bytes(latents: CandidateLatents) -> bytes:
    """Occupancy is packed to bits."""
    arrays: dict[str, NDArray[np.generic]] = {
        "occupancy_packed": np.packbits(latents.occupancy.reshape(-1)),
        "occupancy_shape": np.array(latents.occupancy.shape, np.int32),
        "slat_coords": latents.slat_coords,
        "slat_feats": latents.slat_feats,
    }
    if latents.shape_latent is not None:
        arrays["shape_latent"] = latents.shape_latent
    if latents.layout is not None:
        arrays["layout"] = latents.layout
    return save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def latents_from_bytes(data: bytes) -> CandidateLatents:
    """Raises ValueError when ``data`` is not such a blob."""
    try:
        arrays = load_arrays(data)
        shape = tuple(int(n) for n in arrays["occupancy_shape"])
        bits = np.unpackbits(arrays["occupancy_packed"], count=int(np.prod(shape)))
        return CandidateLatents(
            occupancy=bits.astype(np.bool_).reshape(shape),
            slat_coords=arrays["slat_coords"],
            slat_feats=arrays["slat_feats"],
            shape_latent=arrays.get("shape_latent"),
            layout=arrays.get("layout"),
        )
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"not a candidate's latents: {error}") from error
