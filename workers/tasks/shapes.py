"""What beat asks for: a few numbers of each shape that the bias monitor looks at."""

from __future__ import annotations

from engine import blobs
from engine.errors import BlobMissing
from engine.models import Candidate
from engine.selectors.bias import undescribed
from engine.services.descriptors import NewDescriptor, store_descriptors
from training.metrics.descriptor import VERSION, describe
from workers import mesh_files
from workers.celery import app

#: Of one run; what is left comes with the next.
AT_ONCE = 200


@app.task(name="workers.describe_shapes")  # type: ignore[untyped-decorator]
def describe_shapes() -> int:
    """Describes up to AT_ONCE shapes that have no numbers yet; how many. Twice at once is harmless."""
    found = [_described(candidate) for candidate in undescribed(version=VERSION, limit=AT_ONCE)]
    store_descriptors(found, version=VERSION)
    return len(found)


def _described(candidate: Candidate) -> NewDescriptor:
    """The numbers, or why there are none: a mesh that cannot be read is not read again each minute."""
    try:
        shape = mesh_files.shape_from_glb(blobs.get(candidate.mesh_key))
        values = describe(shape.vertices, shape.faces)
    except (BlobMissing, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return NewDescriptor(candidate=candidate, values=(), detail=f"{type(error).__name__}: {error}"[:200])
    return NewDescriptor(candidate=candidate, values=tuple(round(float(each), 5) for each in values))
