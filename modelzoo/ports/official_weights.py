"""Official SAM 3D Objects checkpoints as one of ours, offline: ``python -m modelzoo.ports.official_weights convert``.

The pickles are opened in a process of their own by an unpickler that builds tensors and nothing else; their tensors get
our names by the table in weight_names.py, each checked for its shape. What is missing or left over is listed, and
nothing is written unless all of the preset is there (or ``--allow-partial`` is given). The files and what is made of
them stay under the SAM License.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modelzoo.checkpoint import CheckpointRefused, Lineage, Manifest, StateDict, assemble
from modelzoo.models.geometry import GeometryModel
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.ports.axes import RELEASED_LAYOUT_MEAN, RELEASED_LAYOUT_STD
from modelzoo.ports.weight_names import TRANSFORMS, UNUSED, Rule, rules_from_json, table
from modelzoo.presets import ModelPreset, preset_named
from modelzoo.registry import preset_config
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE

log = logging.getLogger(__name__)

UNPICKLE = Path(__file__).parent / "children" / "unpickle.py"
PARTIAL_NAME, REPORT_NAME = "partial.safetensors", "report.json"
SHOWN = 20  # names of each list that are logged; the report holds all

#: What the release standardises structured latents with (sam3d facts 3.1); its shape latents are not standardised.
LATENT_MEAN = (0.12211, 0.37204, -1.26522, -2.05276, -3.10432, -0.11294, -0.85147, 0.45507)
LATENT_STD = (2.37326, 2.13174, 2.24140, 2.30589, 2.11919, 1.89695, 2.41685, 2.08375)

Files = Mapping[str, StateDict]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of every tensor. ``unmapped`` are official, the others ours, as ``component.name``."""

    files: dict[str, str]  # sha256 by file name
    mapped: int
    missing: tuple[str, ...]  # no rule, or the file does not hold it
    wrong_shape: tuple[str, ...]
    unmapped: tuple[str, ...]  # official tensors that no rule took and that are not known to be of no use
    filled: tuple[str, ...]  # tensors that the official network does not have, set to a constant
    uncertain: tuple[str, ...]  # mapped by a rule that no public loader confirms

    @property
    def complete(self) -> bool:
        return not (self.missing or self.wrong_shape or self.unmapped)


def official_tensors(*checkpoints: Path) -> dict[str, StateDict]:
    """The tensors of official pickles by file name without suffix, read in a process of their own.

    Raises CheckpointRefused when any of them holds more than tensors, naming what it asked for.
    """
    with tempfile.TemporaryDirectory(prefix="candid8-unpickle-") as folder:
        outs = [Path(folder) / f"{file.stem}.safetensors" for file in checkpoints]
        pairs = [str(path) for both in zip(checkpoints, outs, strict=True) for path in both]
        done = subprocess.run([sys.executable, "-I", str(UNPICKLE), *pairs], capture_output=True, check=False)
        said = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        try:
            answer = json.loads(said)
        except json.JSONDecodeError:
            answer = {"refused": done.stderr.decode(errors="replace")[-500:] or f"exit {done.returncode}"}
        if done.returncode or "refused" in answer:
            raise CheckpointRefused("pickle_refused", str(answer.get("refused", said)))
        return {out.stem: load_file(out) for out in outs}


def convert(
    source: Path,
    out: Path,
    *,
    preset: ModelPreset,
    overrides: Sequence[Rule] = (),
    allow_partial: bool = False,
) -> Report:
    """Write a checkpoint folder of ours from the official ``*.ckpt`` in ``source``; see the module's charter.

    Raises CheckpointRefused when a pickle is refused, no file is there, or the conversion is not complete. With
    ``allow_partial`` an incomplete one is written as plain tensors and a report, which nothing loads by itself.
    """
    found = sorted(source.glob("*.ckpt"))
    if not found:
        raise CheckpointRefused("weights_missing", f"there is no .ckpt in {source}")
    hashes = {file.name: _sha256(file) for file in found}
    files = official_tensors(*found)
    components, report = converted(files, preset=preset, overrides=overrides, hashes=hashes)
    log_report(report)
    if not report.complete and not allow_partial:
        raise CheckpointRefused(
            "conversion_incomplete",
            f"{len(report.missing)} tensors are missing, {len(report.wrong_shape)} have another shape and "
            f"{len(report.unmapped)} official ones are not mapped; nothing was written",
        )
    out.mkdir(parents=True, exist_ok=True)
    if report.complete:
        write_checkpoint(components, out, preset=preset, report=report)
    else:
        flat = {f"{c}.{name}": tensor for c, state in components.items() for name, tensor in state.items()}
        save_file(flat, out / PARTIAL_NAME)
    (out / REPORT_NAME).write_text(json.dumps(asdict(report), indent=1))
    return report


def converted(
    files: Files,
    *,
    preset: ModelPreset,
    overrides: Sequence[Rule] = (),
    hashes: Mapping[str, str] | None = None,
) -> tuple[dict[str, StateDict], Report]:
    """Our state dicts by component from the official ones by file, as far as they go, and what became of each."""
    rules = [(re.compile(rule.ours), rule) for rule in (*overrides, *table())]
    wanted = expected(preset)
    components: dict[str, StateDict] = {name: {} for name in wanted}
    missing, wrong, filled, uncertain, used = [], [], [], [], set()
    constants = _constants(preset)
    for component, shapes in wanted.items():
        for name, shape in shapes.items():
            full = f"{component}.{name}"
            if full in constants:
                components[component][name] = constants[full]
                continue
            rule, given, keys = _looked_up(full, rules, files)
            constant = None if rule is None else rule.filled
            if rule is None or (not given and constant is None):
                missing.append(full)
                continue
            used.update(keys)
            if given:
                made = _transformed(rule, given, shape)
                if made is None or made.shape != shape:
                    wrong.append(f"{full}: {tuple(given[0].shape)} for {tuple(shape)}")
                    continue
            else:
                made = torch.full(shape, float(constant or 0.0))
                filled.append(full)
            if not rule.certain:
                uncertain.append(full)
            components[component][name] = made.contiguous()
    left = [
        f"{file}: {key}"
        for file, state in files.items()
        for key in state
        if (file, key) not in used and not any(re.fullmatch(one, key) for one in UNUSED.get(file, ()))
    ]
    report = Report(
        files=dict(hashes or {}),
        mapped=sum(len(state) for state in components.values()) - len(filled) - len(constants),
        missing=tuple(missing),
        wrong_shape=tuple(wrong),
        unmapped=tuple(left),
        filled=tuple(filled),
        uncertain=tuple(uncertain),
    )
    return components, report


def expected(preset: ModelPreset) -> dict[str, dict[str, torch.Size]]:
    """Names and shapes of all tensors that the preset's models hold, by component; no weight is allocated."""
    with torch.device("meta"):
        modules: dict[str, nn.Module] = {
            "geometry": GeometryModel(preset.geometry),
            "ss_vae": SparseStructureVAE(preset.geometry.structure),
            "slat_vae": StructuredLatentVAE(preset.latent),
            "texture": TextureFlow(preset.texture, preset.latent),
        }
    return {
        component: {name: tensor.shape for name, tensor in module.state_dict().items()}
        for component, module in modules.items()
    }


def write_checkpoint(
    components: dict[str, StateDict], out: Path, *, preset: ModelPreset, report: Report
) -> Manifest:
    """A checkpoint folder whose lineage names the official files by hash."""
    digest = hashlib.sha256(json.dumps(report.files, sort_keys=True).encode()).hexdigest()
    return assemble(
        components,
        folder=out,
        preset=preset.name,
        config=preset_config(preset),
        lineage=Lineage(
            objective="converted_official_weights",
            dataset_hash=digest,
            command="python -m modelzoo.ports.official_weights convert --source DIR --out DIR",
            seed=0,
            steps=0,
        ),
    )


def log_report(report: Report) -> None:
    """The counts, and the first names of each list that is not empty."""
    log.info("%d tensors mapped from %d files", report.mapped, len(report.files))
    for title in ("missing", "wrong_shape", "unmapped", "filled", "uncertain"):
        names = getattr(report, title)
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            log.info("%s (%d): %s%s", title, len(names), ", ".join(names[:SHOWN]), more)


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 when nothing was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        convert(
            options.source,
            options.out,
            preset=preset_named("released"),
            overrides=() if options.names is None else rules_from_json(options.names),
            allow_partial=options.allow_partial,
        )
    except (CheckpointRefused, ValueError) as error:
        log.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelzoo.ports.official_weights", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser(
        "convert", help="official .ckpt files to a checkpoint"
    )
    command.add_argument("--source", type=Path, required=True, help="the folder of the official .ckpt files")
    command.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    command.add_argument("--names", type=Path, help="JSON rules that are tried before the table of names")
    command.add_argument("--allow-partial", action="store_true", help="write what is there, as plain tensors")
    return parser


def _looked_up(
    full: str, rules: Sequence[tuple[re.Pattern[str], Rule]], files: Files
) -> tuple[Rule | None, list[Tensor], list[tuple[str, str]]]:
    """The first rule for this tensor of ours whose official tensors are there, or else the first rule for it."""
    first: Rule | None = None
    for pattern, rule in rules:
        match = pattern.fullmatch(full)
        if match is None:
            continue
        state = files.get(rule.file, {})
        names = [match.expand(one) for one in rule.theirs]
        there = [name for name in names if name in state]
        chosen = (
            there if rule.together and len(there) == len(names) else there[:1] if not rule.together else []
        )
        if chosen:
            return rule, [state[name] for name in chosen], [(rule.file, name) for name in chosen]
        first = first or rule
    return first, [], []


def _transformed(rule: Rule, given: Sequence[Tensor], shape: torch.Size) -> Tensor | None:
    """None when the numbers do not fit."""
    try:
        return TRANSFORMS[rule.transform](given, shape)
    except (RuntimeError, IndexError):
        return None


def _constants(preset: ModelPreset) -> dict[str, Tensor]:
    """Buffers that the release keeps in its code or configuration instead of its weights."""
    channels = preset.geometry.structure.channels
    mean, std = torch.tensor(LATENT_MEAN), torch.tensor(LATENT_STD)
    return {
        "geometry.shape_mean": torch.zeros(channels, 1, 1, 1),
        "geometry.shape_std": torch.ones(channels, 1, 1, 1),
        "geometry.layout_mean": torch.tensor(RELEASED_LAYOUT_MEAN),
        "geometry.layout_std": torch.tensor(RELEASED_LAYOUT_STD),
        "slat_vae.latent_mean": mean,
        "slat_vae.latent_std": std,
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
