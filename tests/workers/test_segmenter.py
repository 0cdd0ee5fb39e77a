"""A segmenter of the operator's own proposes and refines masks; without one GrabCut does; a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytest_django.fixtures import Settings

from engine import blobs, jobs
from engine.errors import EngineError
from engine.management.commands import propose_masks
from engine.models import Image, Job, Project, TargetObject
from engine.services import images
from engine.states import JobStatus, TargetStatus
from tests.pictures import DISC, HEIGHT, WIDTH, photograph_with_a_disc
from tests.running_worker import RunningWorker, finished, running_worker
from tests.tiny_segmenter import SegmenterFiles, tiny_segmenter
from tests.workers.test_masks_and_clouds import overlap, picture
from workers import pixels
from workers.grabcut import GrabCut
from workers.mask_proposer import Guidance, MaskProposer
from workers.onnx_segmenter import OnnxSegmenter

ON_DISC, ON_GROUND = (90.0, 60.0), (20.0, 20.0)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> SegmenterFiles:
    return tiny_segmenter(tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="session")
def segmenter(files: SegmenterFiles) -> OnnxSegmenter:
    return OnnxSegmenter(encoder=files.encoder, decoder=files.decoder)


@pytest.mark.parametrize(
    "guidance",
    [
        Guidance(box=(55, 25, 125, 95)),
        Guidance(points=((*ON_DISC, True),)),
        Guidance(points=((*ON_DISC, True), (*ON_GROUND, False))),
        Guidance(mask=DISC, points=((*ON_DISC, True),)),
    ],
    ids=["box", "point", "points", "mask and point"],
)
def test_a_box_and_points_find_the_object_through_both_files(
    segmenter: OnnxSegmenter, guidance: Guidance
) -> None:
    assert overlap(segmenter.refine(picture(), guidance, key="disc"), DISC) > 0.9


def test_a_segmenter_looks_at_a_photograph_once_however_often_it_is_asked(
    files: SegmenterFiles,
) -> None:
    segmenter = OnnxSegmenter(encoder=files.encoder, decoder=files.decoder)
    first = segmenter.refine(picture(), Guidance(box=(55, 25, 125, 95)), key="disc")
    # Another picture under the same name: only kept features can still find the disc.
    again = segmenter.refine(np.zeros_like(picture()), Guidance(box=(55, 25, 125, 95)), key="disc")
    assert (first == again).all() and first.any()


@pytest.mark.parametrize("which", ["segmenter", "grabcut"])
def test_strokes_hold_to_the_pixel_and_points_hold_where_they_were_put(
    segmenter: OnnxSegmenter, which: str
) -> None:
    proposer: MaskProposer = segmenter if which == "segmenter" else GrabCut()
    kept, left_out = np.zeros_like(DISC), np.zeros_like(DISC)
    kept[30:33, 40:60], left_out[58:62, 85:95] = True, True
    guidance = Guidance(
        box=(40, 20, 140, 110),
        foreground=kept,
        background=left_out,
        points=((60.5, 90.5, True), (90.5, 80.5, False)),
    )
    mask = proposer.refine(picture(), guidance, key="strokes")
    assert mask[kept].all() and not mask[left_out].any()
    assert mask[90, 60] and not mask[80, 90]


def test_grabcut_takes_points_as_hard_strokes() -> None:
    guidance = Guidance(points=((*ON_DISC, True), (*ON_GROUND, False), (150.0, 100.0, False)))
    mask = GrabCut().refine(picture(), guidance, key="")
    assert mask[60, 90] and not mask[20, 20] and overlap(mask, DISC) > 0.8


def test_guidance_without_anything_on_the_object_is_refused() -> None:
    with pytest.raises(ValueError, match="point on the object"):
        Guidance(points=((1.0, 1.0, False),))


def test_proposals_are_what_is_sure_and_are_said_once(segmenter: OnnxSegmenter) -> None:
    proposals = segmenter.propose(picture(), key="proposals")
    assert 1 <= len(proposals) <= 2  # the disc, and perhaps its ground
    assert max(overlap(each.mask, DISC) for each in proposals) > 0.9
    assert all(each.mask.shape == (HEIGHT, WIDTH) and 0 < each.score <= 1 for each in proposals)


class TestAWrongSegmenter:
    """Each fault is told with what would be right."""

    def test_other_inputs_than_documented(self, tmp_path: Path) -> None:
        wrong = tiny_segmenter(tmp_path, encoder_input="pixel_values")
        with pytest.raises(EngineError, match=r"takes pixel_values .* must take image ") as refused:
            OnnxSegmenter(encoder=wrong.encoder, decoder=wrong.decoder)
        assert refused.value.code == "bad_segmenter" and refused.value.permanent

    def test_the_two_files_changed_over(self, files: SegmenterFiles) -> None:
        with pytest.raises(EngineError, match=r"decoder\.onnx takes .*point_coords"):
            OnnxSegmenter(encoder=files.decoder, decoder=files.encoder)

    def test_a_file_that_is_not_there_or_no_model(self, tmp_path: Path, files: SegmenterFiles) -> None:
        with pytest.raises(EngineError, match="does not exist on this worker"):
            OnnxSegmenter(encoder=tmp_path / "none.onnx", decoder=files.decoder)
        (tmp_path / "text.onnx").write_text("not a model")
        with pytest.raises(EngineError, match="no ONNX model"):
            OnnxSegmenter(encoder=tmp_path / "text.onnx", decoder=files.decoder)


def test_a_photograph_that_comes_in_gets_proposals_that_name_their_maker_and_a_box_is_refined_by_it(
    project: Project,
    tmp_path: Path,
    files: SegmenterFiles,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("encoder", "decoder"):
        path = str(getattr(files, name))
        monkeypatch.setenv(f"SEGMENTER_{name.upper()}", path)
        setattr(settings, f"SEGMENTER_{name.upper()}", path)
    image, _ = images.ingest_image(
        project_id=project.pk, data=photograph_with_a_disc(), name="disc", user_id=None
    )
    with running_worker(tmp_path / "home"):
        proposing = finished(Job.objects.get(kind="propose_masks"))
        assert proposing.status == JobStatus.DONE, proposing.error
        proposals = list(TargetObject.objects.filter(image=image))
        assert proposals and {target.status for target in proposals} == {TargetStatus.PROPOSED}
        assert {target.source for target in proposals} == {proposing.result["by"]}
        assert proposing.result["by"].startswith("segmenter:")
        assert max(overlap(pixels.mask(target.mask_key), DISC) for target in proposals) > 0.9

        refined = finished(_refinement(project, image, points=[[90, 60, True]]))
        assert refined.status == JobStatus.DONE, refined.error
        assert refined.result["by"] == proposing.result["by"]
        assert overlap(pixels.mask(refined.result["mask_key"]), DISC) > 0.9
    propose_masks.Command().handle(project=project.slug)
    assert Job.objects.filter(kind="propose_masks").count() == 1, "one photograph is asked about once"


def test_without_a_segmenter_no_proposal_is_asked_for_and_grabcut_refines_a_point(
    project: Project, worker: RunningWorker
) -> None:
    image, _ = images.ingest_image(
        project_id=project.pk, data=photograph_with_a_disc(), name="disc", user_id=None
    )
    assert not Job.objects.filter(kind="propose_masks").exists()
    refined = finished(
        _refinement(project, image, points=[[90, 60, True], [20, 20, False], [150, 100, False]])
    )
    assert refined.status == JobStatus.DONE, refined.error
    assert refined.result["by"] == "grabcut"
    assert overlap(pixels.mask(refined.result["mask_key"]), DISC) > 0.8


def test_a_segmenter_that_cannot_be_used_fails_its_jobs_and_says_why(
    project: Project, tmp_path: Path, files: SegmenterFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTER_ENCODER", str(files.decoder))
    monkeypatch.setenv("SEGMENTER_DECODER", str(files.decoder))
    image = Image(key=blobs.put(photograph_with_a_disc(seed=3), suffix=".png", content_type="image/png"))
    with running_worker(tmp_path / "home"):
        job = finished(_refinement(project, image, box=[50, 20, 130, 100]))
    assert job.status == JobStatus.FAILED and job.attempts == 1
    assert "must take image and give image_embeddings" in job.error


def _refinement(project: Project, image: Image, **guidance: object) -> Job:
    return jobs.enqueue(
        kind="refine_mask",
        key=f"refine-{Job.objects.count()}",
        payload={"image_key": image.key, "project_id": project.pk, **guidance},
        project_id=project.pk,
    )
