"""The demo project and photographs from folders, as commands make them."""

from __future__ import annotations

import json
import stat
from io import StringIO
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command
from PIL import Image as Pillow
from pytest_django.fixtures import Settings

from engine import blobs
from engine.models import (
    AnnotationTask,
    CandidateBatch,
    Checkpoint,
    DatasetVersion,
    Image,
    Membership,
    PointMap,
    Project,
    StateChange,
)
from engine.selectors import deployments
from engine.selectors.audits import audits_of
from engine.services.checkpoints import verify
from engine.states import Role, Stage, TargetStatus
from engine.transitions import Actor
from tests.factories import encode, photo_bytes
from tests.ml.test_audit import audit
from tests.untrained import registered, untrained_checkpoint


@pytest.fixture
def home(tmp_path: Path, settings: Settings, transactional_db: None) -> Path:
    settings.HOME = tmp_path
    settings.SHIPPED_CHECKPOINT = untrained_checkpoint(tmp_path / "checkpoint")
    return tmp_path


def seed() -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out, stderr=out)
    return out.getvalue()


def rows() -> dict[str, int]:
    models = (Project, Membership, Image, PointMap, AnnotationTask, CandidateBatch, StateChange)
    return {model.__name__: model.objects.count() for model in models}


def test_the_bucket_is_made_once_and_lets_the_named_pages_read_it(settings: Settings) -> None:
    settings.S3_BUCKET = "made-by-the-command"
    for _ in range(2):
        call_command("ensure_bucket", "https://label.example.org", "http://localhost:8000")
    key = blobs.put(b"blob", suffix=".txt", content_type="text/plain")
    assert _allowed_origin(blobs.url(key), "https://label.example.org") == "https://label.example.org"
    assert _allowed_origin(blobs.url(key), "https://elsewhere.example.org") is None


def _allowed_origin(url: str, origin: str) -> str | None:
    with urlopen(Request(url, headers={"Origin": origin})) as reply:
        assert reply.read() == b"blob"
        allowed: str | None = reply.headers["Access-Control-Allow-Origin"]
        return allowed


def test_a_second_seeding_changes_nothing_and_shows_no_password(home: Path) -> None:
    said = seed()
    accounts = home / "demo_accounts.txt"
    assert stat.S_IMODE(accounts.stat().st_mode) == 0o600
    passwords = {line.split()[0]: line.split()[2] for line in accounts.read_text().splitlines()}
    assert all(password in said for password in passwords.values())
    before = rows()

    again = seed()
    assert rows() == before
    assert not any(password in again for password in passwords.values())
    assert len(accounts.read_text().splitlines()) == len(passwords) == 6


def test_the_demo_has_real_photographs_people_and_work_from_the_first_minute(home: Path) -> None:
    seed()
    project = Project.objects.get(slug="demo")
    photographs = Image.objects.filter(project=project)
    assert photographs.count() == 5
    assert all(one.attribution and one.licence for one in photographs)
    with_depth = PointMap.objects.exclude(upload_key="").values_list("image__name", flat=True)
    assert len(with_depth) == 2
    tote = photographs.get(name__startswith="Tote")
    assert tote.targets.count() == 8
    assert tote.targets.filter(status=TargetStatus.CONFIRMED).count() == CandidateBatch.objects.count() == 3
    assert StateChange.objects.filter(model="targetobject", new="CONFIRMED", actor_name="seed").count() == 3
    assert AnnotationTask.objects.filter(project=project, stage=Stage.OBJECT).count() == 5
    serving = deployments.serving()
    assert serving is not None and serving.generation == 1


def test_the_written_passwords_open_the_accounts_with_their_roles(home: Path) -> None:
    seed()
    for line in (home / "demo_accounts.txt").read_text().splitlines():
        name, role, password = line.split()
        person = authenticate(username=name, password=password)
        assert person is not None
        assert Membership.objects.filter(user_id=person.pk, role=Role(role)).exists()
    assert not get_user_model().objects.get(username="ana").is_staff


def test_photographs_come_from_folders_with_their_depth_and_bad_files_are_named(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "good.png").write_bytes(photo_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not a photograph")
    frame = tmp_path / "frame"
    frame.mkdir()
    (frame / "color.png").write_bytes(photo_bytes())
    (frame / "depth.png").write_bytes(encode(Pillow.new("I;16", (64, 48), 1500), "PNG"))
    (frame / "mask_00_mug.png").write_bytes(photo_bytes())
    camera = {"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0, "depth_scale": 1000, "note": "ignored"}
    (frame / "camera.json").write_text(json.dumps(camera))

    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="1 of 3"):
        call_command(
            "ingest_images",
            str(tmp_path),
            project="desk",
            recursive=True,
            licence="CC0-1.0",
            stdout=out,
            stderr=err,
        )
    assert "broken.jpg" in err.getvalue() and "2 new" in out.getvalue()
    assert set(Image.objects.values_list("name", "licence")) == {("good", "CC0-1.0"), ("color", "CC0-1.0")}
    assert PointMap.objects.get(image__name="color").upload_form["depth_scale"] == 1000

    (tmp_path / "broken.jpg").unlink()
    call_command("ingest_images", str(tmp_path), project="desk", recursive=True, stdout=out)
    assert "0 new, 2 known already, 0 failed" in out.getvalue()


def test_an_unknown_project_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no project"):
        call_command("ingest_images", str(tmp_path), project="nowhere")


def test_a_checkpoint_folder_serves_once_a_worker_has_checked_it(home: Path) -> None:
    seed()
    folder = untrained_checkpoint(home / "from elsewhere", seed=1)
    out = StringIO()
    with pytest.raises(CommandError, match="No worker has checked from elsewhere"):
        call_command("deploy_checkpoint", str(folder), wait=0.0, stdout=out)
    waiting = Checkpoint.objects.get(name="from elsewhere")
    verify(checkpoint_id=waiting.pk, actor=Actor(name="test"))
    for _ in range(2):
        call_command("deploy_checkpoint", str(folder), stdout=out)
    serving = deployments.serving()
    assert serving is not None and serving.checkpoint_id == waiting.pk
    assert "serves already" in out.getvalue()
    (folder / "weights.safetensors").write_bytes(b"other weights")
    with pytest.raises(CommandError, match="not the ones that their manifest names"):
        call_command("deploy_checkpoint", str(folder))


def stored_audit(folder: Path) -> str:
    """The key of an audit manifest of two artists' shapes whose blobs are in the store."""
    manifest = (audit(folder, shapes=2) / "manifest.jsonl").read_text()
    for path in sorted((folder / "blobs").rglob("*.*")):
        key = blobs.put(path.read_bytes(), suffix=path.suffix, content_type="application/octet-stream")
        manifest = manifest.replace(str(path.relative_to(folder / "blobs")), key)
    return blobs.put(manifest.encode(), suffix=".jsonl", content_type="application/jsonl")


def test_an_audit_is_kept_with_the_checkpoint_and_says_what_it_was_measured_on(
    home: Path, project: Project, tmp_path: Path
) -> None:
    parent = registered(untrained_checkpoint(tmp_path / "parent", seed=1), name="parent")
    child = registered(untrained_checkpoint(tmp_path / "child", seed=2), name="child")
    version = DatasetVersion.objects.create(project=project, number=1, alpha=0.5)
    asked = ("--checkpoint", str(child.pk), "--dataset-version", str(version.pk))
    with pytest.raises(CommandError, match="no parent"):
        call_command("evaluate_audit", *asked)
    Checkpoint.objects.filter(pk=child.pk).update(parent=parent)
    with pytest.raises(CommandError, match="kept nothing for auditing"):
        call_command("evaluate_audit", *asked)
    version.counts = {"held_back": {"audit_manifest": stored_audit(tmp_path / "audit")}}
    version.save()

    call_command("evaluate_audit", *asked, stdout=StringIO())
    child.refresh_from_db()
    (kept,) = audits_of(child.evaluation)
    assert (kept["version"], kept["num_objects"]) == (version.pk, 2)
    assert (kept["parent"], kept["checkpoint"]) == (parent.sha256, child.sha256)
    assert {"value", "low", "high"} <= set(kept["metrics"]["volume_iou_mean"])
    assert StateChange.objects.filter(model="checkpoint", actor_name="evaluate_audit").count() == 1


def test_a_table_of_foreign_sources_is_checked_before_their_workers_start(
    settings: Settings, tmp_path: Path
) -> None:
    table, out = tmp_path / "sources.toml", StringIO()
    settings.SOURCES_TABLE = str(table)
    table.write_text('[trellis]\ninterpreter = "/nowhere/python"\n')
    call_command("check_sources", stdout=out)
    assert out.getvalue() == "trellis: /nowhere/python, which is not there\n"
    for wrong, why in (
        ('[trelis]\ninterpreter = "/nowhere/python"', "no source trelis; there are"),
        ("[trellis]\npaths = []", r"\[trellis\] needs interpreter"),
        ("[trellis]\ninterpreter = 3", r"\[trellis\] has a value of the wrong kind"),
    ):
        table.write_text(wrong)
        with pytest.raises(CommandError, match=why):
            call_command("check_sources", stdout=out)
    settings.SOURCES_TABLE = ""
    with pytest.raises(CommandError, match="names no file"):
        call_command("check_sources", stdout=out)
