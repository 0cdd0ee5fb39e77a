/** Entry of the console's pages: curves that live, and small candidate grids, wherever the server put their places. */
import { failureText } from "./net/api";
import { mountCurve } from "./ui/curve";
import type { ViewedCell } from "./viewer/grid_viewer";

async function mountGrid(box: HTMLElement): Promise<void> {
  const { cells } = JSON.parse(box.querySelector("script")?.textContent ?? '{"cells":[]}') as { cells: ViewedCell[] };
  box.classList.add("candid8", "viewer-box");
  box.classList.toggle("grid", cells.length > 4);
  try {
    const { GridViewer } = await import("./viewer/grid_viewer");
    await new GridViewer(box).show(cells);
  } catch (error) {
    box.textContent = failureText(error);
  }
}

for (const box of document.querySelectorAll<HTMLElement>("[data-candid8-curve]")) mountCurve(box);
for (const box of document.querySelectorAll<HTMLElement>("[data-candid8-grid]")) void mountGrid(box);
