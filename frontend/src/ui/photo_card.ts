/** The photo with the target's outline: always in sight, at the top right; a click shows it large. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { PhotoRef } from "../net/contract";
import { Mask, resize, workingSize } from "../tools/mask";
import { MaskLayer } from "./mask_layer";
import { contrastingColour } from "./raster";

const LARGE_PX = 1600;
const DIM_ALPHA = 128;

export class PhotoCard {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { width: 592, height: 352, role: "img", "aria-label": t("The photo with the object's outline") });
  private readonly caption = h("div", { class: "caption" });
  private photo: HTMLImageElement | null = null;
  private mask: Mask | null = null;

  constructor(private readonly root: Element) {
    const button = h("button", { type: "button", title: t("Show the photo large"), on: { click: () => this.enlarge() } }, this.canvas);
    this.element = h("div", { class: "photo-card" }, button, this.caption);
  }

  show(about: PhotoRef, photo: HTMLImageElement, mask: Mask | null, note = ""): void {
    this.photo = photo;
    this.mask = mask;
    replace(this.caption, h("span", { text: note || about.name, title: about.attribution }), h("span", { text: `${about.width} × ${about.height}` }));
    this.redraw();
  }

  setMask(mask: Mask): void {
    this.mask = mask;
    this.redraw();
  }

  clear(): void {
    this.photo = null;
    this.mask = null;
    replace(this.caption);
    this.canvas.getContext("2d")?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  private redraw(): void {
    if (this.photo) paint(this.canvas, this.photo, this.mask);
  }

  private enlarge(): void {
    if (!this.photo) return;
    const size = workingSize(this.photo.naturalWidth, this.photo.naturalHeight, LARGE_PX);
    const canvas = h("canvas", { ...size, on: { click: () => dialog.close() } });
    const dialog = h("dialog", { class: "zoomed", "aria-label": t("The photo") }, canvas);
    paint(canvas, this.photo, this.mask);
    dialog.addEventListener("close", () => dialog.remove());
    this.root.append(dialog);
    dialog.showModal();
  }
}

/** Photo and mask, as large as fits with the photo's aspect, in the middle of the canvas: outlined, the rest dimmed. */
export function paint(canvas: HTMLCanvasElement, photo: HTMLImageElement, mask: Mask | null): void {
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const part = Math.min(canvas.width / photo.naturalWidth, canvas.height / photo.naturalHeight);
  // A photo of one row of pixels still has a row here.
  const width = Math.max(1, Math.round(photo.naturalWidth * part)), height = Math.max(1, Math.round(photo.naturalHeight * part));
  const left = Math.round((canvas.width - width) / 2), top = Math.round((canvas.height - height) / 2);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, left, top, width, height);
  const shown = mask && resize(mask, width, height);
  if (!shown || shown.count() === 0) return;
  context.drawImage(dimmed(shown), left, top);
  const layer = new MaskLayer(width, height, contrastingColour(photo));
  layer.draw(shown, shown.bounds, Math.max(3, Math.round(canvas.width / 160)), 0);
  context.drawImage(layer.canvas, left, top);
}

/** A veil over everything but the object, so that a small one is found at a glance. */
function dimmed(mask: Mask): HTMLCanvasElement {
  const outside = new Mask(mask.width, mask.height, mask.data.map((cell) => 1 - cell));
  const veil = new MaskLayer(mask.width, mask.height, [0, 0, 0]);
  veil.draw(outside, outside.bounds, 0, DIM_ALPHA, DIM_ALPHA);
  return veil.canvas;
}
