/** The pixels of a mask's picture: a tint, a coloured outline, and beside it a white and a black line that no colour blindness hides. Pure. */
import { clip, isEdge } from "./mask";
import type { Mask, Rect } from "./mask";

export type Colour = readonly [red: number, green: number, blue: number];

export interface Ink {
  colour: Colour;
  /** Of the outline, in cells of the mask. */
  thickness: number;
  tintAlpha: number;
  edgeAlpha: number;
  /** Thickness of the white line within and the black line without; 0 leaves them out. */
  line: number;
}

const WHITE_ALPHA = 215;
const BLACK_ALPHA = 190;

/** What has to be painted anew when ``rect`` changed: the outline around it moves too. Null when nothing is in sight. */
export function painted(mask: Mask, rect: Rect, ink: Ink): Rect | null {
  const margin = Math.ceil(ink.thickness + ink.line) + 1;
  return clip({ x: rect.x - margin, y: rect.y - margin, width: rect.width + 2 * margin, height: rect.height + 2 * margin }, mask);
}

/** Paints the cells of ``rect``, which lies in the mask, into RGBA that is all zero; returns how many cells it looked at. */
export function paintCells(mask: Mask, rect: Rect, ink: Ink, rgba: Uint8ClampedArray): number {
  const [red, green, blue] = ink.colour;
  const inner = ink.thickness + ink.line;
  let at = 0;
  const put = (r: number, g: number, b: number, alpha: number): void => {
    rgba[at] = r;
    rgba[at + 1] = g;
    rgba[at + 2] = b;
    rgba[at + 3] = alpha;
  };
  for (let y = rect.y; y < rect.y + rect.height; y++) {
    for (let x = rect.x; x < rect.x + rect.width; x++, at += 4) {
      if (mask.data[y * mask.width + x] === 0) {
        if (ink.line > 0 && isNear(mask, x, y, ink.line)) put(0, 0, 0, BLACK_ALPHA);
      } else if (isEdge(mask, x, y, ink.thickness)) put(red, green, blue, ink.edgeAlpha);
      else if (ink.line > 0 && isEdge(mask, x, y, inner)) put(255, 255, 255, WHITE_ALPHA);
      else put(red, green, blue, ink.tintAlpha);
    }
  }
  return rect.width * rect.height;
}

/** Is this empty cell within ``reach`` cells of the mask? Looked up along eight directions. */
function isNear(mask: Mask, x: number, y: number, reach: number): boolean {
  const t = Math.max(1, Math.round(reach));
  const d = Math.max(1, Math.round(reach * 0.7));
  return (
    mask.has(x - t, y) || mask.has(x + t, y) || mask.has(x, y - t) || mask.has(x, y + t) ||
    mask.has(x - d, y - d) || mask.has(x + d, y - d) || mask.has(x - d, y + d) || mask.has(x + d, y + d)
  );
}
