"""Shards of training examples on disk: fixed-size safetensors files, each named with its sha256 in one manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from modelzoo.conditioning import Normaliser
from modelzoo.retrieval.library import write_whole
from training.data.manifests import ManifestRefused
from training.data.samples import Example
from training.data.scenes import SceneKind

MANIFEST = "manifest.json"
HEADER = "examples"
VERSION = 1
PLAIN = ("crop_rgb", "full_rgb", "box", "layout")  # fields that are stored as they are
MASKS = ("crop_mask", "full_mask")
POINTS = ("crop_points", "full_points")  # halved in precision, as the ring of examples stores them


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """What the manifest says of one shard; ``refused`` counts the draws that its examples cost, by reason."""

    file: str
    sha256: str
    num_bytes: int
    num_examples: int
    families: Mapping[str, int]
    refused: Mapping[str, int]


def shard_bytes(examples: Sequence[Example], *, kind: SceneKind) -> bytes:
    """Safetensors of stacked examples; occupancies as single bits. The same bytes for the same examples.

    Raises ValueError when there is none.
    """
    if not examples:
        raise ValueError("a shard needs an example")
    columns: dict[str, NDArray[Any]] = {
        name: np.stack([getattr(example, name) for example in examples]) for name in PLAIN
    }
    columns |= {name: np.stack([getattr(one, name) for one in examples]).astype(np.uint8) for name in MASKS}
    columns |= {
        name: np.stack([getattr(one, name) for one in examples]).astype(np.float16) for name in POINTS
    }
    columns["normaliser"] = np.stack(
        [np.append(one.normaliser.shift, one.normaliser.scale).astype(np.float64) for one in examples]
    )
    columns["occupancy"] = np.stack([np.packbits(one.occupancy) for one in examples])
    header = {
        "kind": kind,
        "resolution": len(examples[0].occupancy),
        "families": [example.family for example in examples],
    }
    # One entry: safetensors writes several in an order that changes from run to run.
    return bytes(save(columns, metadata={HEADER: json.dumps(header)}))


def write_manifest(folder: Path, plan: Mapping[str, Any], records: Sequence[ShardRecord]) -> str:
    """Write the manifest of these shards and return its sha256; ``plan`` is what they were made from."""
    body = {
        "version": VERSION,
        "plan": dict(plan),
        "num_examples": sum(record.num_examples for record in records),
        "refused": summed([record.refused for record in records]),
        "families": summed([record.families for record in records]),
        "shards": [asdict(record) for record in records],
    }
    data = (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
    write_whole(folder / MANIFEST, data)
    return hashlib.sha256(data).hexdigest()


def summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up, in the order of their names."""
    names = sorted({name for one in counts for name in one})
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


class ShardSource:
    """Reads examples by number from a folder of shards; rows are read in place, a shard is hashed when first opened.

    Raises ManifestRefused for a missing or unreadable manifest, and for a shard that is missing, of another length or
    altered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sha256, body = _read_manifest(folder)
        self.plan: Mapping[str, Any] = body["plan"]
        self.records = tuple(_record(row) for row in body["shards"])
        for record in self.records:
            path = folder / record.file
            if not path.is_file():
                raise ManifestRefused(f"shard {record.file} is missing")
            if path.stat().st_size != record.num_bytes:
                raise ManifestRefused(f"shard {record.file} has another length than its manifest says")
        self._ends = np.cumsum([record.num_examples for record in self.records])
        self._opened: dict[int, Any] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def verify(self) -> None:
        """Read and hash every shard. Raises ManifestRefused for the first one that is not as written."""
        for record in self.records:
            _check(self.folder, record)

    def example(self, number: int) -> Example:
        """Example ``number``, as it was before it was stored, points in half precision. Raises IndexError beyond."""
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} examples, not {number + 1}")
        shard = int(np.searchsorted(self._ends, number, side="right"))
        row = number - (int(self._ends[shard - 1]) if shard else 0)
        opened = self._open(shard)
        header = json.loads(opened.metadata()[HEADER])
        side = int(header["resolution"])
        values = {name: opened.get_slice(name)[row] for name in (*PLAIN, *MASKS, *POINTS)}
        normaliser = opened.get_slice("normaliser")[row]
        bits = np.unpackbits(opened.get_slice("occupancy")[row], count=side**3).astype(np.bool_)
        return Example(
            kind=header["kind"],
            family=header["families"][row],
            normaliser=Normaliser(shift=normaliser[:3], scale=float(normaliser[3])),
            occupancy=bits.reshape(side, side, side),
            **{name: values[name] for name in PLAIN},
            **{name: values[name].astype(np.bool_) for name in MASKS},
            **{name: values[name].astype(np.float32) for name in POINTS},
        )

    def _open(self, shard: int) -> Any:
        if shard not in self._opened:
            record = self.records[shard]
            _check(self.folder, record)
            try:
                self._opened[shard] = safe_open(self.folder / record.file, framework="numpy")
            except (OSError, SafetensorError) as error:
                raise ManifestRefused(f"shard {record.file} cannot be read: {error}") from error
        return self._opened[shard]


def is_whole(folder: Path, record: ShardRecord) -> bool:
    """Whether the shard lies there as its record says."""
    try:
        _check(folder, record)
    except ManifestRefused:
        return False
    return True


def _check(folder: Path, record: ShardRecord) -> None:
    path = folder / record.file
    if not path.is_file():
        raise ManifestRefused(f"shard {record.file} is missing")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
            raise ManifestRefused(f"shard {record.file} was altered: its sha256 is not its manifest's")


def _read_manifest(folder: Path) -> tuple[str, Mapping[str, Any]]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ManifestRefused(f"{path.name} is missing")
    data = path.read_bytes()
    try:
        body = json.loads(data)
        if body["version"] != VERSION:
            raise ManifestRefused(f"manifest version {body['version']!r} is not {VERSION}")
        if not isinstance(body["plan"], dict) or not isinstance(body["shards"], list):
            raise ManifestRefused("the manifest's plan or shards are not what they should be")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ManifestRefused(f"the manifest cannot be read: {error}") from error
    return hashlib.sha256(data).hexdigest(), body


def _record(row: Any) -> ShardRecord:
    try:
        record = ShardRecord(**row)
        if "/" in record.file or record.num_examples < 1 or record.num_bytes < 1:
            raise ManifestRefused(f"the manifest's entry for {record.file!r} makes no sense")
    except TypeError as error:
        raise ManifestRefused(f"an entry of the manifest is not a shard's: {error}") from error
    return record
