"""How long a person waits for a refined mask, at the size that the browser asks for: box, point, then strokes."""

import time
from statistics import median

import cv2
import numpy as np
from skimage import data

from benchmarks.result import Result
from workers.grabcut import refine
from workers.mask_proposer import Guidance

BUDGET_S = 0.5
ROUNDS = 5
REQUEST_PX = 1024  # the longer side of what the browser sends


def measure(*, seed: int) -> list[Result]:
    photograph = data.coffee()
    height, width = photograph.shape[:2]
    size = (REQUEST_PX, round(height * REQUEST_PX / width))
    photograph = np.ascontiguousarray(cv2.resize(photograph, size, interpolation=cv2.INTER_CUBIC))
    box = (0.1 * size[0], 0.1 * size[1], 0.9 * size[0], 0.9 * size[1])
    found = refine(photograph, Guidance(box=box))
    stroke = np.zeros_like(found)
    at = np.random.default_rng(seed).integers(40, min(size) - 40, 2)
    cv2.circle(drawing := stroke.astype(np.uint8), (int(at[0]), int(at[1])), 14, 1, thickness=-1)
    cases = {
        "a box": Guidance(box=box),
        "a point": Guidance(points=((size[0] / 2, size[1] / 2, True),)),
        "a mask and a stroke": Guidance(box=box, mask=found, foreground=drawing.astype(bool)),
    }
    return [
        Result(
            name=f"GrabCut of {size[0]} x {size[1]} from {name}",
            value=_seconds(photograph, guidance),
            unit="s",
            budget=BUDGET_S,
        )
        for name, guidance in cases.items()
    ]


def _seconds(photograph: np.ndarray, guidance: Guidance) -> float:
    """CPU seconds, so that what else the machine does counts little."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        refine(photograph, guidance)
        taken.append(time.process_time() - start)
    return median(taken)
