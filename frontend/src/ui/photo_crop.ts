/** The photo around a target and the target's outline, cut to any view's shape; what was cut once is kept. */
import type { Rect } from "../tools/mask";
import { MaskLayer } from "./mask_layer";
import { contrastingColour, maskOfCanvas } from "./raster";

const MOST_KEPT = 12;

export interface PhotoCut { picture: HTMLCanvasElement; outline: HTMLCanvasElement }

export class PhotoCrop {
  private readonly kept = new Map<string, PhotoCut>();
  private readonly colour: readonly [number, number, number];

  /** Photo and mask show the same; ``size`` is the photo's in its own pixels. */
  constructor(private readonly photo: HTMLImageElement, private readonly mask: HTMLImageElement, private readonly size: { width: number; height: number }) {
    this.colour = contrastingColour(photo);
  }

  /** The part ``shown`` of the photo (its own pixels) in ``width`` x ``height``; nothing where the photo ends. */
  cut(shown: Rect, width: number, height: number): PhotoCut {
    const key = [shown.x, shown.y, shown.width, width, height].map(Math.round).join();
    let cut = this.kept.get(key);
    if (!cut) {
      if (this.kept.size >= MOST_KEPT) this.kept.clear();
      cut = { picture: this.part(this.photo, shown, width, height), outline: this.outlined(shown, width, height) };
      this.kept.set(key, cut);
    }
    return cut;
  }

  private part(of: HTMLImageElement, shown: Rect, width: number, height: number): HTMLCanvasElement {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    const part = width / shown.width;
    context.imageSmoothingQuality = "high";
    context.drawImage(of, -shown.x * part, -shown.y * part, this.size.width * part, this.size.height * part);
    return canvas;
  }

  private outlined(shown: Rect, width: number, height: number): HTMLCanvasElement {
    const mask = maskOfCanvas(this.part(this.mask, shown, width, height));
    const layer = new MaskLayer(width, height, this.colour);
    layer.draw(mask, mask.bounds, Math.max(1.5, width / 240), 0);
    return layer.canvas;
  }
}
