"""Malformed requests get a 4xx that says what would be right; nothing is written, and nothing is a 500."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.models import Alignment, Assignment, DatasetVersion, Job, MaskEdit, Project, Selection
from tests import factories, web
from tests.people import People, people_of
from tests.web import Browser

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


@pytest.fixture
def lea(people: People) -> Browser:
    return Browser(people.lea)


BROKEN_JSON = {
    "empty": b"",
    "not JSON": b"{stage: object}",
    "cut": b'{"stage": "obj',
    "NaN": b'{"stage": NaN}',
    "Infinity": b'{"stage": -Infinity}',
    "not UTF-8": b'{"stage": "\xff\xfe"}',
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "a text": b'"object"',
    "too deep": b"[" * 100_000,
    "too many digits": b'{"stage": ' + b"9" * 5000 + b"}",
    "unknown field": b'{"stage": "object", "stages": 1}',
    "missing field": b"{}",
    "wrong choice": b'{"stage": "render"}',
    "wrong type": b'{"stage": {"a": 1}, "prefetch": []}',
    "NUL": b'{"stage": "object\\u0000"}',
    "half a surrogate": b'{"stage": "\\ud800"}',
    "too large": b'{"stage": "' + b"x" * 300_000 + b'"}',
}


def test_broken_json_is_a_problem_and_never_a_claim(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    for name, text in BROKEN_JSON.items():
        reply = ana.send("POST", f"/projects/{desk.pk}/claims", text)
        wanted = (413, "body_too_large") if name == "too large" else (400, "bad_request")
        assert (reply.status, reply.code) == wanted, name
    assert not Assignment.objects.exists()


def test_an_unknown_field_is_refused_with_the_names_of_the_known_ones(desk: Project, ana: Browser) -> None:
    reply = ana.post(f"/projects/{desk.pk}/claims", {"stage": "object", "preftech": True})
    assert reply.body["errors"] == {"preftech": ["Unknown field; known are: stage, prefetch, again, quiz."]}
    assert reply.body["detail"].startswith("preftech: Unknown field")


def test_other_media_types_methods_and_addresses_are_problems(desk: Project, ana: Browser) -> None:
    claims = f"/projects/{desk.pk}/claims"
    assert ana.send("POST", claims, "stage=object", kind="application/x-www-form-urlencoded").code == (
        "unsupported_media_type"
    )
    assert ana.send("POST", claims, "<x/>", kind="text/xml").status == 415
    wrong = ana.send("DELETE", claims, "")
    assert (wrong.status, wrong.code, wrong.headers["Allow"]) == (405, "method_not_allowed", "POST, OPTIONS")
    for nowhere in (
        "/nothing",
        "/projects/0",
        f"/projects/{2**63}",
        f"/projects/{'9' * 30}",
        "/projects/-1",
        "/jobs/12",
    ):
        reply = ana.get(nowhere)
        assert (reply.status, reply.code) == (404, "not_found"), nowhere
    assert ana.get("/projects/1/images?before=x").status == 404
    assert ana.get(f"/projects/{desk.pk}/images?before=1e3").code == "bad_request"


def test_a_submit_needs_an_idempotency_key(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    body = {"lease_token": claim["lease_token"], "seconds": 1, "result": {"discard": {"reason": "dark"}}}
    for key in (None, "", "7", "not a uuid", "é" * 10):
        headers = {} if key is None else {"Idempotency_Key": key}
        reply = ana.post(f"/assignments/{claim['assignment']}/submit", body, **headers)
        assert (reply.status, reply.code) == (400, "bad_request") and "Idempotency-Key" in reply.body[
            "detail"
        ], key


BAD_MASKS = {
    "no base64": "%%%",
    "a data address": "data:image/png;base64,iVBORw0KGgo=",
    "not a PNG": base64.b64encode(b"GIF89a").decode(),
    "a cut PNG": base64.b64encode(factories.mask_bytes()[:60]).decode(),
    "only the magic": base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
    "another size": web.mask_base64(width=30, height=30, box=(1, 1, 9, 9)),
    "all black": web.mask_base64(box=(0, 0, 0, 0)),
    "all white": web.mask_base64(box=(0, 0, factories.WIDTH, factories.HEIGHT)),
    "a number": 12,
    "nothing": "",
    "a jpeg": base64.b64encode(factories.photo_bytes(kind="JPEG")).decode(),
}


def test_a_mask_that_is_none_is_bad_mask(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    for name, mask in BAD_MASKS.items():
        reply = ana.submit(claim, web.object_result(mask_png=mask))
        assert (reply.status, reply.code) == (400, "bad_mask"), (name, reply)
        refine = {"lease_token": claim["lease_token"], "mask_png": mask}
        if name not in {"all black", "all white", "another size"}:
            assert ana.post(f"/assignments/{claim['assignment']}/refine", refine).code == "bad_mask", name
    assert not MaskEdit.objects.exists() and not Job.objects.filter(kind="refine_mask").exists()
    assert Assignment.objects.get().status == "LEASED"


BAD_OBJECTS: dict[str, Any] = {
    "nothing": {},
    "no targets": {"targets": []},
    "both": {"targets": web.object_result()["targets"], "discard": {"reason": "dark"}},
    "an empty reason": {"discard": {"reason": ""}},
    "a blank label": web.object_result(label="  "),
    "a long label": web.object_result(label="x" * 121),
    "NUL in the label": web.object_result(label="a\0b"),
    "half a surrogate in the label": web.object_result(label="\ud800"),
    "an unknown taxonomy key": web.object_result(taxonomy_key="spaceship"),
    "an unknown proposal": web.object_result(proposal_id=999_999),
    "a huge proposal": web.object_result(proposal_id=2**70),
    "flags that are none": web.object_result(flags={"a": 1}),
    "an unknown field": web.object_result(colour="red"),
    "a null result": None,
    "a list": [],
    "too many": {"targets": web.object_result()["targets"] * 65},
    "twins": {"targets": web.object_result()["targets"] * 2},
}


def test_an_object_result_that_is_none_is_refused(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    for name, result in BAD_OBJECTS.items():
        reply = ana.submit(claim, result)
        assert reply.status == 400 and reply.code in {"bad_request", "bad_mask"}, (name, reply)
    assert not MaskEdit.objects.exists() and Assignment.objects.get().status == "LEASED"


BAD_PICKS: dict[str, Any] = {
    "winner": [0, -1, 2**63, 999_999, "1", 1.5, None, True, [1]],
    "mode": ["queen", None, 7],
    "shape_rating": [0, 6, 2.5, "5", None, 10**30],
    "texture_rating": [0, 6, True],
    "comparisons": [
        {},
        [7],
        [{"left": 1, "right": 1, "outcome": "left", "milliseconds": 5}],
        [{}] * 600,
        "none",
    ],
    "inspected": [[], {"x": 5}, {"1": -5}, {"1": 1e3}, {"999999": 5}, {"9" * 40: 1}, {"1": 2**40}],
    "color": ["red"],
}


def test_a_pick_that_is_none_is_refused(desk: Project, ana: Browser) -> None:
    factories.make_pick_task(desk)
    claim = ana.claim(desk.pk, "pick")
    for field, value in ((field, value) for field, values in BAD_PICKS.items() for value in values):
        reply = ana.submit(claim, web.pick_result(claim, **{field: value}))
        assert (reply.status, reply.code) == (400, "bad_request"), (field, value, reply)
    assert not Selection.objects.exists() and Assignment.objects.get().status == "LEASED"


BAD_POSES: dict[str, list[str]] = {
    "rotation_wxyz": [
        "[1,0,0]",
        "[1,0,0,0,0]",
        "[2,0,0,0]",
        "[0,0,0,0]",
        '["1",0,0,0]',
        "[1e999,0,0,0]",
        "null",
        "{}",
    ],
    "translation": ["[0,0]", "[0,0,1e30]", "[0,0,1e999]", "[0,0,null]", "[[0],0,0]", "7"],
    "scale": ["0", "-1", "1e999", '"1"', "null", "true", "9" * 400],
    "mask_iou": ["-0.1", "1.1", '"0.5"', "1e999"],
    "depth_residual": ["-1", "1e999", "[]"],
    "actions": [
        "[]",
        '{"move": -1}',
        '{"move": "x"}',
        '{"' + "x" * 61 + '": 1}',
        '{"\\u0000": 1}',
        '{"\\ud800": 1}',
    ],
}


def test_a_pose_that_is_none_is_refused(desk: Project, ana: Browser) -> None:
    factories.make_pose_task(desk)
    claim = ana.claim(desk.pk, "pose")
    for field, value in ((field, value) for field, values in BAD_POSES.items() for value in values):
        result = json.dumps(web.pose_result(**{field: "HERE"})).replace('"HERE"', value)
        text = f'{{"lease_token": "{claim["lease_token"]}", "seconds": 1, "result": {result}}}'
        path = f"/assignments/{claim['assignment']}/submit"
        reply = ana.send("POST", path, text, Idempotency_Key=str(uuid4()))
        assert (reply.status, reply.code) == (400, "bad_request"), (field, value, reply)
    assert not Alignment.objects.exists() and Assignment.objects.get().status == "LEASED"


def test_a_draft_that_cannot_be_stored_is_refused(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    for draft in ('"text"', "[]", "null", '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1e999}', "{" * 5000):
        text = f'{{"lease_token": "{claim["lease_token"]}", "draft": {draft}}}'
        reply = ana.send("PUT", f"/assignments/{claim['assignment']}/draft", text, If_Match='"0"')
        assert (reply.status, reply.code) == (400, "bad_request"), draft
    assert Assignment.objects.get().draft is None


def test_a_draft_version_that_is_none_is_refused(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    body = {"lease_token": claim["lease_token"], "draft": {}}
    for version in ('"-1"', '"x"', "W/", '"99999999999"', "*"):
        reply = ana.put(f"/assignments/{claim['assignment']}/draft", body, If_Match=version)
        assert reply.code == "bad_request", version


def test_a_token_that_proves_nothing_changes_nothing(desk: Project, ana: Browser) -> None:
    factories.make_image(desk)
    claim = ana.claim(desk.pk, "object")
    for token in ("x", "", None, 7, 2**200, -1, [], str(uuid4())):
        reply = ana.post(f"/assignments/{claim['assignment']}/release", {"lease_token": token})
        assert reply.status in (400, 409) and reply.code in ("bad_request", "lease_lost"), token
    assert Assignment.objects.get().status == "LEASED"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary().map(lambda raw: raw.hex()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = """stage prefetch lease_token seconds result reason note draft box mask_png alpha dataset_version objective
    base_checkpoint seed settings checkpoint"""
FIELDS = st.sampled_from(NAMES.split())
RESULT_FIELDS = st.sampled_from(
    [
        "targets",
        "discard",
        "winner",
        "mode",
        "shape_rating",
        "comparisons",
        "inspected",
        "rotation_wxyz",
        "scale",
        "actions",
    ]
)
BODIES = JSON | st.dictionaries(FIELDS, JSON | st.dictionaries(RESULT_FIELDS, JSON, max_size=5), max_size=6)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=BODIES)
def test_no_body_whatever_makes_the_server_fail(body: Any, desk: Project, lea: Browser) -> None:
    """Every write of the interface, with JSON of any shape: an answer, or a problem, never a 500."""
    if not Assignment.objects.exists():
        factories.make_image(desk)
        lea.claim(desk.pk, "object")
    held = Assignment.objects.get()
    if isinstance(body, dict) and "lease_token" in body:
        body["lease_token"] = str(held.lease_token)
    text = json.dumps(body)
    verbs = ("submit", "skip", "escalate", "release", "heartbeat", "refine", "snap")
    writes = [("POST", f"/assignments/{held.uuid}/{verb}") for verb in verbs]
    writes += [("PUT", f"/assignments/{held.uuid}/draft"), ("POST", f"/projects/{desk.pk}/claims")]
    writes += [
        ("POST", f"/projects/{desk.pk}/{noun}") for noun in ("dataset-versions", "runs", "deployments")
    ]
    for method, path in writes:
        reply = lea.send(method, path, text, Idempotency_Key=str(uuid4()), If_Match='"0"')
        assert reply.status < 500, (method, path, text, reply)
        if reply.status >= 400:
            assert reply.code


def test_numbers_for_scripts_are_checked(desk: Project, people: People) -> None:
    mel = Browser(people.mel)
    for alpha in (-0.1, 1.1, "0.5", True, []):
        reply = mel.post(f"/projects/{desk.pk}/dataset-versions", {"alpha": alpha})
        assert (reply.status, reply.code) == (400, "bad_request"), alpha
    assert not DatasetVersion.objects.exists()
