"""Judgements to a frozen dataset on disk: demonstrations, preference pairs, the artists' share; merging over rounds.

Lines and blob keys are those of the engine's frozen versions, so that the same reader and the same runs take them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from modelzoo.contracts import Intrinsics
from modelzoo.frames import wxyz_from_rotation
from modelzoo.latents import CandidateLatents, latents_to_bytes
from training.data.manifests import ManifestRefused
from training.simulation.annotators import Judgements
from training.simulation.proposals import Proposals
from training.simulation.targets import SimulatedTarget

Share = Literal["people", "artist"]
ARTIST = "artist"
MANIFEST = "manifest.jsonl"

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What every line says of where it comes from: the checkpoint that made the candidates, and the round."""

    checkpoint: str
    round: int = 1


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Lines written, by kind; the artists' are among them."""

    demonstrations: int
    preferences: int
    artists: int


def write_dataset(
    folder: Path,
    targets: Sequence[SimulatedTarget],
    proposals: Proposals,
    judgements: Judgements,
    *,
    origin: Origin,
    shares: Sequence[Share] = ("people",),
    pairs_per_target: int = 2,
    seed: int = 0,
) -> Counts:
    """Write ``manifest.jsonl`` and content-addressed blobs.

    People's share: the winners that were accepted, and pairs of a winner with up to ``pairs_per_target`` others, drawn
    with ``seed``, that it was judged better than. Artists' share: where no candidate was accepted the true shape,
    and a pair of it with the winner. Raises ValueError when the three arguments are of different targets.
    """
    if not len(targets) == proposals.num_targets == len(judgements.rating):
        raise ValueError("targets, proposals and judgements must be of the same targets")
    blobs, lines = _Blobs(folder), list[Line]()
    rng = np.random.default_rng(seed)
    for row, target in enumerate(targets):
        drawn = _Drawn(target=target, row=row, proposals=proposals, judgements=judgements, blobs=blobs)
        rejected = rng.permutation(judgements.rejected(row))[:pairs_per_target]
        if "people" in shares:
            lines += drawn.people(rejected)
        if "artist" in shares and not judgements.accepted[row]:
            lines += drawn.artist()
    for line in lines:
        line.update({"checkpoint": origin.checkpoint, "round": origin.round, "alpha": judgements.alpha})
    _write(folder, lines)
    return _counts(lines)


def merge_datasets(folders: Sequence[Path], out: Path, *, alpha: float | None = None) -> Counts:
    """One dataset of several rounds' lines, newer rounds last; blobs are linked, not copied.

    ``alpha`` is today's bar: older demonstrations rated below it are left out, as when a version is frozen; artists'
    stay. Raises ManifestRefused for a folder without manifest and for two lines of one id.
    """
    lines = [line for folder in folders for line in _lines(folder)]
    twice = [name for name, count in Counter(line["id"] for line in lines).items() if count > 1]
    if twice:
        raise ManifestRefused(f"two rounds both have {twice[0]}")
    kept = [line for line in lines if alpha is None or line.get("rating") is None or line["rating"] >= alpha]
    for folder in folders:
        for blob in (folder / "blobs").rglob("*"):
            place = out / "blobs" / blob.relative_to(folder / "blobs")
            if blob.is_file() and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(blob.resolve(), place)
    _write(out, kept)
    return _counts(kept)


class _Blobs:
    """Content-addressed files under ``blobs``, as in the engine's store."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "blobs"

    def put(self, data: bytes, suffix: str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        key = f"{digest[:2]}/{digest}{suffix}"
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return key


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """One target with its candidates and its judgement, on the way to lines. Nothing is written that no line names."""

    target: SimulatedTarget
    row: int
    proposals: Proposals
    judgements: Judgements
    blobs: _Blobs

    def people(self, rejected: NDArray[np.int64]) -> list[Line]:
        accepted = bool(self.judgements.accepted[self.row])
        if not accepted and len(rejected) == 0:
            return []
        winner, photograph = int(self.judgements.picks.winner[self.row]), self._photograph()
        chosen = self._candidate(winner)
        said = {**photograph, "annotator": self.judgements.annotator}
        lines = [
            _pair(said, f"{self.target.name}-{other}", chosen, self._candidate(int(other)))
            for other in rejected
        ]
        if accepted:
            rating = float(self.judgements.rating[self.row])
            lines.append(self._demonstration(said, chosen, source="simulated", rating=rating))
        return lines

    def artist(self) -> list[Line]:
        """The rejected half is the best of those that all failed."""
        photograph = {**self._photograph(), "annotator": ARTIST}
        winner = int(self.judgements.picks.winner[self.row])
        truth = self._latents(self.target.truth)
        best = self._candidate(winner)
        return [
            self._demonstration(photograph, truth, source=ARTIST, rating=None),
            _pair(photograph, f"{self.target.name}-{ARTIST}", truth, best, evidence=ARTIST),
        ]

    def _demonstration(self, said: Line, latents: str, *, source: str, rating: float | None) -> Line:
        return {
            **said,
            "kind": "demonstration",
            "id": f"demonstration-{self.target.name}-{source}",
            "latents": latents,
            "mesh": None,
            "pose": self._pose(),
            "rating": rating,
            "source": source,
        }

    def _pose(self) -> Line:
        """The true pose as a person aligns it, a little off."""
        scene, error = self.target.scene, self.judgements.alignment[self.row]
        rotation = Rotation.from_rotvec(error[:3]).as_matrix() @ scene.rotation
        return {
            "rotation_wxyz": [float(v) for v in wxyz_from_rotation(rotation)],
            "translation": [float(v) for v in scene.translation + error[3:6] * scene.scale],
            "scale": float(scene.scale * np.exp(error[6])),
            "unit": "pointmap",
        }

    def _photograph(self) -> Line:
        target = self.target
        return {
            "target": target.name,
            "image": self.blobs.put(_png(target.image), ".png"),
            "mask": self.blobs.put(_png(target.mask.astype(np.uint8) * 255), ".png"),
            "pointmap": self.blobs.put(_npz(target.points, target.camera), ".npz"),
            "pointmap_approximate": False,
        }

    def _candidate(self, number: int) -> str:
        grid = self.proposals.grids(self.row)[number]
        return self._latents(grid, self.proposals.layouts[self.row, number])

    def _latents(self, grid: NDArray[np.bool_], layout: NDArray[np.float32] | None = None) -> str:
        """No latent of the flow: training encodes the solid, which is what was looked at."""
        latents = CandidateLatents(
            occupancy=grid,
            slat_coords=np.zeros((0, 3), np.uint8),
            slat_feats=np.zeros((0, 1), np.float16),
            layout=layout,
        )
        return self.blobs.put(latents_to_bytes(latents), ".safetensors")


def _pair(said: Line, name: str, chosen: str, rejected: str, *, evidence: str = "winner") -> Line:
    return {
        **said,
        "kind": "preference",
        "id": f"pair-{name}",
        "chosen_latents": chosen,
        "chosen_mesh": None,
        "rejected_latents": rejected,
        "rejected_mesh": None,
        "evidence": evidence,
    }


def _lines(folder: Path) -> list[Line]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ManifestRefused(f"{path} is missing")
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(folder: Path, lines: list[Line]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines)
    (folder / MANIFEST).write_text(text)


def _counts(lines: list[Line]) -> Counts:
    return Counts(
        demonstrations=sum(line["kind"] == "demonstration" for line in lines),
        preferences=sum(line["kind"] == "preference" for line in lines),
        artists=sum(line["annotator"] == ARTIST for line in lines),
    )


def _png(array: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _npz(points: NDArray[np.float32], camera: Intrinsics) -> bytes:
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]
    stream = io.BytesIO()
    np.savez(stream, points=points, intrinsics=np.array(numbers))
    return stream.getvalue()
