/** Draws a mask as a tint with a solid outline into its own canvas, only where it changed. */
import type { Mask, Rect } from "../tools/mask";
import { paintCells, painted } from "../tools/mask_paint";
import type { Colour, Ink } from "../tools/mask_paint";

const TINT_ALPHA = 77; // 30 %

export class MaskLayer {
  readonly canvas = document.createElement("canvas");
  /** How many cells were painted so far: what a stroke costs is told by this, not by a clock. */
  numPainted = 0;
  private readonly context: CanvasRenderingContext2D;

  /** ``window`` is the part of the mask that the canvas shows; without it, all. */
  constructor(width: number, height: number, private readonly colour: Colour, readonly window: Rect = { x: 0, y: 0, width, height }) {
    this.canvas.width = Math.max(1, this.window.width);
    this.canvas.height = Math.max(1, this.window.height);
    this.context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
  }

  /** ``thickness`` is the outline's, in cells of the mask; a tint alpha of 0 leaves the outline alone. */
  draw(mask: Mask, rect: Rect, thickness: number, tintAlpha = TINT_ALPHA, edgeAlpha = 255, line = 0): void {
    const ink: Ink = { colour: this.colour, thickness, tintAlpha, edgeAlpha, line };
    const dirty = painted(mask, rect, ink);
    if (!dirty) return;
    const image = this.context.createImageData(dirty.width, dirty.height);
    this.numPainted += paintCells(mask, dirty, ink, image.data);
    this.context.putImageData(image, dirty.x - this.window.x, dirty.y - this.window.y);
  }

  clear(): void {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}
