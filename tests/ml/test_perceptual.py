"""ULIP and Uni3D scores, each against a stand-in of the foreign package in a child process of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from modelzoo.ports.child_process import SourceError
from modelzoo.ports.external import ForeignEnvironment
from modelzoo.ports.similarity import SimilarityScorer, ulip_scorer, uni3d_scorer
from training.evaluation_sets.cases import EvaluationCase
from training.metrics.perceptual import perceptual_scores
from training.metrics.sampling import TriangleMesh

DOUBLES = Path(__file__).parent / "foreign_doubles"
TALL, WIDE = (0.2, 0.2, 0.9), (0.9, 0.2, 0.2)  # in the object frame, whose Z is up


def _environment(double: str, **options: object) -> ForeignEnvironment:
    return ForeignEnvironment(
        interpreter=Path(sys.executable),
        paths=(DOUBLES / double,),
        options=options,
        start_limit_s=120,
        limit_s=60,
    )


def _mesh(extents: tuple[float, float, float]) -> TriangleMesh:
    made = trimesh.creation.box(extents)
    return TriangleMesh(vertices=np.asarray(made.vertices), faces=np.asarray(made.faces))


@pytest.fixture
def case() -> EvaluationCase:
    mask = np.zeros((40, 30), np.bool_)
    mask[5:35, 10:20] = True
    return EvaluationCase(name="a", source="iso3d", image=np.full((40, 30, 3), 90, np.uint8), mask=mask)


def _uni3d(tmp_path: Path) -> SimilarityScorer:
    weights = tmp_path / "model.pt"
    state = {"module.logit_scale": torch.ones([]), "module.point_encoder.trans2embed.weight": torch.eye(3)}
    torch.save({"module": state}, weights)
    clip = "/weights/open_clip_pytorch_model.bin"
    return uni3d_scorer(
        _environment("uni3d", weights=str(weights), clip_weights=clip, size="tiny", device="cpu")
    )


def _ulip(tmp_path: Path) -> SimilarityScorer:
    weights = tmp_path / "ulip2.pt"
    arguments = argparse.Namespace(model="ULIP2_PointBERT_Colored")
    torch.save({"state_dict": {"module.pc_projection": torch.eye(3)}, "args": arguments}, weights)
    return ulip_scorer(_environment("ulip", weights=str(weights), device="cpu"))


@pytest.mark.parametrize("made", [_uni3d, _ulip])
def test_a_shape_that_stands_as_the_picture_says_scores_higher(
    made: Callable[[Path], SimilarityScorer], case: EvaluationCase, tmp_path: Path
) -> None:
    with made(tmp_path) as scorer:
        tall, wide = perceptual_scores(scorer, case.image, case.mask, [_mesh(TALL), _mesh(WIDE)])
    # The stand-ins answer with the points' spread along x, y and z, and every picture is "tall", which is their y.
    assert tall > 0.9 and wide < 0.4
    assert -1.0 <= wide < tall <= 1.0


def test_a_missing_package_says_what_to_install(case: EvaluationCase, tmp_path: Path) -> None:
    scorer = uni3d_scorer(_environment("nowhere", weights="w", clip_weights="c"))
    with pytest.raises(SourceError, match=r"baaivision/Uni3D") as caught:
        perceptual_scores(scorer, case.image, case.mask, [_mesh(TALL)])
    assert caught.value.code == "source_missing"


def test_points_and_colours_that_are_none_are_refused_before_anything_starts(case: EvaluationCase) -> None:
    scorer = ulip_scorer(_environment("nowhere"))
    with pytest.raises(ValueError, match="N x 3"):
        scorer.similarity(case.image, case.mask, np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        scorer.similarity(case.image, case.mask, np.zeros((5, 3)), np.full((5, 3), 7.0))
