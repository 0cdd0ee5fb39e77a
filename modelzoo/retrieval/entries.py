"""Where library meshes come from: any folder of mesh files, and Sweet Home 3D's furniture catalogues."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from modelzoo.retrieval.meshes import SUFFIXES

CATALOGUE = "PluginFurnitureCatalog.properties"
INSTALLED_CATALOGUES = Path("/usr/share/sweethome3d/furniture")
HOW_TO_GET = (
    "get Debian's sweethome3d-furniture (120 MB, CC0 and CC-BY): `apt install sweethome3d-furniture`, "
    "or `apt-get download sweethome3d-furniture` and name the .deb"
)
CENTIMETRE = 0.01
MAX_UNPACKED = 4 * 1024**3
AR_MAGIC, AR_HEADER = b"!<arch>\n", 60


class NoMeshes(ValueError):
    """A place that should hold meshes holds none, or is none; says what would."""


@dataclass(frozen=True, kw_only=True)
class MeshEntry:
    """One mesh file to be taken into a library, and what is known of it."""

    path: Path
    name: str
    origin: str  # where its owner finds it again, whatever folder it was read from
    licence: str
    creator: str = ""
    up: str = "y"
    metric: bool = False  # the file's unit is the metre
    turn: NDArray[np.float64] | None = None
    size_m: tuple[float, float, float] | None = None  # true extents along the object's x, y and z

    def content(self) -> str:
        """sha256 over everything the mesh is made from: the file, its materials and pictures, and how they are read."""
        turn = None if self.turn is None else self.turn.tolist()
        found = hashlib.sha256(repr((self.path.suffix, self.up, turn, self.size_m)).encode())
        for file in (self.path, *_companions(self.path)):
            found.update(hashlib.sha256(file.read_bytes()).digest())
        return found.hexdigest()

    def told(self) -> str:
        """What is known of the mesh besides, as one text."""
        return repr((self.name, self.origin, self.licence, self.creator, self.metric))


def folder_entries(
    folder: Path, *, licence: str = "unknown", creator: str = "", up: str = "y", metric: bool = False
) -> list[MeshEntry]:
    """Every mesh file in a folder and the folders in it. Raises NoMeshes."""
    if not folder.is_dir():
        raise NoMeshes(f"{folder} is no folder")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise NoMeshes(f"{folder} holds no mesh file ({', '.join(sorted(SUFFIXES))})")
    return [
        MeshEntry(
            path=file,
            name=file.stem.replace("_", " "),
            origin=file.relative_to(folder).as_posix(),
            licence=licence,
            creator=creator,
            up=up,
            metric=metric,
        )
        for file in files
    ]


@contextmanager
def furniture_entries(place: Path = INSTALLED_CATALOGUES) -> Iterator[list[MeshEntry]]:
    """The models of a .sh3f catalogue, a folder of them, or the Debian package; unpacked while the context lasts.

    Sizes are the catalogue's own, in metres. Raises NoMeshes, which says how to get the catalogues.
    """
    with TemporaryDirectory(prefix="furniture-") as unpacked:
        catalogues = list(_catalogues(place, Path(unpacked)))
        if not catalogues:
            raise NoMeshes(f"there is no .sh3f catalogue in {place}; {HOW_TO_GET}")
        entries = []
        for number, catalogue in enumerate(catalogues):
            folder = Path(unpacked) / f"catalogue-{number}"
            _unpack(catalogue, folder)
            entries += _catalogue_entries(folder, name=catalogue.stem)
        yield entries


def _catalogues(place: Path, unpacked: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(place.glob("*.sh3f"))
    elif place.suffix == ".sh3f" and place.is_file():
        yield place
    elif place.suffix == ".deb" and place.is_file():
        yield from _from_deb(place, unpacked)
    else:
        raise NoMeshes(f"{place} is no folder of .sh3f files, no .sh3f and no .deb; {HOW_TO_GET}")


def _from_deb(deb: Path, unpacked: Path) -> Iterator[Path]:
    """The catalogues inside a Debian package: an ar archive around a tar archive."""
    for name, data in _ar_members(deb):
        if not name.startswith("data.tar"):
            continue
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    inner = archive.extractfile(member) if member.isfile() else None
                    if inner is None or not member.name.endswith(".sh3f"):
                        continue
                    target = unpacked / Path(member.name).name
                    target.write_bytes(inner.read())
                    yield target
        except (tarfile.TarError, EOFError, OSError) as error:
            raise NoMeshes(f"{deb.name} is damaged: {error}") from error


def _ar_members(deb: Path) -> Iterator[tuple[str, bytes]]:
    data = deb.read_bytes()
    if not data.startswith(AR_MAGIC):
        raise NoMeshes(f"{deb.name} is no Debian package")
    place = len(AR_MAGIC)
    while place + AR_HEADER <= len(data):
        header = data[place : place + AR_HEADER]
        size = header[48:58].decode("ascii", errors="replace").strip()
        if not size.isdigit() or place + AR_HEADER + int(size) > len(data):
            raise NoMeshes(f"{deb.name} is damaged or cut short")
        start = place + AR_HEADER
        yield (
            header[:16].decode("ascii", errors="replace").strip().rstrip("/"),
            data[start : start + int(size)],
        )
        place = start + int(size) + int(size) % 2


def _unpack(catalogue: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(catalogue) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
                raise NoMeshes(f"{catalogue.name} unpacks to more than {MAX_UNPACKED // 2**30} GiB")
            archive.extractall(folder)  # ZipFile keeps absolute names and ".." inside the folder
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise NoMeshes(f"{catalogue.name} is damaged: {error}") from error


def _catalogue_entries(folder: Path, *, name: str) -> list[MeshEntry]:
    table = folder / CATALOGUE
    if not table.is_file():
        raise NoMeshes(f"{name}.sh3f has no {CATALOGUE}")
    values = _properties(table.read_text(encoding="latin-1"))
    numbers = sorted(int(key.removeprefix("model#")) for key in values if re.fullmatch(r"model#\d+", key))
    return [_catalogue_entry(folder, values, number, catalogue=name) for number in numbers]


def _catalogue_entry(folder: Path, values: dict[str, str], number: int, *, catalogue: str) -> MeshEntry:
    def value(key: str) -> str:
        return values.get(f"{key}#{number}", "")

    try:
        width, depth, height = (float(value(key)) * CENTIMETRE for key in ("width", "depth", "height"))
        turn = np.array([float(word) for word in value("modelRotation").split()]).reshape(-1, 3, 3)
    except ValueError as error:
        raise NoMeshes(
            f"model {number} of {catalogue}.sh3f has a size or rotation that is no number"
        ) from error
    return MeshEntry(
        path=folder / value("model").lstrip("/"),
        name=value("name") or value("id"),
        origin=f"{catalogue}.sh3f{value('model')}",
        licence=value("license") or values.get("license", "unknown"),
        creator=value("creator"),
        metric=True,
        turn=turn[0] if len(turn) else None,
        size_m=(width, depth, height),
    )


def _properties(text: str) -> dict[str, str]:
    """A Java properties file: key=value, backslash at a line's end continues it, \\uXXXX stands for a character."""
    joined = re.sub(r"\\\r?\n[ \t]*", "", text)
    found = {}
    for line in joined.splitlines():
        if line.strip() and line.lstrip()[0] not in "#!" and "=" in line:
            key, value = line.split("=", 1)
            found[key.strip()] = re.sub(
                r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), value.strip()
            )
    return found


def _companions(path: Path) -> list[Path]:
    """Material files that an OBJ names, and pictures that those name, as far as they are there."""
    if path.suffix.lower() != ".obj":
        return []
    materials = [path.parent / name for name in _named(path, "mtllib")]
    found = [file for file in materials if file.is_file()]
    pictures = [file.parent / name for file in found for name in _named(file, "map_Kd")]
    return sorted({*found, *(file for file in pictures if file.is_file())})


def _named(file: Path, keyword: str) -> list[str]:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return [
        line.split(maxsplit=1)[1].strip()
        for line in lines
        if line.startswith(keyword + " ") and len(line.split()) > 1
    ]
