"""docker-compose.yml and the supervisor describe the same processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.stack.processes import (
    APP_PROCESSES,
    ENVIRONMENT_NAMES,
    STEPS,
    AppProcess,
    Step,
    source_worker,
)

PROJECT = Path(__file__).resolve().parents[2]
SERVERS = {"postgres", "valkey", "s3"}
ON_CPU = "-on-cpu"
SOURCE_WORKER, SOURCE_NAME = "worker-source", "${SOURCE_NAME:-unnamed}"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    found: dict[str, Any] = compose["services"]
    return found


def variants_of(process: AppProcess) -> list[str]:
    return [process.name, process.name + ON_CPU] if process.uses_gpu else [process.name]


def test_compose_has_the_supervisors_steps_and_processes_and_no_other(services: dict[str, Any]) -> None:
    steps = {step.name for step in STEPS}
    expected = (
        SERVERS
        | steps
        | {SOURCE_WORKER}
        | {name for process in APP_PROCESSES for name in variants_of(process)}
    )
    assert set(services) == expected


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_each_step_runs_once_with_the_same_command_in_both(services: dict[str, Any], step: Step) -> None:
    service = services[step.name]
    expected = step.command(manage=("python", "manage.py"), origins=["${WEB_ORIGIN:-http://localhost:8000}"])
    assert tuple(service["command"]) == expected
    assert service["restart"] == "no" and set(service["environment"]) == set(ENVIRONMENT_NAMES)
    assert set(service["depends_on"]) <= SERVERS


@pytest.mark.parametrize("process", APP_PROCESSES, ids=lambda process: process.name)
def test_each_process_runs_the_same_command_in_both(services: dict[str, Any], process: AppProcess) -> None:
    expected = process.command(python="python", host="0.0.0.0", port=8000, home="/var/lib/candid8")
    for name in variants_of(process):
        assert tuple(services[name]["command"]) == expected, name


@pytest.mark.parametrize("process", APP_PROCESSES, ids=lambda process: process.name)
def test_each_process_gets_the_same_environment_names_in_both(
    services: dict[str, Any], process: AppProcess
) -> None:
    for name in variants_of(process):
        given = services[name]["environment"]
        assert set(given) == {*ENVIRONMENT_NAMES, *process.environment}, name
        assert {key: given[key] for key in process.environment} == dict(process.environment), name


@pytest.mark.parametrize("process", APP_PROCESSES, ids=lambda process: process.name)
def test_only_processes_that_use_a_gpu_reserve_one_and_each_has_a_cpu_twin(
    services: dict[str, Any], process: AppProcess
) -> None:
    service = services[process.name]
    assert ("deploy" in service) == process.uses_gpu
    assert service.get("profiles") == (["gpu"] if process.uses_gpu else None)
    if process.uses_gpu:
        devices = service["deploy"]["resources"]["reservations"]["devices"]
        assert [device["driver"] for device in devices] == ["nvidia"]
        assert services[process.name + ON_CPU]["profiles"] == ["cpu"]
        assert "deploy" not in services[process.name + ON_CPU]


def test_the_worker_of_a_foreign_generator_is_the_supervisors_with_its_name_from_the_environment(
    services: dict[str, Any],
) -> None:
    service, process = services[SOURCE_WORKER], source_worker("NAME")
    expected = process.command(python="python", host="0.0.0.0", port=8000, home="/var/lib/candid8")
    assert [word.replace(SOURCE_NAME, "NAME") for word in service["command"]] == list(expected)
    given = service["environment"]
    assert set(given) == {*ENVIRONMENT_NAMES, *process.environment, "SOURCES_TABLE"}
    assert {key: given[key] for key in process.environment} == dict(process.environment)
    assert given["CANDIDATE_SOURCES"] == services["web"]["environment"]["CANDIDATE_SOURCES"]
    folder = given["SOURCES_TABLE"].removesuffix("/sources.toml")
    assert service["volumes"] == [f"{folder}:{folder}:ro"]
    assert service["profiles"] == ["ports"] and "deploy" in service


def test_no_process_starts_before_every_step_has_succeeded(services: dict[str, Any]) -> None:
    for name in (SOURCE_WORKER, *(each for process in APP_PROCESSES for each in variants_of(process))):
        waits_for = services[name]["depends_on"]
        for step in STEPS:
            assert waits_for[step.name] == {"condition": "service_completed_successfully"}, name
        assert set(waits_for) >= SERVERS, name


def test_the_example_environment_names_what_the_processes_read() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    named = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(named) == sorted(ENVIRONMENT_NAMES)
