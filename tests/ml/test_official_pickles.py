"""Official pickles are read as tensors and nothing else: hostile and damaged files."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.ports.official_weights import official_tensors


def test_tensors_of_every_kind_survive_the_reading(tmp_path):
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = {
        "view": base[:, 1:3],
        "turned": base.T,
        "half": base.half(),
        "brain": base.bfloat16(),
        "flag": torch.tensor([True, False]),
        "whole": torch.tensor([1, 2]),
        "trained": torch.nn.Parameter(base.clone()),
        "empty": torch.zeros(0, 3),
        "one": torch.tensor(5.0),
    }
    torch.save(state, tmp_path / "kinds.ckpt")
    found = official_tensors(tmp_path / "kinds.ckpt")["kinds"]
    assert set(found) == set(state)
    for name, tensor in state.items():
        torch.testing.assert_close(found[name], tensor.detach())


class Call:
    """A pickle that calls a function when it is read."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_pickle_that_would_run_a_command_is_refused_by_name_and_runs_nothing(tmp_path):
    trace = tmp_path / "it_ran"
    torch.save(
        {"weight": torch.zeros(2), "config": Call(os.system, f"touch {trace}")}, tmp_path / "evil.ckpt"
    )
    with pytest.raises(CheckpointRefused, match=r"(posix|nt|os)\.system") as refused:
        official_tensors(tmp_path / "evil.ckpt")
    assert refused.value.code == "pickle_refused" and not trace.exists()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Call(eval, "1 + 1"), r"(__builtin__|builtins)\.eval"),
        (Call(getattr, "name", "upper"), r"(__builtin__|builtins)\.getattr"),
        (Path("/etc"), "pathlib"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (torch.float16, "torch.float16"),
    ],
)
def test_anything_but_tensors_is_refused_by_name(thing, name, tmp_path):
    torch.save({"weight": torch.zeros(2), "other": thing}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointRefused, match=name):
        official_tensors(tmp_path / "other.ckpt")


def test_damaged_files_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "good.ckpt")
    with zipfile.ZipFile(tmp_path / "good.ckpt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    short = {name: data[:400] if name.endswith("data/0") else data for name, data in parts.items()}
    for name, changed in (("short", short), ("no_pickle", {"readme": b"hello"})):
        with zipfile.ZipFile(tmp_path / f"{name}.ckpt", "w") as archive:
            for part, data in changed.items():
                archive.writestr(part, data)
        with pytest.raises(CheckpointRefused):
            official_tensors(tmp_path / f"{name}.ckpt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointRefused, match="zip format"):
        official_tensors(tmp_path / "old.ckpt")
