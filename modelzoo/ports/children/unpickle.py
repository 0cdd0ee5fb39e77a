"""Torch checkpoints' tensors as safetensors files, by an unpickler that builds tensors and nothing else.

Run as a file in a process of its own, ``python -I unpickle.py CHECKPOINT OUT [CHECKPOINT OUT ...]``. A pickle is a
program; this one may name the storage types, two ways to build a tensor and OrderedDict, and the first other name ends
it. It answers with one line of JSON: what was written, or what was refused. It does without torch.
"""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Storage class, safetensors' name of its numbers, and a numpy type of their size.
KINDS = {
    "DoubleStorage": ("F64", np.float64),
    "FloatStorage": ("F32", np.float32),
    "HalfStorage": ("F16", np.float16),
    "BFloat16Storage": ("BF16", np.uint16),
    "LongStorage": ("I64", np.int64),
    "IntStorage": ("I32", np.int32),
    "ShortStorage": ("I16", np.int16),
    "CharStorage": ("I8", np.int8),
    "ByteStorage": ("U8", np.uint8),
    "BoolStorage": ("BOOL", np.bool_),
}


class Refused(Exception):
    """A checkpoint that wants more than tensors, or is damaged."""


@dataclass(frozen=True)
class StorageKind:
    """Stands for torch's storage class of this name, by which a pickle says a tensor's type."""

    name: str


@dataclass(frozen=True)
class Storage:
    """The bytes of one storage and what they are."""

    kind: StorageKind
    data: bytes


@dataclass(frozen=True)
class Numbers:
    """One tensor."""

    dtype: str
    values: np.ndarray[Any, Any]


def tensors_of(checkpoint: Path) -> dict[str, Numbers]:
    """All tensors by name; those of a ``state_dict`` entry when there is one. Raises Refused."""
    try:
        archive = zipfile.ZipFile(checkpoint)
    except (zipfile.BadZipFile, OSError) as error:
        raise Refused(f"it is not a checkpoint in torch's zip format: {error}") from error
    with archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise Refused(f"it holds {len(pickles)} pickles, not one")
        prefix = pickles[0][: -len("data.pkl")]
        if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
            raise Refused("its numbers are stored in the other byte order")
        with archive.open(pickles[0]) as file:
            try:
                document = TensorUnpickler(file, archive=archive, prefix=prefix).load()
            except Refused:
                raise
            except Exception as error:  # a damaged pickle may raise anything
                raise Refused(f"its pickle is damaged ({type(error).__name__}: {error})") from error
    if not isinstance(document, dict):
        raise Refused("its pickle holds no dictionary")
    state = document.get("state_dict", document)
    if not isinstance(state, dict):
        raise Refused("its state_dict is no dictionary")
    found = {name: value for name, value in state.items() if isinstance(value, Numbers)}
    if not found or not all(isinstance(name, str) for name in found):
        raise Refused("it names no tensors")
    return found


class TensorUnpickler(pickle.Unpickler):
    """Knows the names of KINDS, two rebuild functions and OrderedDict; every other is refused."""

    def __init__(self, file: Any, *, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(file)
        self.archive, self.prefix = archive, prefix
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in KINDS:
            return StorageKind(name)
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) not in allowed:
            raise Refused(f"it asks for {module}.{name}, which is more than tensors need")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that ``pid`` = ("storage", kind, key, device, count) names."""
        if not isinstance(pid, tuple) or len(pid) != 5 or not isinstance(pid[1], StorageKind):
            raise Refused("it refers to something that is no storage")
        kind, key, count = pid[1], str(pid[2]), int(pid[4])
        if not key.isdigit():
            raise Refused(f"it names a storage {key!r}")
        if key not in self.storages:
            self.storages[key] = Storage(kind, self.archive.read(f"{self.prefix}data/{key}"))
        storage = self.storages[key]
        if storage.kind != kind or len(storage.data) != count * np.dtype(KINDS[kind.name][1]).itemsize:
            raise Refused(f"storage {key} has {len(storage.data)} bytes for {count} numbers")
        return storage


def _tensor(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Numbers:
    """A view of the storage; numpy refuses one that reaches outside of it."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor is built from something that is no storage")
    dtype, kind = KINDS[storage.kind.name]
    item = np.dtype(kind).itemsize
    if 0 in size:
        return Numbers(dtype, np.zeros(size, kind))
    view: np.ndarray[Any, Any] = np.ndarray(
        size, kind, buffer=storage.data, offset=offset * item, strides=tuple(step * item for step in stride)
    )
    return Numbers(dtype, view)


def _parameter(data: Numbers, *_: object) -> Numbers:
    return data


def write_safetensors(tensors: dict[str, Numbers], out: Path) -> None:
    """The format's header, a length and JSON, and then the numbers of one tensor after another."""
    header: dict[str, Any] = {}
    end = 0
    for name, one in tensors.items():
        start, end = end, end + one.values.size * one.values.itemsize
        header[name] = {"dtype": one.dtype, "shape": list(one.values.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with out.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for one in tensors.values():
            file.write(np.ascontiguousarray(one.values).tobytes())


def main(arguments: list[str]) -> int:
    """Reads each checkpoint into the file named after it; the first that is refused ends it all."""
    answer: dict[str, Any] = {"tensors": {}}
    for checkpoint, out in zip(arguments[::2], arguments[1::2], strict=True):
        try:
            tensors = tensors_of(Path(checkpoint))
        except Refused as error:
            answer = {"refused": f"{Path(checkpoint).name}: {error}"}
            break
        write_safetensors(tensors, Path(out))
        answer["tensors"][checkpoint] = len(tensors)
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "refused" in answer else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
