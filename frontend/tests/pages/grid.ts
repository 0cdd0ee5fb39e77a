/** Shows task after task in the real grid, as a person's day would, and tells what the graphics card still holds. */
import "../../src/ui/app.css";
import { gridCells, stripCells } from "../../src/tools/cell_layout";
import type { Rect } from "../../src/tools/mask";
import type { CellLook } from "../../src/viewer/cell";
import { CellGrid } from "../../src/viewer/cell_grid";

const LOOKS: readonly CellLook[] = ["clay", "normals", "colour", "splat"];
const SPLATS_EVERY = 40;

interface Held { geometries: number; textures: number; programs: number; calls: number; triangles: number }
interface Files { mesh: string; preview: string; splat: string }

let drawn = (): void => undefined;
let large: number | null = null;
let ids: number[] = [];
const grid = new CellGrid({ layout: () => place(), clicked: () => undefined, drawn: () => drawn(), changed: () => undefined });
const box = document.getElementById("box") as HTMLElement;
Object.assign(box.style, { position: "relative", width: "400px", height: "200px" });
box.append(grid.element);

function place(): void {
  const { clientWidth, clientHeight } = grid.element;
  const rects = large === null ? gridCells(ids.length, clientWidth, clientHeight) : [stripCells(1, 1, clientWidth, clientHeight).large[0] as Rect];
  grid.place((large === null ? ids : [large]).map((id, i) => ({ id, rect: rects[i] as Rect, isLarge: large !== null })));
}

const frame = () => new Promise<void>((resolve) => { drawn = resolve; grid.redraw(); });

/** One task: previews in the grid, another look, one of them large, sometimes splats; then it is over. */
async function task(number: number, files: readonly Files[]): Promise<Held> {
  ids = files.map((_, i) => number * files.length + i);
  large = null;
  await Promise.all(grid.show(files.map(({ mesh, preview, splat }, i) => ({ id: ids[i] as number, mesh_url: mesh, preview_url: preview, splat_url: splat, pose: null })), null));
  place();
  await frame();
  const { calls, triangles } = grid.counts;
  grid.setLook(LOOKS[number % SPLATS_EVERY === 3 ? 3 : number % 3] as CellLook);
  large = ids[number % ids.length] as number;
  place();
  while (grid.cell(large)?.detail !== "full") await new Promise((resolve) => setTimeout(resolve, 5));
  while (grid.look === "splat" && grid.cell(large)?.state === "loading splats…") await new Promise((resolve) => setTimeout(resolve, 5));
  await frame();
  ids = [];
  large = null;
  grid.clear();
  await frame();
  const { memory, programs } = grid.renderer.gl.info;
  return { geometries: memory.geometries, textures: memory.textures, programs: programs?.length ?? 0, calls, triangles };
}

async function tasks(first: number, howMany: number, files: readonly Files[]): Promise<Held[]> {
  const held: Held[] = [];
  for (let i = 0; i < howMany; i++) held.push(await task(first + i, files));
  return held;
}

Object.assign(window, { __grid: { tasks } });
document.documentElement.dataset.ready = "1";
