"""Which workers of foreign generators a stack starts, and what its processes are told of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from workers.stack.processes import PATIENT_THREADS, source_worker
from workers.stack.sources import SourcesTableRefused, foreign_sources, sources_environment


def test_each_table_of_the_file_is_a_source_and_without_a_file_there_is_none(tmp_path: Path) -> None:
    table = tmp_path / "sources.toml"
    table.write_text('[trellis]\ninterpreter = "a"\n[sam3d-objects]\ninterpreter = "b"\n')
    assert foreign_sources({"SOURCES_TABLE": str(table)}) == ("trellis", "sam3d-objects")
    assert foreign_sources({}) == foreign_sources({"SOURCES_TABLE": ""}) == ()
    table.write_bytes(b"\xff")
    with pytest.raises(SourcesTableRefused, match="cannot be read"):
        foreign_sources({"SOURCES_TABLE": str(table)})


@pytest.mark.parametrize("name", ["Trellis", "tre_llis", '"-Q gpu"', '"{home}"'])
def test_a_name_that_is_no_queue_is_refused(tmp_path: Path, name: str) -> None:
    table = tmp_path / "sources.toml"
    table.write_text(f'[{name}]\ninterpreter = "a"\n')
    with pytest.raises(SourcesTableRefused, match="is no source"):
        foreign_sources({"SOURCES_TABLE": str(table)})


def test_everybody_may_ask_the_sources_of_this_machine_and_those_of_others() -> None:
    given = {"CANDIDATE_SOURCES": "hi3dgen, trellis", "SOURCES_TABLE": "sources.toml"}
    assert sources_environment(given, ("trellis", "triposg")) == {
        "CANDIDATE_SOURCES": "hi3dgen trellis triposg",
        "SOURCES_TABLE": str(Path.cwd() / "sources.toml"),
    }
    assert sources_environment({}, ()) == {"CANDIDATE_SOURCES": ""}


def test_a_sources_worker_takes_its_queue_alone_one_job_at_a_time() -> None:
    command = source_worker("trellis").command(python="python", host="h", port=1, home="/home")
    options = dict(pairwise(command))
    assert (options["-Q"], options["-c"]) == ("source.trellis", "1")
    assert options["-n"] == "worker-source-trellis@%h"
    assert PATIENT_THREADS.items() <= source_worker("trellis").environment.items()
