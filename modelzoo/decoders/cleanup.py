"""Clean-up of extracted surfaces in named steps; each step that changed something is part of the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import fast_simplification
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

FLOATER_FRACTION = 0.01  # pieces with fewer than this share of the faces are dropped
MAX_HOLE_EDGES = 12  # longer boundaries are openings that a shape may well have
MAX_FACES = 40_000  # of a full mesh; eight of them stay below 8 MB
WILD_FACES = 150_000  # a surface with more is noise, and is smoothed before anything else
BLURS = (1.5, 3.0, 6.0)  # voxels, tried in turn on a noisy field

Floats = NDArray[np.float32]

_SIMPLIFIER = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Triangles without colours, counter-clockwise from outside."""

    vertices: Floats  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3)

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"vertices must be (V, 3), not {self.vertices.shape}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not len(self.faces):
            raise ValueError(f"faces must be (F, 3) with F > 0, not {self.faces.shape}")


@dataclass(frozen=True, kw_only=True)
class StepTaken:
    """A step that changed something, and by how much; as text ``floaters_dropped(pieces=3, faces=120)``."""

    name: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.numbers:
            return self.name
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.numbers.items())})"


CleanUp = Callable[[Surface], tuple[Surface, StepTaken | None]]


def cleaned(surface: Surface, steps: Sequence[CleanUp]) -> tuple[Surface, tuple[StepTaken, ...]]:
    """The surface after all steps in turn, and those that changed it."""
    taken = []
    for step in steps:
        surface, note = step(surface)
        if note is not None:
            taken.append(note)
    return surface, tuple(taken)


def calmed(
    volume: Floats, level: float, surface_of: Callable[[Floats, float], Surface]
) -> tuple[Surface, StepTaken | None]:
    """The surface of a (R, R, R) field at ``level``, blurred until it is no longer a cloud of noise.

    A blur lowers all peaks, so a blurred field is cut at its 95th percentile where that is lower than ``level``.
    """
    assert volume.ndim == 3, volume.shape
    surface = surface_of(volume, level)
    before, used = len(surface.faces), 0.0
    for blur in BLURS:
        if len(surface.faces) <= WILD_FACES:
            break
        volume, used = gaussian_filter(volume, blur), blur
        surface = surface_of(volume, min(level, float(np.percentile(volume, 95.0))))
    if not used:
        return surface, None
    numbers = {"blur_voxels": used, "faces_before": before, "faces": len(surface.faces)}
    return surface, StepTaken(name="noisy_surface_smoothed", numbers=numbers)


def drop_floaters(surface: Surface) -> tuple[Surface, StepTaken | None]:
    """Without connected pieces of under 1 % of the faces; the largest piece always stays."""
    faces = surface.faces
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    shape = (len(surface.vertices),) * 2
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=shape)
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    sizes = np.bincount(piece, minlength=int(piece.max()) + 1)
    small = sizes < max(FLOATER_FRACTION * len(faces), 4)
    small[int(sizes.argmax())] = False
    gone = small[piece]
    if not gone.any():
        return surface, None
    numbers = {"pieces": int((small & (sizes > 0)).sum()), "faces": int(gone.sum())}
    kept = _without_loose_vertices(surface.vertices, faces[~gone])
    return kept, StepTaken(name="floaters_dropped", numbers=numbers)


def fill_small_holes(surface: Surface) -> tuple[Surface, StepTaken | None]:
    """Each closed boundary of at most 12 edges gets a fan of triangles about its centre."""
    loops = [loop for loop in _boundaries(surface.faces) if len(loop) <= MAX_HOLE_EDGES]
    if not loops:
        return surface, None
    centres = np.stack([surface.vertices[loop].mean(axis=0) for loop in loops])
    fans = [
        (after, before, len(surface.vertices) + number)
        for number, loop in enumerate(loops)
        for before, after in zip(loop, [*loop[1:], loop[0]], strict=True)
    ]
    filled = Surface(
        vertices=np.concatenate([surface.vertices, centres]).astype(np.float32),
        faces=np.concatenate([surface.faces, np.array(fans, dtype=np.int32)]),
    )
    return filled, StepTaken(name="small_holes_filled", numbers={"holes": len(loops), "faces": len(fans)})


def at_most(max_faces: int) -> CleanUp:
    """The step that decimates a surface of more than ``max_faces`` faces."""

    def decimate(surface: Surface) -> tuple[Surface, StepTaken | None]:
        if len(surface.faces) <= max_faces:
            return surface, None
        fewer = simplified(surface, max_faces=max_faces)
        numbers = {"faces_before": len(surface.faces), "faces": len(fewer.faces)}
        return fewer, StepTaken(name="mesh_decimated", numbers=numbers)

    return decimate


def simplified(surface: Surface, *, max_faces: int) -> Surface:
    """The surface by quadric decimation with at most ``max_faces`` faces."""
    if len(surface.faces) <= max_faces:
        return surface
    # The simplifier keeps its mesh in globals and lets go of the interpreter lock: two at once would mix their shapes.
    with _SIMPLIFIER:
        vertices, faces = fast_simplification.simplify(
            surface.vertices, surface.faces, target_count=max_faces
        )
        if len(faces) > max_faces or not len(faces):
            vertices, faces = fast_simplification.simplify(
                surface.vertices, surface.faces, target_count=max_faces, agg=10
            )
    return Surface(vertices=vertices.astype(np.float32), faces=faces.astype(np.int32))


AFTER_EXTRACTION: tuple[CleanUp, ...] = (drop_floaters, fill_small_holes, at_most(MAX_FACES))


def _boundaries(faces: NDArray[np.int32]) -> list[list[int]]:
    """Closed walks along edges of one face only, in that face's direction; branching ones are left out."""
    if _is_closed(faces):  # most are, and sorting all edges to find none open took a fifth of a mesh's time
        return []
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    width = int(faces.max()) + 1
    there, back = edges[:, 0] * width + edges[:, 1], edges[:, 1] * width + edges[:, 0]
    open_edges = edges[~np.isin(there, back)]
    starts, counts = np.unique(open_edges[:, 0], return_counts=True)
    branching = set(starts[counts > 1].tolist())
    following = {a: b for a, b in open_edges.tolist() if a not in branching}
    loops = []
    while following:
        first, at = following.popitem()
        loop = [first]
        while at != first and at in following:
            loop.append(at)
            at = following.pop(at)
        if at == first and len(loop) > 2:
            loops.append(loop)
    return loops


def _is_closed(faces: NDArray[np.int32]) -> bool:
    """Whether every directed edge comes as often as its reverse."""
    starts, ends = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    size = (int(faces.max()) + 1,) * 2
    ones = np.ones(len(starts), dtype=np.int32)
    there = csr_matrix((ones, (starts, ends)), shape=size)
    back = csr_matrix((ones, (ends, starts)), shape=size)
    return bool((there != back).nnz == 0)


def _without_loose_vertices(vertices: Floats, faces: NDArray[np.int32]) -> Surface:
    used, renamed = np.unique(faces, return_inverse=True)
    return Surface(vertices=vertices[used], faces=renamed.reshape(-1, 3).astype(np.int32))
