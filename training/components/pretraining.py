"""Pre-training from nothing: the autoencoder, a process that makes examples, and the flow that learns from them."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelzoo.checkpoint import MANIFEST_NAME, WEIGHTS_NAME, Lineage, Manifest, assemble, load
from modelzoo.models.geometry import GeometryModel
from modelzoo.presets import ModelPreset
from modelzoo.registry import build, preset_config
from modelzoo.serving import golden_outputs
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.components.autoencoder import autoencoder_iou, latent_statistics, train_autoencoder
from training.configs import RunConfig
from training.data.ring import ExampleRing, RingSource, fill_ring
from training.data.samples import Mixture
from training.data.streams import MixedStream, SceneStream, ShardStream, Stream
from training.loop.clock import progress_until
from training.objectives.flow_matching import FlowMatchingObjective, TimeSampler
from training.trainer import LoopResult, Progress, TrainingLoop

logger = logging.getLogger(__name__)

AUTOENCODER_FILE, AUTOENCODER_STATE = "ss_vae.safetensors", "ss_vae_state"
RING_CAPACITY = 12_288
RING_LEAST = 1_024


def make_autoencoder(
    workdir: Path, preset: ModelPreset, config: RunConfig, *, on_progress: Progress | None = None
) -> dict[str, float] | None:
    """Train the occupancy autoencoder and store it with the latents' mean and deviation; returns held-out IoU.

    Goes on where it was stopped by a signal; then there is nothing to return or to store yet.
    """
    folder = workdir / AUTOENCODER_STATE
    model, result = train_autoencoder(config, preset.geometry.structure, folder, on_progress=on_progress)
    if result.reason == "stopped":
        return None
    mean, std = latent_statistics(model, seed=config.seed)
    save_file({**model.state_dict(), "latent_mean": mean, "latent_std": std}, workdir / AUTOENCODER_FILE)
    return {
        "iou": float(autoencoder_iou(model).mean()),
        "iou_shifted": float(autoencoder_iou(model, shifted_share=1.0).mean()),
    }


def load_autoencoder(workdir: Path, preset: ModelPreset) -> tuple[SparseStructureVAE, Tensor, Tensor]:
    """The stored autoencoder and its latents' per-channel mean and standard deviation."""
    state = load_file(workdir / AUTOENCODER_FILE)
    mean, std = state.pop("latent_mean"), state.pop("latent_std")
    model = SparseStructureVAE(preset.geometry.structure).eval().requires_grad_(False)
    model.load_state_dict(state)
    return model, mean, std


def generate_forever(
    workdir: Path,
    preset: ModelPreset,
    *,
    stream: int,
    mixture: Mixture,
    shards: Sequence[Path] = (),
    shard_share: float = 0.5,
) -> None:
    """Feed the ring until killed; goes on where an earlier process stopped. Waits for the stage's autoencoder.

    With folders of ``shards`` that share of the examples is read from them (training/data/synthesis.py).
    """
    size, resolution = preset.geometry.image_size, preset.geometry.resolution
    examples: Stream = SceneStream(stream=stream, mixture=mixture, size=size, resolution=resolution)
    if shards:
        read = ShardStream(shards, size=size, resolution=resolution, seed=stream)
        examples = MixedStream(first=examples, second=read, second_share=shard_share, seed=stream)
    while not (workdir / AUTOENCODER_FILE).exists():
        time.sleep(0.5)
    vae, _, _ = load_autoencoder(workdir, preset)
    ring = ExampleRing(workdir / "ring", preset=preset.geometry, capacity=RING_CAPACITY)
    for written in fill_ring(ring, vae, examples):
        if written % 4096 == 0:
            logger.info("examples written", extra={"written": written})


def pretrain(
    workdir: Path,
    preset: ModelPreset,
    config: RunConfig,
    *,
    until: float | None = None,
    start: Path | None = None,
    image_encoder: Path | None = None,
    on_progress: Progress | None = None,
) -> LoopResult:
    """Train the flow from the ring for ``config.steps`` steps, or until the clock (epoch seconds) says ``until``.

    ``start`` is the working folder of an earlier stage whose average and autoencoder this one begins with (mid-training
    after pre-training); without it the weights are drawn anew.

    With a clock the learning rate decays towards the end time, so the average is fit to ship at any moment and best
    at the last. The start time is kept beside the state, so that a resumed run has the same schedule.
    """
    if start is not None:
        _take_autoencoder(start, workdir)
    _, mean, std = load_autoencoder(workdir, preset)
    if start is None:
        torch.manual_seed(config.seed)
        model = GeometryModel(preset.geometry)
        _start_image_encoder(model, image_encoder, preset)
    else:
        model = load_average(start, preset)[0].requires_grad_(True)
    ring = ExampleRing(workdir / "ring", preset=preset.geometry, capacity=RING_CAPACITY)
    source = RingSource(ring, batch_size=config.micro_batch_size, least=RING_LEAST, seed=config.seed)
    if start is None:
        ring.reach(RING_LEAST)
        layouts = torch.from_numpy(np.array(ring.fields["layout"][:RING_LEAST]))
        model.shape_mean.copy_(mean)
        model.shape_std.copy_(std)
        model.layout_mean.copy_(layouts.mean(0))
        model.layout_std.copy_(layouts.std(0).clamp(min=0.05))
    loop = TrainingLoop(
        config=config,
        model=model,
        objective=FlowMatchingObjective(
            times=TimeSampler(mean=config.time_mean, std=config.time_std),
            weights=config.weights,
            draws=config.draws,
            condition_dropout=config.condition_dropout,
            points_dropout=config.points_dropout,
        ),
        source=source,
        folder=workdir / "flow",
        on_progress=on_progress,
        clock_progress=None if until is None else progress_until(workdir / "flow" / "started", until),
    )
    return loop.run()


def _take_autoencoder(start: Path, workdir: Path) -> None:
    """The same latents in both stages: a stage that goes on copies the file, once and whole."""
    if not (workdir / AUTOENCODER_FILE).exists():
        workdir.mkdir(parents=True, exist_ok=True)
        draft = workdir / f"{AUTOENCODER_FILE}.new"
        shutil.copyfile(start / AUTOENCODER_FILE, draft)
        draft.replace(workdir / AUTOENCODER_FILE)


def _start_image_encoder(model: GeometryModel, file: Path | None, preset: ModelPreset) -> None:
    if file is not None:
        model.encoder.load_image_encoder(file)
    elif model.encoder.needs_image_encoder:
        raise ValueError(
            f"preset {preset.name} starts from DINOv2: name its weights with --image-encoder FILE"
        )


def load_average(workdir: Path, preset: ModelPreset) -> tuple[GeometryModel, int]:
    """The moving average of a running or finished pre-training, and the step it is of."""
    for _ in range(5):
        try:
            return _read_average(workdir / "flow", preset)
        except FileNotFoundError:  # the run swapped its state between our two reads
            time.sleep(0.5)
    return _read_average(workdir / "flow", preset)


def export(
    workdir: Path,
    preset: ModelPreset,
    checkpoint: Path,
    *,
    config: RunConfig,
    command: str,
    slat_vae_file: Path | None = None,
    texture_file: Path | None = None,
) -> Manifest:
    """Write the moving average and the autoencoder into a checkpoint folder, keeping its other components.

    A folder that holds no checkpoint yet gets untrained texture weights, and its manifest's golden outputs say what
    these weights give. The old files are replaced only when the new ones are complete.
    """
    model, step = load_average(workdir, preset)
    vae, _, _ = load_autoencoder(workdir, preset)
    known = (checkpoint / "manifest.json").exists()
    components = load(checkpoint)[1] if known else build(preset.name, seed=config.seed).components()
    components |= {"geometry": model.state_dict(), "ss_vae": vae.state_dict()}
    for name, file in (("slat_vae", slat_vae_file), ("texture", texture_file)):
        if file is not None:
            components[name] = load_file(file)
    draft = checkpoint.with_name(checkpoint.name + ".new")
    manifest = assemble(
        components,
        folder=draft,
        preset=preset.name,
        config=preset_config(preset),
        lineage=Lineage(
            objective=config.stage,
            dataset_hash="procedural",
            command=command,
            seed=config.seed,
            steps=step,
        ),
        golden=golden_outputs(components, preset.name),
    )
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_NAME, MANIFEST_NAME):
        (draft / name).replace(checkpoint / name)
    draft.rmdir()
    return manifest


def _read_average(folder: Path, preset: ModelPreset) -> tuple[GeometryModel, int]:
    head = json.loads((folder / "state.json").read_text())
    state = load_file(folder / head["file"])
    model = GeometryModel(preset.geometry).eval().requires_grad_(False)
    model.load_state_dict({name[8:]: value for name, value in state.items() if name.startswith("average.")})
    return model, int(head["step"])
