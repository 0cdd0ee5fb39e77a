"""``python -m modelzoo generate``: one photograph and one mask to meshes, Gaussians and poses on disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.contracts import SamplerSettings, SamplingFailed
from modelzoo.local_files import request_from_files, write_candidate
from modelzoo.memory import peak_memory
from modelzoo.pipeline import CandidatePipeline

MIB = 2**20
CANNOT = 2  # the exit status for a request, file or checkpoint that cannot be used


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is wrong is said in one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        _generate(options)
    except (CheckpointRefused, SamplingFailed, ValueError, OSError) as error:
        code = getattr(error, "code", None)
        sys.stderr.write(f"error: {error}" + (f" [{code}]\n" if code else "\n"))
        return CANNOT
    return 0


def _generate(options: argparse.Namespace) -> None:
    device = torch.device(options.device if options.device != "auto" else _best_device())
    settings = SamplerSettings()
    request = request_from_files(
        options.image,
        options.mask,
        points=options.points,
        seeds=range(options.seed, options.seed + options.count),
        settings=replace(settings, geometry_steps=options.steps or settings.geometry_steps),
    )
    pipeline = CandidatePipeline.load(
        options.checkpoint, device=device, precision=options.precision, memory=options.memory
    )
    with (
        peak_memory(device) as peak,
        tqdm(total=100, desc="candidates", unit="%", file=sys.stderr, disable=options.quiet) as bar,
    ):
        made = pipeline.generate(request, lambda share: bar.update(round(100 * share) - bar.n))
    for one in made:
        mesh, splat, pose = write_candidate(one, options.out)
        sys.stdout.write(f"{mesh} {splat} {pose}\n")
        if one.fallbacks and not options.quiet:
            sys.stderr.write(f"candidate {one.seed}: {', '.join(one.fallbacks)}\n")
    if not options.quiet:
        sys.stderr.write(f"peak memory on {device.type}: {peak.bytes / MIB:.0f} MiB\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelzoo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="candidates of the masked object in a photograph")
    generate.add_argument("--checkpoint", type=Path, required=True, help="folder of weights and manifest")
    generate.add_argument("--image", type=Path, required=True)
    generate.add_argument("--mask", type=Path, required=True, help="picture of the same size, object light")
    generate.add_argument("--points", type=Path, help="point map or depth: .npz .npy .pfm .png .ply .las ...")
    generate.add_argument("--out", type=Path, required=True, help="folder to write to")
    generate.add_argument("--count", type=_positive, default=8, help="candidates (default 8)")
    generate.add_argument("--seed", type=int, default=0, help="of the first; the others count up (default 0)")
    generate.add_argument("--steps", type=_positive, help="geometry steps, if not as the defaults say")
    generate.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default auto)")
    generate.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    generate.add_argument("--memory", choices=("resident", "offloaded", "on_demand"), default="resident")
    generate.add_argument("--quiet", action="store_true", help="only the paths of what was written")
    return parser


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
