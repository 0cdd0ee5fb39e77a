"""The stages that start from nothing: autoencoder, structured latent and depth net, by the one loop."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modelzoo.checkpoint import load
from modelzoo.presets import preset_named
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.components import autoencoder, depth, pretraining, structured_latent
from training.components.depth import DepthSource
from training.configs import RunConfig, Stage, default_config
from training.data.latent_batches import LatentSource, draw_object
from training.trainer import Progress

NANO = preset_named("nano")


def _config(stage: Stage, *, steps: int = 2) -> RunConfig:
    return replace(default_config(stage, steps=steps), batch_size=2)


def test_the_autoencoder_learns_from_fresh_objects_and_the_same_seed_gives_the_same(tmp_path: Path) -> None:
    states = []
    for name in ("one", "two"):
        model, result = autoencoder.train_autoencoder(
            _config("autoencoder", steps=12), NANO.geometry.structure, tmp_path / name
        )
        assert result.reason == "finished"
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    log = [json.loads(line) for line in (tmp_path / "one" / "log.jsonl").read_text().splitlines()]
    assert sum(row["loss"] for row in log[-3:]) < sum(row["loss"] for row in log[:3])


def test_an_autoencoder_that_was_stopped_stores_nothing_until_it_is_done(tmp_path: Path) -> None:
    config = _config("autoencoder")
    assert pretraining.make_autoencoder(tmp_path, NANO, config, on_progress=_stop) is None
    assert not (tmp_path / pretraining.AUTOENCODER_FILE).exists()
    measured = pretraining.make_autoencoder(tmp_path, NANO, config)
    assert measured is not None and measured.keys() == {"iou", "iou_shifted"}
    stored, mean, _ = pretraining.load_autoencoder(tmp_path, NANO)
    assert mean.shape == (NANO.geometry.structure.channels, 1, 1, 1) and not stored.training


def test_the_structured_latent_goes_on_where_it_was_stopped_and_leaves_standardised_weights(
    tmp_path: Path,
) -> None:
    def run(on_progress: Progress | None) -> str:
        return structured_latent.train(
            work=tmp_path,
            preset=NANO.latent,
            config=_config("latent"),
            embed=None,
            objects=3,
            held_out=1,
            on_progress=on_progress,
        ).reason

    assert (run(_stop), run(None)) == ("stopped", "finished")
    model = StructuredLatentVAE(NANO.latent)
    model.load_state_dict(load_file(tmp_path / structured_latent.WEIGHTS_FILE))
    assert not torch.equal(model.latent_mean, torch.zeros_like(model.latent_mean))
    assert "cell_iou" in json.loads((tmp_path / "held_out.jsonl").read_text().splitlines()[-1])


def test_a_pass_over_the_pool_shows_each_object_once_and_the_next_in_another_order() -> None:
    pool = [draw_object(stream=1, index=i, preset=NANO.latent) for i in range(5)]
    source = LatentSource(pool, grid=NANO.latent.grid, batch_size=1, seed=0)
    passes = [[id(source.batch(step).items[0]) for step in range(5 * n, 5 * n + 5)] for n in (0, 1)]
    assert set(passes[0]) == set(passes[1]) == {id(one.item) for one in pool}
    assert passes[0] != passes[1]
    with pytest.raises(ValueError, match="5 objects gives no batch of 6"):
        LatentSource(pool, grid=NANO.latent.grid, batch_size=6, seed=0)


def test_a_step_s_depth_views_follow_from_the_step_and_come_from_the_newest() -> None:
    def source() -> DepthSource:
        return DepthSource(stream=2, size=16, batch_size=3, window=6, seed=0)

    early, late = source(), source()
    for step in (0, 1, 2):
        early.batch(step)
    assert torch.equal(early.batch(9).image, late.batch(9).image)
    assert min(early._drawn) >= 9 * depth.NEW_VIEWS


def test_the_depth_net_ends_as_a_checkpoint(tmp_path: Path) -> None:
    result = depth.train(
        work=tmp_path / "work", output=tmp_path / "depth", config=_config("depth"), window=3, held_out=2
    )
    manifest, components = load(tmp_path / "depth")
    assert (result.reason, manifest.lineage.steps, set(components)) == ("finished", 2, {"depth"})
    assert manifest.golden.keys() >= {"relative_error", "sky_accuracy"}


def _stop(step: int, total: int, metrics: dict[str, float]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
