"""A learned reward on disk: ``reward.safetensors`` and ``reward.json``, verified, bound to its encoder's checkpoint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from training.reward.model import RewardModel, RewardPreset

FORMAT = "candid8-reward/1"
WEIGHTS_NAME, MANIFEST_NAME = "reward.safetensors", "reward.json"


class RewardRefused(ValueError):
    """A reward that will not be used. ``code`` is stable, for machines; the message says what is wrong with which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class RewardManifest:
    """``encoder`` is the sha256 of the checkpoint whose condition encoder the reward was trained on."""

    encoder: str
    encoder_preset: str
    weights_sha256: str
    preset: dict[str, Any]
    trained: dict[str, Any]  # seed, steps, pairs, command: what makes it again
    format: str = FORMAT


def save_reward(
    folder: Path, model: RewardModel, *, encoder: str, encoder_preset: str, trained: dict[str, Any]
) -> RewardManifest:
    """Write both files, weights in float32, and return the manifest."""
    weights = save_tensors({name: value.contiguous() for name, value in model.state_dict().items()})
    manifest = RewardManifest(
        encoder=encoder,
        encoder_preset=encoder_preset,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        preset=json.loads(json.dumps(asdict(model.preset))),
        trained=trained,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_NAME).write_bytes(weights)
    (folder / MANIFEST_NAME).write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    return manifest


def load_reward(folder: Path, *, encoder: str) -> tuple[RewardManifest, RewardModel]:
    """The reward for the encoder of checkpoint ``encoder`` (sha256), in evaluation mode. Raises RewardRefused."""
    manifest = _read_manifest(folder)
    if manifest.encoder != encoder:
        raise RewardRefused(
            "encoder_mismatch",
            f"the reward reads the encoder of checkpoint {manifest.encoder}, not of {encoder}",
        )
    try:
        weights = (folder / WEIGHTS_NAME).read_bytes()
    except OSError as error:
        raise RewardRefused("weights_missing", f"{WEIGHTS_NAME} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(weights).hexdigest()
    if found != manifest.weights_sha256:
        raise RewardRefused(
            "weights_hash_mismatch",
            f"weights have sha256 {found}, the manifest says {manifest.weights_sha256}",
        )
    try:
        preset = RewardPreset(**{**manifest.preset, "measurements": tuple(manifest.preset["measurements"])})
        model = RewardModel(preset)
        model.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
        raise RewardRefused("weights_do_not_fit", f"the reward does not fit this version: {error}") from error
    return manifest, model.eval().requires_grad_(False)


def _read_manifest(folder: Path) -> RewardManifest:
    try:
        document = json.loads((folder / MANIFEST_NAME).read_bytes())
    except OSError as error:
        raise RewardRefused(
            "manifest_missing", f"{MANIFEST_NAME} cannot be read: {error.strerror}"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RewardRefused("manifest_invalid", f"the manifest is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RewardRefused("format_unknown", f"the manifest is not of format {FORMAT}")
    try:
        return RewardManifest(**document)
    except TypeError as error:
        raise RewardRefused("manifest_invalid", f"the manifest's fields are wrong: {error}") from error
