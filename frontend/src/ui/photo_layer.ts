/** The photo over the cells of a 3D view, each cell's part at the same place and size as the candidate below it. */
import { h } from "../core/dom";
import type { Rect } from "../tools/mask";
import type { PhotoCrop } from "./photo_crop";

/** ``shown`` is the part of the photo that belongs into ``rect``; ``opacity`` is the picture's, the outline is always whole. */
export interface PhotoPlace { rect: Rect; shown: Rect; opacity: number; hasOutline: boolean }

export class PhotoLayer {
  readonly element = h("canvas", { class: "photo-over", role: "img", hidden: true });

  draw(crop: PhotoCrop | null, places: readonly PhotoPlace[], label: string): void {
    const canvas = this.element;
    canvas.hidden = !crop || places.length === 0;
    canvas.dataset.places = String(places.length);
    canvas.setAttribute("aria-label", label);
    if (!crop || canvas.hidden) return;
    const box = canvas.parentElement as HTMLElement, ratio = Math.min(2, devicePixelRatio);
    const width = Math.round(box.clientWidth * ratio), height = Math.round(box.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    context.clearRect(0, 0, width, height);
    for (const { rect, shown, opacity, hasOutline } of places) {
      const [x, y, w, h] = [rect.x, rect.y, rect.width, rect.height].map((v) => Math.round(v * ratio)) as [number, number, number, number];
      const { picture, outline } = crop.cut(shown, w, h);
      context.globalAlpha = opacity;
      if (opacity > 0) context.drawImage(picture, x, y);
      context.globalAlpha = 1;
      if (hasOutline) context.drawImage(outline, x, y);
    }
  }
}
