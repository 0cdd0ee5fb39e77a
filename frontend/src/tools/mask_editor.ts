/** The photo with the mask over it: draws, zooms, and turns pointer gestures into edits of the mask. */
import { h } from "../core/dom";
import type { Edit } from "../core/history";
import { MaskLayer } from "../ui/mask_layer";
import { contrastingColour } from "../ui/raster";
import { token } from "../ui/theme";
import { clip, fillPolygon, fillRect, Mask, stroke, union, workingSize } from "./mask";
import type { Rect } from "./mask";
import { fit, toPicture, zoom } from "./view_window";
import type { ViewWindow } from "./view_window";

export type Tool = "box" | "polygon" | "brush" | "eraser";
type Point = [number, number];

/** A stroke is also a hint for the assisted refinement: surely object, or surely not. */
export interface Hint { points: Point[]; radius: number; value: 0 | 1 }
export interface Suggestion { mask: Mask; layer: MaskLayer; at: Point }

export const WORKING_PX = 2048;
const OUTLINE_PX = 2;
const CLOSE_PX = 9;
const RAIL_PX = 144;

export interface EditorListener { edited: (edit: Edit) => void; changed: () => void }

export class MaskEditor {
  readonly element: HTMLElement;
  tool: Tool = "box";
  brushRadius_px = 14;
  isBare = false;
  isBusy = false;
  mask = new Mask(1, 1);
  box: Rect | null = null;
  hints: readonly Hint[] = [];
  polygon: Point[] = [];
  suggestions: Suggestion[] = [];
  taken: MaskLayer[] = [];
  view: ViewWindow = { scale: 1, x: 0, y: 0 };
  private readonly canvas = h("canvas", { class: "mask-canvas", tabindex: 0, "aria-label": "The photo. Draw the object's mask here." });
  private layer: MaskLayer | null = null;
  private colour: [number, number, number] = [255, 255, 255];
  private photo: HTMLImageElement | null = null;
  private small: ImageBitmap | null = null;
  private pointer: Point | null = null;
  private spaceHeld = false;
  private drag: { kind: "pan" | "box" | "stroke"; from: Point; last: Point; before: Mask | null; rect: Rect | null; points: Point[] } | null = null;
  private frame = 0;
  private readonly observer = new ResizeObserver(() => this.resized());

  constructor(private readonly listener: EditorListener) {
    this.element = h("div", { class: "viewport" }, this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointercancel", (event) => this.up(event));
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; this.redraw(); });
    this.canvas.addEventListener("dblclick", () => this.closePolygon());
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0015), [event.offsetX, event.offsetY]);
    }, { passive: false });
    this.observer.observe(this.element);
  }

  async load(photo: HTMLImageElement): Promise<void> {
    const size = workingSize(photo.naturalWidth, photo.naturalHeight, WORKING_PX);
    this.photo = photo;
    this.small = await createImageBitmap(photo, { resizeWidth: size.width, resizeHeight: size.height, resizeQuality: "high" });
    this.colour = contrastingColour(photo);
    this.layer = new MaskLayer(size.width, size.height, this.colour);
    this.mask = new Mask(size.width, size.height);
    this.zoomToFit();
  }

  clear(): void {
    this.small?.close();
    this.photo = this.small = this.layer = this.box = this.drag = null;
    this.mask = new Mask(1, 1);
    this.hints = [];
    this.polygon = [];
    this.suggestions = [];
    this.taken = [];
    this.redraw();
  }

  layerFor(mask: Mask, colour: "suggestion" | "taken"): MaskLayer {
    const layer = new MaskLayer(mask.width, mask.height, colour === "suggestion" ? this.colour : [255, 255, 255]);
    layer.draw(mask, mask.bounds, Math.max(2, OUTLINE_PX / this.view.scale), colour === "suggestion" ? 26 : 0);
    return layer;
  }

  /** Changes the mask as one edit that can be undone. ``change`` returns what it touched. */
  apply(label: string, change: (mask: Mask) => Rect | null, after: { box?: Rect | null; hints?: readonly Hint[] } = {}): void {
    const before = new Mask(this.mask.width, this.mask.height, this.mask.data.slice());
    const rect = change(this.mask);
    if (rect) this.record(label, before, rect, after);
  }

  replaceMask(label: string, mask: Mask, after: { box?: Rect | null; hints?: readonly Hint[] } = {}): void {
    this.apply(label, (own) => { own.data.set(mask.data); return own.bounds; }, after);
  }

  /** A new target begins; not an edit of the old one. */
  reset(mask?: Mask): void {
    if (mask) this.mask.data.set(mask.data);
    else this.mask.data.fill(0);
    this.box = null;
    this.hints = [];
    this.polygon = [];
    this.paintMask(this.mask.bounds);
  }

  /** The strokes so far as a mask of their kind, or null when there are none. */
  hintMask(value: 0 | 1): Mask | null {
    const hints = this.hints.filter((hint) => hint.value === value);
    if (!hints.length) return null;
    const mask = new Mask(this.mask.width, this.mask.height);
    for (const hint of this.hints) {
      hint.points.forEach((point, i) => stroke(mask, hint.points[Math.max(0, i - 1)] as Point, point, hint.radius, hint.value === value ? 1 : 0));
    }
    return mask;
  }

  closePolygon(): void {
    const points = this.polygon;
    this.polygon = [];
    if (points.length >= 3) this.apply("Polygon", (mask) => fillPolygon(mask, points, 1));
    this.changedPolygon();
  }

  removePoint(): void {
    this.polygon = this.polygon.slice(0, -1);
    this.changedPolygon();
  }

  cancelPolygon(): void {
    this.polygon = [];
    this.changedPolygon();
  }

  holdSpace(isHeld: boolean): void {
    this.spaceHeld = isHeld;
    this.canvas.classList.toggle("panning", isHeld);
  }

  zoomBy(factor: number, at: Point = [this.element.clientWidth / 2, this.element.clientHeight / 2]): void {
    this.view = zoom(this.view, factor, at, fit(this.mask, this.screen(), RAIL_PX).scale);
    this.paintMask(this.mask.bounds);
  }

  zoomToFit(): void {
    this.view = fit(this.mask, this.screen(), RAIL_PX);
    this.paintMask(this.mask.bounds);
  }

  redraw(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  private screen = () => ({ width: this.element.clientWidth, height: this.element.clientHeight });

  private resized(): void {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.element.clientWidth * ratio);
    this.canvas.height = Math.round(this.element.clientHeight * ratio);
    this.zoomToFit();
  }

  private changedPolygon(): void {
    this.redraw();
    this.listener.changed();
  }

  private record(label: string, before: Mask, rect: Rect, after: { box?: Rect | null; hints?: readonly Hint[] }): void {
    const old = { cells: before.cut(rect), box: this.box, hints: this.hints };
    const young = { cells: this.mask.cut(rect), box: after.box === undefined ? this.box : after.box, hints: after.hints ?? this.hints };
    const put = (state: typeof old) => {
      this.mask.paste(rect, state.cells);
      this.box = state.box;
      this.hints = state.hints;
      this.paintMask(rect);
      this.listener.changed();
    };
    put(young);
    this.listener.edited({ label, undo: () => put(old), redo: () => put(young) });
  }

  private paintMask(rect: Rect): void {
    this.layer?.draw(this.mask, rect, Math.max(1, OUTLINE_PX / this.view.scale));
    this.redraw();
  }

  private at(event: PointerEvent): Point {
    return toPicture(this.view, [event.offsetX, event.offsetY]);
  }

  private down(event: PointerEvent): void {
    if (!this.photo) return;
    this.canvas.focus({ preventScroll: true });
    const at = this.at(event);
    const isPan = event.button === 1 || this.spaceHeld;
    if (!isPan && (event.button !== 0 || this.isBusy)) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    if (!isPan && this.tool === "polygon") {
      this.addPoint(at);
      return;
    }
    const kind = isPan ? "pan" : this.tool === "box" ? "box" : "stroke";
    const before = kind === "stroke" ? new Mask(this.mask.width, this.mask.height, this.mask.data.slice()) : null;
    this.drag = { kind, from: kind === "pan" ? [event.offsetX, event.offsetY] : at, last: at, before, rect: null, points: [] };
    if (kind === "stroke") this.strokeTo(at);
  }

  private move(event: PointerEvent): void {
    this.pointer = [event.offsetX, event.offsetY];
    const drag = this.drag;
    if (drag?.kind === "pan") {
      this.view = { ...this.view, x: this.view.x + event.offsetX - drag.from[0], y: this.view.y + event.offsetY - drag.from[1] };
      drag.from = [event.offsetX, event.offsetY];
    } else if (drag?.kind === "stroke") {
      // The browser bundles moves; the curve needs all of them.
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const each of moves.length ? moves : [event]) this.strokeTo(this.at(each));
    } else if (drag) drag.last = this.at(event);
    this.redraw();
  }

  private up(event: PointerEvent): void {
    const drag = this.drag;
    this.drag = null;
    if (drag?.kind === "box") this.finishBox(drag.from, this.at(event));
    if (drag?.kind === "stroke" && drag.before && drag.rect) {
      const hint: Hint = { points: drag.points, radius: this.brushRadius_px / this.view.scale, value: this.tool === "eraser" ? 0 : 1 };
      this.record(this.tool === "eraser" ? "Erase" : "Brush", drag.before, drag.rect, { hints: [...this.hints, hint] });
    }
    this.redraw();
  }

  private strokeTo(at: Point): void {
    const drag = this.drag;
    if (!drag) return;
    const rect = stroke(this.mask, drag.last, at, this.brushRadius_px / this.view.scale, this.tool === "eraser" ? 0 : 1);
    drag.points.push(at);
    drag.last = at;
    drag.rect = union(drag.rect, rect);
    if (rect) this.paintMask(rect);
  }

  private addPoint(at: Point): void {
    const first = this.polygon[0];
    if (first && this.polygon.length >= 3 && Math.hypot(at[0] - first[0], at[1] - first[1]) * this.view.scale < CLOSE_PX) this.closePolygon();
    else {
      const last = this.polygon.at(-1);
      // The second press of a double click is the same corner.
      if (!last || Math.hypot(at[0] - last[0], at[1] - last[1]) * this.view.scale > 2) this.polygon = [...this.polygon, at];
      this.changedPolygon();
    }
  }

  private finishBox(a: Point, b: Point): void {
    const rect = clip({ x: Math.min(a[0], b[0]), y: Math.min(a[1], b[1]), width: Math.abs(a[0] - b[0]), height: Math.abs(a[1] - b[1]) }, this.mask);
    if (!rect || rect.width * this.view.scale < 5 || rect.height * this.view.scale < 5) return;
    this.apply("Box", (mask) => { mask.data.fill(0); fillRect(mask, rect, 1); return mask.bounds; }, { box: rect, hints: [] });
  }

  private draw(): void {
    const context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    const ratio = devicePixelRatio;
    const { scale, x, y } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.photo || !this.small || !this.layer) return;
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    const { width, height } = this.mask;
    context.imageSmoothingEnabled = scale < 4;
    context.imageSmoothingQuality = "high";
    context.drawImage(scale > 1.2 ? this.photo : this.small, 0, 0, width * scale, height * scale);
    if (this.isBare) return;
    for (const layer of this.taken) context.drawImage(layer.canvas, 0, 0, width * scale, height * scale);
    if (this.mask.count() === 0) this.drawSuggestions(context, scale);
    context.drawImage(this.layer.canvas, 0, 0, width * scale, height * scale);
    this.drawGesture(context, scale);
  }

  private drawSuggestions(context: CanvasRenderingContext2D, scale: number): void {
    const accent = token("--accent"), onAccent = token("--on-accent");
    context.font = `600 13px ${token("--font")}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    this.suggestions.forEach(({ layer, at }, i) => {
      context.drawImage(layer.canvas, 0, 0, this.mask.width * scale, this.mask.height * scale);
      context.fillStyle = accent;
      context.beginPath();
      context.arc(at[0] * scale, at[1] * scale, 11, 0, 2 * Math.PI);
      context.fill();
      context.fillStyle = onAccent;
      if (i < 9) context.fillText(String(i + 1), at[0] * scale, at[1] * scale + 0.5);
    });
  }

  private drawGesture(context: CanvasRenderingContext2D, scale: number): void {
    context.strokeStyle = `rgb(${this.colour.join(" ")})`;
    context.fillStyle = context.strokeStyle;
    context.lineWidth = 2;
    if (this.drag?.kind === "box") {
      const [ax, ay] = this.drag.from, [bx, by] = this.drag.last;
      context.setLineDash([6, 4]);
      context.strokeRect(Math.min(ax, bx) * scale, Math.min(ay, by) * scale, Math.abs(ax - bx) * scale, Math.abs(ay - by) * scale);
      context.setLineDash([]);
    }
    if (this.polygon.length) {
      context.beginPath();
      this.polygon.forEach(([px, py], i) => (i ? context.lineTo(px * scale, py * scale) : context.moveTo(px * scale, py * scale)));
      if (this.pointer) context.lineTo(this.pointer[0] - this.view.x, this.pointer[1] - this.view.y);
      context.stroke();
      for (const [px, py] of this.polygon) context.fillRect(px * scale - 3, py * scale - 3, 6, 6);
    }
    if (this.pointer && (this.tool === "brush" || this.tool === "eraser")) {
      context.lineWidth = 1.5;
      context.strokeStyle = token("--scene-mark");
      context.beginPath();
      context.arc(this.pointer[0] - this.view.x, this.pointer[1] - this.view.y, this.brushRadius_px, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
