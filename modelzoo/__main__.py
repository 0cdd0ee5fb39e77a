"""``python -m modelzoo``: a photograph and masks to meshes, Gaussians and poses on disk.

``generate`` draws candidates of one object; ``scene`` draws one object per mask and writes them as one scene.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.contracts import CandidateRequest, GeneratedCandidate, SamplerSettings, SamplingFailed
from modelzoo.local_files import request_from_files, write_candidate, write_scene
from modelzoo.memory import peak_memory
from modelzoo.pipeline import CandidatePipeline
from modelzoo.ports.catalogue import SOURCES, sources_from_file
from modelzoo.ports.child_process import SourceError
from modelzoo.scenes import SceneObject

MIB = 2**20
CANNOT = 2  # the exit status for a request, file or checkpoint that cannot be used


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is wrong is said in one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (CheckpointRefused, SamplingFailed, SourceError, ValueError, OSError) as error:
        code = getattr(error, "code", None)
        sys.stderr.write(f"error: {error}" + (f" [{code}]\n" if code else "\n"))
        return CANNOT
    return 0


def _generate(options: argparse.Namespace) -> None:
    request = _request(options, options.mask, count=options.count)
    for one in _asked(options, request) if options.source else _drawn(options, [request])[0]:
        mesh, splat, pose = write_candidate(one, options.out)
        sys.stdout.write(f"{mesh} {splat} {pose}\n")
        if one.fallbacks and not options.quiet:
            sys.stderr.write(f"candidate {one.seed}: {', '.join(one.fallbacks)}\n")


def _asked(options: argparse.Namespace, request: CandidateRequest) -> Sequence[GeneratedCandidate]:
    """The candidates of a foreign source, which is started for them and ended after them."""
    if options.sources is None:
        raise ValueError("--source is looked up in --sources FILE")
    installed = sources_from_file(options.sources)
    if options.source not in installed:
        raise ValueError(f"{options.sources} has no table [{options.source}]")
    with closing(installed[options.source]) as source:
        return source.generate(request)


def _scene(options: argparse.Namespace) -> None:
    requests = [_request(options, mask, count=1) for mask in options.mask]
    made = [candidates[0] for candidates in _drawn(options, requests)]
    objects = [
        SceneObject(name=mask.stem, pose=one.pose, mesh_glb=one.mesh_glb, splat_ply=one.splat_ply)
        for mask, one in zip(options.mask, made, strict=True)
    ]
    for path in write_scene(objects, options.out):
        sys.stdout.write(f"{path}\n")


def _request(options: argparse.Namespace, mask: Path, *, count: int) -> CandidateRequest:
    settings = SamplerSettings()
    return request_from_files(
        options.image,
        mask,
        points=options.points,
        form=dict(zip(("fx", "fy", "cx", "cy"), options.camera or (), strict=False)),
        seeds=range(options.seed, options.seed + count),
        settings=replace(settings, geometry_steps=options.steps or settings.geometry_steps),
    )


def _drawn(
    options: argparse.Namespace, requests: Sequence[CandidateRequest]
) -> list[tuple[GeneratedCandidate, ...]]:
    """The candidates of each request, with a bar over all of them and the peak memory at the end."""
    device = torch.device(options.device if options.device != "auto" else _best_device())
    pipeline = CandidatePipeline.load(
        options.checkpoint, device=device, precision=options.precision, memory=options.memory
    )
    made: list[tuple[GeneratedCandidate, ...]] = []
    with (
        peak_memory(device) as peak,
        tqdm(total=100, desc="candidates", unit="%", file=sys.stderr, disable=options.quiet) as bar,
    ):

        def show(share: float) -> None:
            bar.update(round(100 * (len(made) + share) / len(requests)) - bar.n)

        for request in requests:
            made.append(pipeline.generate(request, show))
    if not options.quiet:
        sys.stderr.write(f"peak memory on {device.type}: {peak.bytes / MIB:.0f} MiB\n")
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelzoo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="candidates of the masked object in a photograph")
    generate.set_defaults(run=_generate)
    generate.add_argument("--mask", type=Path, required=True, help="picture of the same size, object light")
    maker = generate.add_mutually_exclusive_group(required=True)
    maker.add_argument("--checkpoint", type=Path, help="folder of weights and manifest")
    maker.add_argument("--source", choices=sorted(SOURCES), help="a foreign model instead of a checkpoint")
    generate.add_argument(
        "--sources", type=Path, help="TOML file that says where foreign models are installed"
    )
    generate.add_argument("--count", type=_positive, default=8, help="candidates (default 8)")
    scene = commands.add_parser("scene", help="one object per mask, all in one GLB and one splat file")
    scene.set_defaults(run=_scene)
    scene.add_argument("--checkpoint", type=Path, required=True, help="folder of weights and manifest")
    scene.add_argument("--mask", type=Path, required=True, action="append", help="once for each object")
    for command in (generate, scene):
        _add_common(command)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--image", type=Path, required=True)
    command.add_argument("--points", type=Path, help="point map or depth: .npz .npy .pfm .png .ply .las ...")
    command.add_argument(
        "--camera",
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="of a depth map that names none, in pixels",
    )
    command.add_argument("--out", type=Path, required=True, help="folder to write to")
    command.add_argument("--seed", type=int, default=0, help="of the first; the others count up (default 0)")
    command.add_argument("--steps", type=_positive, help="geometry steps, if not as the defaults say")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default auto)")
    command.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    command.add_argument("--memory", choices=("resident", "offloaded", "on_demand"), default="resident")
    command.add_argument("--quiet", action="store_true", help="only the paths of what was written")


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
