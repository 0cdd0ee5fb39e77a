"""Photographs and meshes handed in over HTTP: what is taken, what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from annotate.api.images import ImagesView
from engine import blobs
from engine.models import AnnotationTask, ArtistCase, Image, Job, PointMap, Project
from tests import factories
from tests.people import People, people_of
from tests.web import Browser, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Project:
    return factories.make_project()


@pytest.fixture
def people(desk: Project) -> People:
    return people_of(desk)


@pytest.fixture
def ana(people: People) -> Browser:
    return Browser(people.ana)


def test_a_photograph_is_taken_with_its_task_and_the_same_one_again_is_the_same(
    desk: Project, ana: Browser
) -> None:
    photo, path = factories.photo_bytes(kind="JPEG"), f"/projects/{desk.pk}/images"
    first = ana.upload(path, file=photo, name="Küche 1.jpg", attribution="Ana", licence="CC0")
    assert first.status == 201
    body = first.body
    assert (body["name"], body["width"], body["height"], body["status"]) == ("Küche 1.jpg", 64, 48, "READY")
    assert (body["attribution"], body["licence"], body["num_targets"]) == ("Ana", "CC0", 0)
    assert body["point_map"]["status"] == "PENDING" and body["point_map"]["approximate"] is True
    again = ana.upload(path, file=photo, name="copy.jpg")
    assert (again.status, again.body["id"]) == (200, body["id"])
    assert Image.objects.count() == AnnotationTask.objects.count() == 1
    assert Job.objects.get().kind == "estimate_point_map"
    assert blobs.get(Image.objects.get().key)[:3] == b"\xff\xd8\xff"


def test_a_depth_map_comes_with_the_photograph(desk: Project, ana: Browser) -> None:
    depth = SimpleUploadedFile("depth.png", factories.photo_bytes(mode="I;16"))
    numbers = {"depth_scale": "0.001", "fx": "60", "fy": "60", "cx": "32", "cy": "24"}
    reply = ana.upload(
        f"/projects/{desk.pk}/images", file=factories.photo_bytes(), point_map=depth, **numbers
    )
    assert reply.status == 201, reply
    assert Job.objects.get().kind == "read_point_map"
    assert PointMap.objects.get().upload_form["fx"] == 60


def test_a_lidar_sweep_comes_with_the_text_of_its_calibration(desk: Project, ana: Browser) -> None:
    reply = ana.upload(
        f"/projects/{desk.pk}/images",
        file=factories.photo_bytes(),
        point_map=SimpleUploadedFile("000008.bin", bytes(160)),
        calibration="P2: 1 0 0 0 0 1 0 0 0 0 1 0",
        fill_px="3",
    )
    assert reply.status == 201
    row = PointMap.objects.get()
    assert row.upload_key.endswith(".bin") and row.upload_form["fill_px"] == 3
    assert row.upload_form["calibration"].startswith("P2:")


def test_the_list_of_photographs_is_paged_by_id(desk: Project, ana: Browser) -> None:
    factories.make_bare_images(desk, how_many=60)
    first = ana.get(f"/projects/{desk.pk}/images").body
    second = ana.get(f"/projects/{desk.pk}/images?before={first['next']}").body
    assert (len(first["results"]), len(second["results"]), second["next"]) == (50, 10, None)
    ids = [image["id"] for image in first["results"] + second["results"]]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == 60


BAD_PHOTOS = {
    "no image": b"hello",
    "empty": b"",
    "cut": factories.photo_bytes(kind="JPEG")[:100],
    "a gif": factories.photo_bytes(kind="GIF", mode="P"),
    "tiny": factories.photo_bytes(width=8, height=8),
}


def test_a_photograph_that_is_none_is_refused_and_nothing_is_written(desk: Project, ana: Browser) -> None:
    for name, photo in BAD_PHOTOS.items():
        reply = ana.upload(f"/projects/{desk.pk}/images", file=photo)
        assert reply.status == 400 and reply.code in {"bad_image", "bad_request"}, (name, reply)
    assert not Image.objects.exists() and not Job.objects.exists()


BAD_FORMS: dict[str, dict[str, Any]] = {
    "a focal length that is none": {"fx": "wide"},
    "an infinite number": {"fx": "1e999"},
    "not a number": {"cx": "nan"},
    "zero": {"depth_scale": "0"},
    "an unknown field": {"focal": "60"},
    "NUL": {"licence": "CC\0"},
    "a long licence": {"licence": "x" * 81},
    "a point map that is none": {"point_map": SimpleUploadedFile("depth.npz", b"no archive")},
    "an empty point map": {"point_map": SimpleUploadedFile("depth.npz", b"")},
    "a LiDAR sweep without its calibration": {"point_map": SimpleUploadedFile("sweep.bin", bytes(64))},
    "a calibration as long as a novel": {"calibration": "P2: " + "1 " * 20_000},
    "a depth map without a camera": {
        "point_map": SimpleUploadedFile("d.png", factories.photo_bytes(mode="I;16"))
    },
}


def test_a_form_that_makes_no_sense_is_refused(desk: Project, ana: Browser) -> None:
    for name, form in BAD_FORMS.items():
        reply = ana.upload(f"/projects/{desk.pk}/images", file=factories.photo_bytes(), **form)
        assert reply.status == 400 and reply.code in {"bad_request", "bad_point_map"}, (name, reply)
    assert not Image.objects.exists()


def test_a_form_without_its_file_or_its_boundary_is_refused(desk: Project, ana: Browser) -> None:
    path = f"/projects/{desk.pk}/images"

    def send(text: bytes, kind: str) -> Reply:
        return ana.send("POST", path, text, kind=kind)

    assert send(b"--x--\r\n", "multipart/form-data; boundary=x").body["errors"] == {
        "file": ["No file was submitted."]
    }
    for text, kind in [
        (b"", "multipart/form-data"),
        (b"rubbish", "multipart/form-data; boundary="),
        (b"rubbish", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n", "multipart/form-data; boundary=x"),
    ]:
        assert send(text, kind).code == "bad_request"
    assert send(b"{}", "application/json").status == 415


def test_files_over_the_limit_are_413_with_the_limit_in_the_message(
    desk: Project, ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/projects/{desk.pk}/images"
    with override_settings(MAX_IMAGE_BYTES=1024 * 1024):
        reply = ana.upload(path, file=factories.photo_bytes() + b"\0" * 1024 * 1024)
    assert (reply.status, reply.code) == (413, "image_too_large") and "1 MiB" in reply.body["detail"]
    monkeypatch.setattr(ImagesView, "max_body_bytes", 1000)
    reply = ana.upload(path, file=factories.photo_bytes() + b"\0" * 1000)
    assert (reply.status, reply.code) == (413, "body_too_large") and "1000" in reply.body["detail"]
    assert not Image.objects.exists()


@pytest.fixture
def case(desk: Project) -> ArtistCase:
    target = factories.make_ready_batch(factories.make_target(factories.make_image(desk))).target
    return ArtistCase.objects.create(project=desk, target=target, reason="none_good", note="no handle")


def test_an_artist_takes_a_case_and_hands_in_a_mesh(desk: Project, people: People, case: ArtistCase) -> None:
    art, path = Browser(people.art), f"/artist-cases/{case.pk}"
    [row] = art.get(f"/projects/{desk.pk}/artist-cases?status=OPEN").body["results"]
    assert (row["id"], row["note"], row["claimed_by"]) == (case.pk, "no handle", None)
    brief = art.get(path).body
    assert len(brief["candidates"]) == 3 and brief["target"]["label"] == "mug" and brief["mesh_url"] is None
    early = art.upload(f"{path}/upload", file=factories.glb_bytes(), name="mug.glb")
    assert (early.status, early.code) == (409, "stale_transition")
    assert art.post(f"{path}/claim").body["claimed_by"] == "art"
    sent = art.upload(f"{path}/upload", file=factories.glb_bytes(), name="mug.glb")
    assert (sent.status, sent.body["status"]) == (202, "UPLOADED") and sent.body["mesh_url"]
    assert Job.objects.filter(kind="validate_mesh").count() == 1


def test_a_case_can_be_given_back_and_is_one_persons_at_a_time(people: People, case: ArtistCase) -> None:
    art, lea, path = Browser(people.art), Browser(people.lea), f"/artist-cases/{case.pk}"
    art.post(f"{path}/claim")
    assert (lea.post(f"{path}/claim").status, lea.post(f"{path}/release").status) == (409, 409)
    assert art.post(f"{path}/release").body["status"] == "OPEN"
    assert lea.post(f"{path}/claim").body["claimed_by"] == "lea"


BAD_MESHES = {
    "no GLB": b"solid cube",
    "empty": b"",
    "glTF 1": factories.glb_bytes(version=1),
    "cut": factories.glb_bytes()[:-40],
    "without meshes": factories.glb_bytes(document={"asset": {"version": "2.0"}}),
}


def test_a_mesh_that_is_none_is_refused_and_the_case_waits_on(people: People, case: ArtistCase) -> None:
    art, path = Browser(people.art), f"/artist-cases/{case.pk}"
    art.post(f"{path}/claim")
    for name, mesh in BAD_MESHES.items():
        reply = art.upload(f"{path}/upload", file=mesh, name="mug.glb")
        assert reply.status == 400 and reply.code in {"bad_mesh", "bad_request"}, (name, reply)
    with override_settings(MAX_MESH_BYTES=1024 * 1024):
        large = art.upload(f"{path}/upload", file=b"\0" * (1024 * 1024 + 1))
    assert (large.status, large.code) == (413, "mesh_too_large")
    assert (
        ArtistCase.objects.get().status == "CLAIMED" and not Job.objects.filter(kind="validate_mesh").exists()
    )


def test_an_unknown_status_of_cases_is_refused(desk: Project, people: People) -> None:
    assert Browser(people.art).get(f"/projects/{desk.pk}/artist-cases?status=LOST").code == "bad_request"
