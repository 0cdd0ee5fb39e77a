"""Foreign generators that are missing, crash, hang or answer nonsense, and an operator's file with mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelzoo.contracts import CandidateRequest
from modelzoo.ports import (
    direct3d_s2,
    external,
    foundation_pose,
    hi3dgen,
    hunyuan3d,
    midi,
    sam3d_objects,
    trellis,
    triposg,
)
from modelzoo.ports.catalogue import sources_from_file
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.external import ExternalSource, ForeignEnvironment
from tests.ml.foreign_request import PYTHON, box_corners, environment, photographed


@pytest.fixture
def request_() -> CandidateRequest:
    return photographed()


@pytest.mark.parametrize(
    "port",
    [
        trellis.PORT,
        hi3dgen.PORT,
        hunyuan3d.PORT,
        triposg.PORT,
        direct3d_s2.PORT,
        midi.PORT,
        sam3d_objects.PORT,
        foundation_pose.PORT,
    ],
    ids=lambda port: port.name,
)
def test_a_missing_package_is_named_with_what_to_install(port, request_):
    bare = ForeignEnvironment(interpreter=PYTHON, options={"weights": "/w"}, start_limit_s=60, limit_s=60)
    source = ExternalSource(port, bare)
    with pytest.raises(SourceError) as missing:
        source.generate(request_)
    assert missing.value.code == "source_missing"
    assert port.install in str(missing.value) and "github.com/" in str(missing.value)
    assert not source.process.running


def test_a_missing_interpreter_is_named(request_):
    nowhere = ForeignEnvironment(interpreter=Path("/nowhere/bin/python"))
    with pytest.raises(SourceError, match="/nowhere/bin/python") as missing:
        trellis.trellis_source(nowhere).generate(request_)
    assert missing.value.code == "source_missing"


def test_a_missing_option_is_named(request_):
    with pytest.raises(SourceError, match="'weights' is missing") as missing:
        trellis.trellis_source(environment("trellis")).generate(request_)
    assert missing.value.code == "option_missing"


def test_a_crash_is_told_with_the_childs_last_words_and_the_next_request_starts_another(request_):
    source = trellis.trellis_source(environment("trellis", weights="dies", structure_sampler={"steps": 12}))
    for _ in range(2):
        with pytest.raises(SourceError, match=r"(?s)code 3.*out of memory, they say") as crashed:
            source.generate(request_)
        assert crashed.value.code == "source_crashed" and not source.process.running


def test_a_child_that_outlasts_its_limit_is_ended(request_):
    slow = replace(environment("trellis", weights="sleeps", structure_sampler={"steps": 12}), limit_s=0.5)
    source = trellis.trellis_source(slow)
    with pytest.raises(SourceError, match=r"within 0\.5 s") as late:
        source.generate(request_)
    assert late.value.code == "source_timeout" and not source.process.running


def test_what_the_foreign_package_raises_is_told_and_the_child_lives_on(request_):
    source = trellis.trellis_source(environment("trellis", weights="raises", structure_sampler={"steps": 12}))
    with pytest.raises(SourceError, match="no kernel image is available") as failed:
        source.generate(request_)
    assert failed.value.code == "source_failed" and source.process.running
    source.close()
    assert not source.process.running


def test_a_surface_with_numbers_that_are_none_is_refused(request_):
    source = trellis.trellis_source(
        environment("trellis", weights="not finite", structure_sampler={"steps": 12})
    )
    try:
        with pytest.raises(SourceError, match="finite") as refused:
            source.generate(request_)
    finally:
        source.close()
    assert refused.value.code == "answer_refused"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mesh": "../outside.npz"}, "no file of this request"),
        ({"mesh": "absent.npz"}, "no file of this request"),
        ({"axes": "sideways"}, "z_up or y_up"),
        ({"fallbacks": [1]}, "short names"),
        ({"pose": {"convention": "left_handed", "own_points": True}}, "unknown pose convention"),
        ({"gaussians": "mesh.npz"}, "gaussians lack"),
    ],
)
def test_an_answer_outside_the_contract_is_refused(change, why, tmp_path):
    inside = tmp_path / "request"
    inside.mkdir()
    for folder in (tmp_path, inside):
        name = "outside.npz" if folder == tmp_path else "mesh.npz"
        np.savez(folder / name, vertices=box_corners(), faces=np.array([[0, 1, 2], [1, 2, 3]]))
    good = {"seed": 1, "object": 0, "mesh": "mesh.npz", "axes": "z_up", "gaussians": None, "pose": None}
    item = {**good, "fallbacks": ["noted"], **change}
    with pytest.raises(SourceError, match=why):
        external._object(item, inside, port=trellis.PORT, unit="m")


# ------------------------------------------------------------------------------------------------ the operator's file


def test_an_operators_file_names_its_sources(tmp_path):
    (tmp_path / "sources.toml").write_text(
        '[trellis]\ninterpreter = "/opt/trellis/bin/python"\npaths = ["/opt/TRELLIS"]\nlimit_s = 120.0\n'
        '[trellis.options]\nweights = "/models/trellis"\n'
    )
    sources = sources_from_file(tmp_path / "sources.toml")
    process = sources["trellis"].process
    assert list(sources) == ["trellis"] and not process.running
    assert process.interpreter == Path("/opt/trellis/bin/python") and process.paths == (Path("/opt/TRELLIS"),)
    assert process.options == {"weights": "/models/trellis"} and process.limit_s == 120
    assert process.environment == {"SPCONV_ALGO": "native"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[imagined]\ninterpreter = "x"\n', "no source imagined"),
        ("[trellis]\n", "needs interpreter"),
        ('[trellis]\ninterpreter = "x"\nspeed = 3\n', "needs interpreter and may have"),
        ("[trellis", "cannot be read"),
        ('[trellis]\ninterpreter = "x"\n[trellis.options]\nwhen = 2026-01-01\n', "options must be JSON"),
    ],
)
def test_an_operators_file_with_a_mistake_is_refused(text, why, tmp_path):
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(ValueError, match=why):
        sources_from_file(tmp_path / "sources.toml")
