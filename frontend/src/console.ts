/** Entry of the console's pages: curves that live, and small candidate grids, wherever the server put their places. */
import "./ui/guide.css";
import { failureText } from "./net/api";
import type { ViewedCell } from "./viewer/grid_viewer";

async function mountGrid(box: HTMLElement): Promise<void> {
  const { cells, columns } = JSON.parse(box.querySelector("script")?.textContent ?? '{"cells":[]}') as { cells: ViewedCell[]; columns?: number };
  box.classList.add("candid8", "viewer-box");
  box.classList.toggle("grid", cells.length > 4);
  try {
    const { GridViewer } = await import("./viewer/grid_viewer");
    await new GridViewer(box, columns ? { columns } : {}).show(cells);
  } catch (error) {
    box.textContent = failureText(error);
  }
}

/** uPlot asks for the browser's language when it is loaded, and some headless browsers answer with a name that no Intl knows. */
function mendLanguage(): void {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en-US" });
  }
}

async function mountCurves(boxes: NodeListOf<HTMLElement>): Promise<void> {
  if (boxes.length === 0) return;
  mendLanguage();
  const { mountCurve } = await import("./ui/curve");
  for (const box of boxes) mountCurve(box);
}

void mountCurves(document.querySelectorAll<HTMLElement>("[data-candid8-curve]"));
for (const box of document.querySelectorAll<HTMLElement>("[data-candid8-grid]")) void mountGrid(box);
