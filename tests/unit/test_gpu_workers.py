"""How many processes of a stack draw candidates."""

from __future__ import annotations

from itertools import pairwise

import pytest

from workers.stack.__main__ import _parser
from workers.stack.processes import GPU_WORKER, more_gpu_workers


def test_further_workers_of_the_gpu_queue_differ_from_the_first_by_name_alone() -> None:
    assert more_gpu_workers(1) == ()
    second, third = more_gpu_workers(3)
    place = {"python": "python", "host": "h", "port": 1, "home": "/home"}
    options = dict(pairwise(second.command(**place)))
    assert (options["-Q"], options["-n"]) == ("gpu", "worker-gpu-2@%h")
    assert third.name == "worker-gpu-3"
    assert second.environment == GPU_WORKER.environment
    with pytest.raises(ValueError, match="at least one"):
        more_gpu_workers(0)


@pytest.mark.parametrize("given", ["0", "-1", "two"])
def test_a_number_of_workers_that_is_none_is_refused_by_the_command(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["up", f"--gpu-workers={given}"])
    monkeypatch.setenv("GPU_WORKERS", given)
    with pytest.raises(SystemExit):
        _parser().parse_args(["up"])
    assert capsys.readouterr().err.count("is no number from 1 on") == 2
