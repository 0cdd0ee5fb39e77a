/** Draws a mask as a tint with a solid outline into its own canvas, only where it changed. */
import type { Mask, Rect } from "../tools/mask";
import { isEdge } from "../tools/mask";

const TINT_ALPHA = 77; // 30 %

export class MaskLayer {
  readonly canvas = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D;

  constructor(readonly width: number, readonly height: number, private readonly colour: readonly [number, number, number]) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
  }

  /** ``thickness`` is the outline's, in cells of the mask; a tint alpha of 0 leaves the outline alone. */
  draw(mask: Mask, rect: Rect, thickness: number, tintAlpha = TINT_ALPHA, edgeAlpha = 255): void {
    // A change moves the outline around it too.
    const margin = Math.ceil(thickness) + 1;
    const left = Math.max(0, rect.x - margin), top = Math.max(0, rect.y - margin);
    const right = Math.min(mask.width, rect.x + rect.width + margin), bottom = Math.min(mask.height, rect.y + rect.height + margin);
    if (right <= left || bottom <= top) return;
    const image = this.context.createImageData(right - left, bottom - top);
    const [red, green, blue] = this.colour;
    let at = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++, at += 4) {
        if (mask.data[y * mask.width + x] === 0) continue;
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = isEdge(mask, x, y, thickness) ? edgeAlpha : tintAlpha;
      }
    }
    this.context.putImageData(image, left, top);
  }
}
