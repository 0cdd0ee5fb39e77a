"""Photographs, projects and point maps coming in."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from PIL import Image as Pillow

from engine import blobs
from engine.errors import BadInput, NotFound
from engine.models import AnnotationTask, Image, Job, PointMap, Project, Round, StateChange, TargetObject
from engine.selectors.images import image_page, image_row
from engine.services import images
from engine.services.images import PointMapUpload, ingest_image
from engine.services.projects import add_member, create_project
from engine.states import PointMapStatus, Role, Stage
from tests.factories import CAMERA, HEIGHT, WIDTH, make_image, make_target, mask_bytes, photo_bytes
from tests.listening import Heard
from tests.people import People, person

PLY = b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"


def npz_bytes(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", b"\x93NUMPY")
    return out.getvalue()


def take_in(project: Project, data: bytes | None = None, **options: Any) -> tuple[Image, bool]:
    values: dict[str, Any] = {"name": "desk.jpg", "user_id": None}
    return ingest_image(
        project_id=project.pk, data=photo_bytes() if data is None else data, **{**values, **options}
    )


def record(image: Image, **changes: Any) -> None:
    values: dict[str, Any] = {
        "npz_key": "aa/points.npz",
        "cloud_key": "aa/cloud.c8pc",
        "num_points": 10,
        "intrinsics": CAMERA,
        "source": "depth net",
        "approximate": True,
        "metric": False,
    }
    images.record_point_map(image_id=image.pk, **{**values, **changes})


def test_a_photograph_brings_its_task_and_a_job_for_its_points(
    project: Project, people: People, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        image, is_new = take_in(project, user_id=people.lea.pk, attribution="Lea", licence="CC0")
    assert is_new and (image.status, image.width, image.height) == ("READY", WIDTH, HEIGHT)
    assert (image.uploaded_by_id, image.attribution, image.licence) == (people.lea.pk, "Lea", "CC0")
    with Pillow.open(io.BytesIO(blobs.get(image.key))) as stored:
        assert (stored.format, stored.size) == ("JPEG", (WIDTH, HEIGHT))
    assert AnnotationTask.objects.get().stage == Stage.OBJECT
    job = Job.objects.get()
    assert (job.kind, job.queue, job.payload, job.status) == (
        "estimate_point_map",
        "gpu",
        {"image_id": image.pk},
        "SENT",
    )
    assert set(StateChange.objects.exclude(model="round").values_list("model", "new")) >= {
        ("image", "READY"),
        ("pointmap", "PENDING"),
        ("annotationtask", "OPEN"),
    }
    assert {body["type"] for body in heard.all()} >= {"image.changed", "point_map.changed", "queue.changed"}


def test_the_same_file_is_the_same_image(project: Project) -> None:
    data = photo_bytes()
    first, _ = take_in(project, data)
    again, is_new = take_in(project, data, name="other name")
    assert again.pk == first.pk and not is_new
    assert Image.objects.count() == AnnotationTask.objects.count() == Job.objects.count() == 1


@pytest.mark.parametrize(
    ("upload", "kind"),
    [
        (PointMapUpload(data=npz_bytes("points"), filename="p.npz"), "read_point_map"),
        (PointMapUpload(data=PLY, filename="p.ply"), "read_point_map"),
        (
            PointMapUpload(
                data=photo_bytes(mode="L"),
                filename="d.png",
                form={"fx": "60", "fy": 60, "cx": 32, "cy": 24, "depth_scale": "1000"},
            ),
            "read_point_map",
        ),
    ],
)
def test_a_file_with_points_is_read_rather_than_guessed(
    project: Project, upload: PointMapUpload, kind: str
) -> None:
    image, _ = take_in(project, point_map=upload)
    job = Job.objects.get()
    assert (job.kind, job.queue) == (kind, "cpu")
    assert blobs.get(image.point_map.upload_key) == upload.data
    assert all(isinstance(value, float) for value in image.point_map.upload_form.values())


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        (PointMapUpload(data=b"", filename="none"), "none of .npz"),
        (PointMapUpload(data=b"x,y,z\n1,2,3\n", filename="p.csv"), "p.csv is none of"),
        (PointMapUpload(data=b"PK\x03\x04 broken", filename="p.npz"), "damaged"),
        (PointMapUpload(data=npz_bytes("colours"), filename="p.npz"), "named points"),
        (PointMapUpload(data=photo_bytes(), filename="d.png"), "fx, fy, cx and cy"),
        (PointMapUpload(data=PLY, filename="p.ply", form={"fx": "wide"}), "fx must be a number"),
        (PointMapUpload(data=PLY, filename="p.ply", form={"fx": 60}), "all of fx"),
        (PointMapUpload(data=PLY, filename="p.ply", form={"depth_scale": -1}), "positive"),
    ],
)
def test_a_point_map_that_cannot_be_one_is_refused(
    project: Project, upload: PointMapUpload, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        take_in(project, point_map=upload)
    assert refusal.value.code == "bad_point_map"
    assert not Image.objects.exists() and not Job.objects.exists()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_image"),
        (b"GIF89a", "bad_image"),
        (photo_bytes(kind="GIF"), "bad_image"),
        (photo_bytes()[:60], "bad_image"),
        (photo_bytes(width=8, height=8), "bad_image"),
    ],
)
def test_what_is_no_photograph_is_refused(project: Project, data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        take_in(project, data)
    assert refusal.value.code == code and not Image.objects.exists() and not AnnotationTask.objects.exists()


def test_a_photograph_over_the_limits_is_refused(project: Project, settings: Any) -> None:
    settings.MAX_IMAGE_PIXELS = 1000
    with pytest.raises(BadInput, match="megapixels") as pixels:
        take_in(project)
    settings.MAX_IMAGE_BYTES = 10
    with pytest.raises(BadInput, match="MB") as size:
        take_in(project)
    assert pixels.value.code == size.value.code == "image_too_large"


def test_there_is_no_photograph_without_a_project(db: None) -> None:
    with pytest.raises(NotFound):
        ingest_image(project_id=999, data=photo_bytes(), name="x", user_id=None)
    assert not Image.objects.exists()


class TestPointMaps:
    """PENDING to READY or REFUSED, by workers that may run twice."""

    def test_a_map_is_recorded_once(
        self, project: Project, heard: Heard, django_capture_on_commit_callbacks: Any
    ) -> None:
        image = make_image(project, with_points=False)
        with django_capture_on_commit_callbacks(execute=True):
            record(image)
            record(image, npz_key="bb/other.npz")
            images.refuse_point_map(image_id=image.pk, detail="late")
        row = PointMap.objects.get()
        assert (row.status, row.key, row.source, row.approximate) == (
            "READY",
            "aa/points.npz",
            "depth net",
            True,
        )
        assert row.intrinsics == CAMERA
        assert [body["status"] for body in heard.of("point_map.changed")] == ["READY"]

    def test_a_refusal_says_why(self, project: Project) -> None:
        image = make_image(project, with_points=False)
        images.refuse_point_map(image_id=image.pk, detail="the depth is of another size")
        record(image)
        found = image_row(image.pk).point_map
        assert found is not None and (found.status, found.detail) == (
            "REFUSED",
            "the depth is of another size",
        )

    def test_a_camera_that_is_none_is_refused(self, project: Project) -> None:
        image = make_image(project, with_points=False)
        for camera in ({}, {**CAMERA, "fx": 0.0}):
            with pytest.raises(BadInput, match="Intrinsics"):
                record(image, intrinsics=camera)
        assert PointMap.objects.get().status == PointMapStatus.PENDING

    def test_a_file_replaces_an_estimate_but_no_file(self, project: Project) -> None:
        data = photo_bytes()
        image, _ = take_in(project, data)
        record(image)
        better = PointMapUpload(data=npz_bytes("points"), filename="p.npz")
        take_in(project, data, point_map=better)
        row = PointMap.objects.get()
        assert row.status == PointMapStatus.PENDING and row.upload_key
        assert Job.objects.filter(kind="read_point_map").count() == 1
        record(image, source="a sensor")
        take_in(project, data, point_map=PointMapUpload(data=npz_bytes("depth"), filename="q.npz"))
        row.refresh_from_db()
        assert row.status == PointMapStatus.READY and Job.objects.filter(kind="read_point_map").count() == 1


class TestPages:
    """The list of photographs."""

    def test_pages_follow_each_other_without_gaps(
        self, project: Project, django_assert_num_queries: Any
    ) -> None:
        made = [make_image(project, with_points=False).pk for _ in range(5)]
        make_target(Image.objects.get(pk=made[4]))
        images.propose_target(image_id=made[4], mask_png=mask_bytes())
        with django_assert_num_queries(1):
            first = image_page(project_id=project.pk, limit=2)
        second = image_page(project_id=project.pk, before=first.next, limit=2)
        third = image_page(project_id=project.pk, before=second.next, limit=2)
        assert [row.id for page in (first, second, third) for row in page.results] == made[::-1]
        assert third.next is None and first.results[0].num_targets == 1
        assert TargetObject.objects.count() == 2

    def test_there_is_no_row_of_nothing(self, db: None) -> None:
        with pytest.raises(NotFound):
            image_row(1)


class TestProjects:
    """Setting up."""

    def test_a_project_begins_with_round_one(self, db: None) -> None:
        made = create_project(slug="lab", name="Lab", taxonomy=[("cup", "Cup")], num_candidates=8, alpha=0.6)
        opened = Round.objects.get(project=made)
        assert (opened.number, opened.alpha, opened.num_candidates, opened.status) == (1, 0.6, 8, "OPEN")
        assert list(made.taxonomy.values_list("key", "label")) == [("cup", "Cup")]

    @pytest.mark.parametrize(
        "changes",
        [
            {"slug": "two words"},
            {"taxonomy": [("a b", "A")]},
            {"taxonomy": [("a", "A"), ("a", "B")]},
            {"stage2_mode": "coin"},
            {"num_candidates": 1},
            {"alpha": 2.0},
            {"slug": "desk"},
        ],
    )
    def test_a_project_that_cannot_be_is_refused(self, project: Project, changes: dict[str, Any]) -> None:
        values: dict[str, Any] = {"slug": "lab", "name": "Lab", "taxonomy": []}
        with pytest.raises(BadInput):
            create_project(**{**values, **changes})
        assert Project.objects.count() == 1 and Round.objects.count() == 1

    def test_a_member_is_added_once(self, project: Project) -> None:
        zoe = person("zoe")
        for _ in range(2):
            add_member(project_id=project.pk, user_id=zoe.pk, role=Role.ARTIST)
        assert zoe.memberships.count() == 1
        with pytest.raises(NotFound):
            add_member(project_id=999, user_id=zoe.pk, role=Role.ARTIST)
