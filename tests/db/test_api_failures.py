"""When we fail: the person gets a number, the log gets the traceback, and nobody gets our insides."""

from __future__ import annotations

import logging
import sys

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.view import ApiView
from annotate.urls import handler400, handler403, handler404, handler500  # noqa: F401  (Django reads them here)
from engine.models import Image
from tests import factories
from tests.people import people_of, person
from tests.web import Browser

pytestmark = pytest.mark.django_db

SECRET = "the password of the database"


class FailingView(ApiView):
    def get(self, request: Request) -> Response:
        raise RuntimeError(SECRET)


def failing_page(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(SECRET)


urlpatterns = [
    path("api/v1/fails", FailingView.as_view()),
    path("fails", failing_page),
    path("api/v1/raw", failing_page),
]


def test_an_unexpected_failure_of_the_api_is_a_problem_with_a_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(ROOT_URLCONF=sys.modules[__name__]), caplog.at_level(logging.ERROR):
        reply = Browser(person("ana")).get("/fails")
    assert (reply.status, reply.code) == (500, "internal_error") and SECRET not in str(reply.body)
    [record] = [record for record in caplog.records if record.name == "annotate.api.problems"]
    assert record.failure in reply.body["detail"]  # type: ignore[attr-defined]  # given as extra
    assert record.exc_info is not None and SECRET in str(record.exc_info[1])


def test_an_unexpected_failure_elsewhere_is_a_plain_page_or_a_problem() -> None:
    with override_settings(ROOT_URLCONF=sys.modules[__name__]):
        client = Client(raise_request_exception=False)
        page = client.get("/fails")
        reply = Browser().get("/raw")
    assert (
        page.status_code == 500
        and SECRET not in page.content.decode()
        and "number of this failure" in page.content.decode()
    )
    assert (reply.status, reply.code) == (500, "internal_error") and SECRET not in str(reply.body)


def test_what_is_nowhere_is_a_page_for_people_and_a_problem_for_programs() -> None:
    page = Client().get("/nowhere")
    assert page.status_code == 404 and "text/html" in page.headers["Content-Type"]
    assert Browser().get("/nowhere").code == "not_found"


def test_a_store_that_does_not_answer_is_503_with_a_time_to_try_again() -> None:
    desk = factories.make_project()
    lea = Browser(people_of(desk).lea)
    with override_settings(S3_ENDPOINT_URL="http://127.0.0.1:9"):
        reply = lea.upload(f"/projects/{desk.pk}/images", file=factories.photo_bytes())
    assert (reply.status, reply.code) == (503, "store_unavailable") and int(reply.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in reply.body["detail"]
    assert not Image.objects.exists()


def test_a_log_in_page_that_grew_old_says_what_to_do() -> None:
    client = Client(enforce_csrf_checks=True)
    page = client.post("/login", {"username": "ana", "password": "x"})
    assert page.status_code == 403 and "Load the page again" in page.content.decode()
