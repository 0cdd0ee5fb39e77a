/** Where cells lie in a work area: a grid, or a few large ones over a strip of small ones. Pure. */
import type { Rect } from "./mask";

const GAP = 8;
const STRIP_HEIGHT = 118;

/** ``count`` equal cells in rows; 8 become 2 rows of 4 in a wide area, unless ``wanted`` says how many are in a row. */
export function gridCells(count: number, width: number, height: number, wanted?: number): Rect[] {
  const columns = Math.max(1, wanted ?? bestColumns(count, width, height));
  const rows = Math.ceil(count / columns);
  const w = (width - GAP * (columns + 1)) / columns, h = (height - GAP * (rows + 1)) / rows;
  return Array.from({ length: count }, (_, i) => ({ x: GAP + (i % columns) * (w + GAP), y: GAP + Math.floor(i / columns) * (h + GAP), width: w, height: h }));
}

/** ``large`` cells side by side with ``small`` ones in a strip below. */
export function stripCells(large: number, small: number, width: number, height: number): { large: Rect[]; small: Rect[] } {
  const strip = Math.min(STRIP_HEIGHT, height * 0.25);
  const top = height - strip - 2 * GAP;
  const w = (width - GAP * (large + 1)) / large;
  const s = Math.min(strip * 1.3, (width - GAP * (small + 1)) / Math.max(1, small));
  return {
    large: Array.from({ length: large }, (_, i) => ({ x: GAP + i * (w + GAP), y: GAP, width: w, height: top - GAP })),
    small: Array.from({ length: small }, (_, i) => ({ x: GAP + i * (s + GAP), y: top + GAP, width: s, height: strip })),
  };
}

/** The part of a photo around a target that has a view's aspect: the target fills about two thirds of it. */
export function photoWindow([x, y, width, height]: readonly [number, number, number, number], aspect: number): Rect {
  const margin = 1.5;
  const w = Math.max(width * margin, height * margin * aspect);
  return { x: x + width / 2 - w / 2, y: y + height / 2 - w / aspect / 2, width: w, height: w / aspect };
}

function bestColumns(count: number, width: number, height: number): number {
  let best = 1, bestSize = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const size = Math.min(width / columns, height / rows);
    // A full last row looks better than a slightly larger cell.
    const score = size * (count % columns === 0 ? 1.15 : 1);
    if (score > bestSize) {
      bestSize = score;
      best = columns;
    }
  }
  return best;
}
