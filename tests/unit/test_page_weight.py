"""What an annotator's page loads before its 3D viewer, and what only comes when somebody asks for it."""

from __future__ import annotations

from benchmarks.page_weight import closure, gzipped_bytes, manifest

BEFORE_VIEWER_BYTES = 180_000
WITH_VIEWER_BYTES = 260_000
WORK, PICK, SPLATS = "src/work.ts", "src/stages/pick.ts", "src/viewer/splats.ts"


def test_the_work_page_is_light_before_the_viewer_and_has_no_part_of_it() -> None:
    first = closure(WORK)
    assert gzipped_bytes(first) <= BEFORE_VIEWER_BYTES
    heaviest = max(closure(PICK) - first, key=lambda chunk: gzipped_bytes([chunk]))
    assert gzipped_bytes([heaviest]) > 50_000, "three.js is in the viewer's share, not in the page's"


def test_picking_loads_the_viewer_and_no_splats() -> None:
    pick = closure(WORK) | closure(PICK)
    assert gzipped_bytes(pick) <= WITH_VIEWER_BYTES
    assert gzipped_bytes(closure(SPLATS) - pick) > 500_000, "the splat renderer is the heaviest part of all"
    reached_when_asked = {name for chunk in pick for name in manifest()[chunk].get("dynamicImports", [])}
    assert SPLATS in reached_when_asked and SPLATS not in pick
