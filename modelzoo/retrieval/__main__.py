"""Command line of mesh libraries: ``python -m modelzoo.retrieval COMMAND``; see ``--help`` of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from modelzoo.ports.image_features import FeaturesMissing, LiteEmbedder
from modelzoo.ports.retrieval import RetrievalSource
from modelzoo.retrieval.build import add_collection
from modelzoo.retrieval.entries import (
    INSTALLED_CATALOGUES,
    MeshEntry,
    NoMeshes,
    folder_entries,
    furniture_entries,
)
from modelzoo.retrieval.library import LibraryRefused, MeshLibrary

FURNITURE = "sweethome3d"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 when it could not be done or ``verify`` found a change."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        return int(options.run(options))
    except (NoMeshes, LibraryRefused, FeaturesMissing, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _folder(options: argparse.Namespace) -> int:
    entries = folder_entries(
        options.folder,
        licence=options.licence,
        creator=options.creator,
        up=options.up,
        metric=options.metric,
    )
    return _add(options, entries[: options.limit], collection=options.name or options.folder.resolve().name)


def _furniture(options: argparse.Namespace) -> int:
    with furniture_entries(options.place) as entries:
        return _add(options, entries[: options.limit], collection=FURNITURE)


def _add(options: argparse.Namespace, entries: Sequence[MeshEntry], *, collection: str) -> int:
    embedder = LiteEmbedder.load(device=options.device)
    with tqdm(total=len(entries), unit="mesh", desc=collection) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.update(done - bar.n)
            bar.set_postfix_str(name[:30])

        report = add_collection(
            options.library, entries, collection=collection, embedder=embedder, on_progress=show
        )
    for refusal in report.refused:
        sys.stdout.write(f"refused {refusal.origin}: {refusal.reason}\n")
    sys.stdout.write(
        f"{collection}: {report.added} added, {report.kept} there already, {len(report.refused)} refused, "
        f"{report.dropped} dropped\n"
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    library = MeshLibrary.load(options.library)
    for record in library.records:
        size = " x ".join(f"{side:.2f}" for side in record.size_m) + " m" if record.size_m else "size unknown"
        sys.stdout.write(f"{record.collection}\t{record.name}\t{size}\t{record.creator}\t{record.licence}\n")
    for refusal in library.refused:
        sys.stdout.write(f"{refusal.collection}\trefused {refusal.origin}: {refusal.reason}\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    wrong = MeshLibrary.load(options.library).verify()
    sys.stdout.write("\n".join(wrong or ["every byte is as it was"]) + "\n")
    return 1 if wrong else 0


def _search(options: argparse.Namespace) -> int:
    source = RetrievalSource.load(options.library, device=options.device)
    image = np.asarray(Image.open(options.photograph).convert("RGB"))
    mask = np.asarray(Image.open(options.mask).convert("L")) > 127
    for match in source.matches(image, mask, min(options.count, len(source.library))):
        record = source.library.records[match.index]
        sys.stdout.write(f"{match.score:.3f}\t{record.collection}\t{record.name}\t{record.licence}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelzoo.retrieval", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(run=run)
        sub.add_argument("library", type=Path, help="the library's folder")
        return sub

    sub = command("folder", _folder, "take the mesh files of a folder into a library; run again to go on")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--name", default="", help="of the collection; the folder's own when not given")
    sub.add_argument("--licence", default="unknown")
    sub.add_argument("--creator", default="")
    sub.add_argument("--up", choices=("y", "z"), default="y")
    sub.add_argument("--metric", action="store_true", help="the files' unit is the metre")
    sub.add_argument("--limit", type=int, default=None, help="take only the first meshes, drop the rest")
    sub = command("furniture", _furniture, "take Sweet Home 3D's metric furniture into a library")
    sub.add_argument(
        "place", type=Path, nargs="?", default=INSTALLED_CATALOGUES, help=".sh3f, folder or .deb"
    )
    sub.add_argument("--limit", type=int, default=None, help="take only the first meshes, drop the rest")
    command("list", _list, "name every mesh, its size and licence, and every refused one")
    command("verify", _verify, "read every file and say which changed")
    sub = command("search", _search, "name the meshes most like a masked photograph")
    sub.add_argument("photograph", type=Path)
    sub.add_argument("mask", type=Path)
    sub.add_argument("--count", type=int, default=8)
    return parser


if __name__ == "__main__":
    sys.exit(main())
