/** The photo on the screen: zooms, pans, shows mask, crosshair and what is being drawn, and hands pointers to the editor. */
import { h } from "../core/dom";
import { t } from "../core/language";
import { MaskLayer } from "../ui/mask_layer";
import { canvasOf, contrastingColour } from "../ui/raster";
import { token } from "../ui/theme";
import { Fingers, pressedRadius } from "./fingers";
import { edgeCosts, LiveWire } from "./live_wire";
import { clip, workingSize } from "./mask";
import type { Mask, Rect } from "./mask";
import type { MaskEditor, Point } from "./mask_editor";
import { drawGesture, drawSuggestions } from "./mask_marks";
import type { Suggestion } from "./mask_marks";
import { fit, realPixels, reveal, toPicture, visible, zoom } from "./view_window";
import type { ViewWindow } from "./view_window";

export const WORKING_PX = 2048;
const OUTLINE_PX = 2;
const LINE_PX = 1;
const RAIL_PX = 144;
const CURSOR_MARGIN_PX = 48;
/** Outlines come in a few thicknesses, so that most steps of a zoom need no new outline. */
const THICKNESSES = [1, 2, 3, 4, 6, 8, 12, 16];
const REPAINT_AFTER_MS = 140;
const STEP_PX = { fine: 1, normal: 8, coarse: 48 };
export type StepSize = keyof typeof STEP_PX;
const BACKGROUND_BUTTON = 2, PEN_ERASER_BUTTON = 5;

export class MaskCanvas {
  readonly element: HTMLElement;
  brushRadius_px = 14;
  isBare = false;
  suggestions: Suggestion[] = [];
  taken: MaskLayer[] = [];
  view: ViewWindow = { scale: 1, x: 0, y: 0 };
  /** Where the keys' crosshair stands in the photo; null while the pointer is used. */
  cursor: Point | null = null;
  private readonly canvas = h("canvas", { class: "mask-canvas", tabindex: 0, "aria-label": t("The photo. Draw the object's mask here: arrows move a crosshair, Space acts at it.") });
  private readonly fingers = new Fingers();
  private layer: MaskLayer | null = null;
  private colour: [number, number, number] = [255, 255, 255];
  private photo: HTMLImageElement | null = null;
  private small: ImageBitmap | null = null;
  private pointer: Point | null = null;
  private spaceHeld = false;
  private keyHeld = false;
  private panFrom: Point | null = null;
  private activePointer: number | null = null;
  private thickness = 1;
  private repaintTimer = 0;
  private frame = 0;
  private readonly observer = new ResizeObserver(() => this.resized());

  /** ``changed`` hears of zoom, size of the brush and crosshair; ``isLocked`` keeps the mask from being drawn on. */
  constructor(private readonly editor: MaskEditor, private readonly changed: () => void, private readonly isLocked: () => boolean) {
    this.element = h("div", { class: "viewport" }, this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointercancel", (event) => this.cancelled(event));
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; this.redraw(); });
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("dblclick", () => { if (this.editor.outline.length) this.editor.finishOutline(); });
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
    this.cursor = null;
    this.editor.load(size.width, size.height);
    this.zoomToFit();
  }

  clear(): void {
    this.small?.close();
    this.photo = this.small = this.layer = this.cursor = this.panFrom = this.activePointer = null;
    this.suggestions = [];
    this.taken = [];
    this.redraw();
  }

  /** A picture of another mask, no larger than that mask. */
  layerFor(mask: Mask, kind: "suggestion" | "taken"): MaskLayer {
    const box = mask.box();
    const window = (box && clip({ x: box.x - 20, y: box.y - 20, width: box.width + 40, height: box.height + 40 }, mask)) ?? { x: 0, y: 0, width: 1, height: 1 };
    const layer = new MaskLayer(mask.width, mask.height, kind === "suggestion" ? this.colour : [255, 255, 255], window);
    const thickness = Math.max(2, OUTLINE_PX / this.view.scale);
    if (box) layer.draw(mask, box, thickness, kind === "suggestion" ? 26 : 0, 255, thickness / 2);
    return layer;
  }

  /** The scissors' edges of this photo. */
  makeWire(): LiveWire | null {
    if (!this.small) return null;
    const { width, height } = this.small;
    const context = canvasOf(this.small, width, height).getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
    return new LiveWire(edgeCosts(context.getImageData(0, 0, width, height).data, width, height), width, height);
  }

  get numPainted(): number {
    return this.layer?.numPainted ?? 0;
  }

  focus(): void {
    this.canvas.focus({ preventScroll: true });
  }

  repaint(rect: Rect): void {
    const thickness = this.thickness;
    this.layer?.draw(this.editor.mask, rect, thickness, undefined, undefined, Math.max(1, Math.round((thickness * LINE_PX) / OUTLINE_PX)));
    this.redraw();
  }

  zoomBy(factor: number, at: Point = this.anchor()): void {
    this.setView(zoom(this.view, factor, at, fit(this.editor.mask, this.screen(), RAIL_PX).scale));
  }

  zoomToFit(): void {
    this.setView(fit(this.editor.mask, this.screen(), RAIL_PX));
  }

  zoomToPixels(): void {
    if (this.photo) this.setView(realPixels(this.view, this.editor.mask, this.photo.naturalWidth, devicePixelRatio, this.anchor()));
  }

  panBy(dx: number, dy: number): void {
    this.setView({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
  }

  setBrush(factor: number): void {
    this.brushRadius_px = Math.min(160, Math.max(1, this.brushRadius_px * factor));
    this.redraw();
  }

  /** Moves the crosshair by keys; it draws along while Space is held. */
  moveCursor(right: number, down: number, size: StepSize): void {
    const { mask } = this.editor;
    // A fine step is one cell of the mask, or one pixel of the screen where cells are smaller than that.
    const step = size === "fine" ? Math.max(1, STEP_PX.fine / this.view.scale) : STEP_PX[size] / this.view.scale;
    const [x, y] = this.cursor ?? this.middle();
    this.cursor = this.cursor ? [Math.min(mask.width - 0.5, Math.max(0.5, x + right * step)), Math.min(mask.height - 0.5, Math.max(0.5, y + down * step))] : [x, y];
    this.pointer = null;
    this.setView(reveal(this.view, this.cursor, this.screen(), RAIL_PX, CURSOR_MARGIN_PX));
    this.editor.moveTo(this.cursor, this.radius());
    this.redraw();
  }

  /** Space went down: the tool acts at the crosshair; while the pointer is over the photo, it pans instead. */
  keyPress(isBackground: boolean): void {
    const { editor } = this;
    if (!this.cursor && this.pointer) {
      this.spaceHeld = true;
      this.canvas.classList.add("panning");
      return;
    }
    if (!this.cursor) {
      this.cursor = this.middle();
      this.redraw();
      return;
    }
    if (editor.gesture?.kind === "box") editor.release();
    else if (!this.isLocked() || editor.tool === "point") {
      editor.press(this.cursor, { radius: this.radius(), erases: false, isBackground });
      this.keyHeld = editor.gesture?.kind === "stroke";
    }
    this.redraw();
  }

  keyRelease(): void {
    this.spaceHeld = false;
    this.canvas.classList.remove("panning");
    if (this.keyHeld) this.editor.release();
    this.keyHeld = false;
    this.redraw();
  }

  redraw(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  private screen = () => ({ width: this.element.clientWidth, height: this.element.clientHeight });

  /** What a zoom by keys keeps in place. */
  private anchor(): Point {
    if (this.cursor) return [this.view.x + this.cursor[0] * this.view.scale, this.view.y + this.cursor[1] * this.view.scale];
    return this.pointer ?? [(RAIL_PX + this.element.clientWidth) / 2, this.element.clientHeight / 2];
  }

  private middle(): Point {
    const seen = visible(this.view, this.editor.mask, this.screen());
    return [Math.floor(seen.x + seen.width / 2) + 0.5, Math.floor(seen.y + seen.height / 2) + 0.5];
  }

  private radius(event?: PointerEvent): number {
    return pressedRadius(this.brushRadius_px, event?.pointerType ?? "mouse", event?.pressure ?? 0) / this.view.scale;
  }

  private setView(view: ViewWindow): void {
    this.view = view;
    this.editor.scale = view.scale;
    this.changed();
    this.redraw();
    if (thicknessFor(view.scale) === this.thickness) return;
    clearTimeout(this.repaintTimer);
    this.repaintTimer = window.setTimeout(() => this.repaintAll(), REPAINT_AFTER_MS);
  }

  private repaintAll(): void {
    this.thickness = thicknessFor(this.view.scale);
    this.layer?.clear();
    const box = this.editor.area > 0 ? this.editor.mask.box() : null;
    if (box) this.repaint(box);
    else this.redraw();
  }

  private resized(): void {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.element.clientWidth * ratio);
    this.canvas.height = Math.round(this.element.clientHeight * ratio);
    this.zoomToFit();
  }

  private at(event: PointerEvent): Point {
    return toPicture(this.view, [event.offsetX, event.offsetY]);
  }

  private down(event: PointerEvent): void {
    if (!this.photo) return;
    this.focus();
    event.preventDefault();
    const role = this.fingers.down({ id: event.pointerId, type: event.pointerType, button: event.button, x: event.offsetX, y: event.offsetY }, this.spaceHeld);
    if (role === "ignore") return;
    this.canvas.setPointerCapture(event.pointerId);
    this.cursor = null;
    if (role === "pinch") {
      this.editor.abort();
      this.activePointer = null;
    } else if (role === "pan") this.panFrom = [event.offsetX, event.offsetY];
    else this.press(event);
    this.redraw();
  }

  private press(event: PointerEvent): void {
    const { editor } = this;
    const isBackground = event.altKey || event.button === BACKGROUND_BUTTON;
    const erases = event.button === PEN_ERASER_BUTTON;
    if (event.button !== 0 && !erases && !(isBackground && editor.tool === "point")) return;
    if (this.isLocked() && editor.tool !== "point") return;
    // A pen takes over from the finger that was there first.
    if (editor.gesture) editor.abort();
    this.activePointer = event.pointerId;
    editor.press(this.at(event), { radius: this.radius(event), erases, isBackground });
  }

  private move(event: PointerEvent): void {
    if (event.pointerType === "pen") this.fingers.penNear();
    const pinch = this.fingers.pinch(event.pointerId, event.offsetX, event.offsetY);
    if (pinch) {
      this.zoomBy(pinch.factor, pinch.at);
      this.panBy(pinch.dx, pinch.dy);
      return;
    }
    if (this.fingers.isSilent(event.pointerId)) return;
    this.pointer = [event.offsetX, event.offsetY];
    if (!this.keyHeld && this.editor.gesture?.kind !== "box") this.cursor = null;
    if (this.panFrom) {
      this.panBy(event.offsetX - this.panFrom[0], event.offsetY - this.panFrom[1]);
      this.panFrom = [event.offsetX, event.offsetY];
    } else if (this.activePointer === event.pointerId || !this.editor.gesture) {
      // The browser bundles moves; a stroke needs all of them.
      const moves = this.editor.gesture?.kind === "stroke" ? (event.getCoalescedEvents?.() ?? []) : [];
      for (const each of moves.length ? moves : [event]) this.editor.moveTo(this.at(each), this.radius(each));
    }
    this.redraw();
  }

  private up(event: PointerEvent): void {
    this.fingers.up(event.pointerId, event.pointerType);
    this.panFrom = null;
    if (this.activePointer === event.pointerId) {
      this.activePointer = null;
      if (this.editor.gesture?.kind === "box") this.editor.moveTo(this.at(event), 0);
      this.editor.release();
    }
    if (event.pointerType === "touch") this.pointer = null;
    this.redraw();
  }

  private cancelled(event: PointerEvent): void {
    this.fingers.up(event.pointerId, event.pointerType);
    this.panFrom = null;
    if (this.activePointer === event.pointerId) this.editor.abort();
    this.activePointer = null;
    this.redraw();
  }

  private draw(): void {
    const context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    const ratio = devicePixelRatio;
    const { scale, x, y } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.photo || !this.small || !this.layer) return;
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    const { mask } = this.editor;
    const seen = visible(this.view, mask, this.screen());
    if (seen.width <= 0 || seen.height <= 0) return;
    const isLarge = scale > 1.2;
    const source = isLarge ? this.photo : this.small;
    const finer = isLarge ? this.photo.naturalWidth / mask.width : 1;
    // Real pixels are shown as pixels, from the point on where a person could tell them apart.
    context.imageSmoothingEnabled = scale / finer < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(source, seen.x * finer, seen.y * finer, seen.width * finer, seen.height * finer, seen.x * scale, seen.y * scale, seen.width * scale, seen.height * scale);
    if (this.isBare) return;
    for (const layer of this.taken) drawLayer(context, layer, scale);
    if (this.editor.area === 0) drawSuggestions(context, this.suggestions, scale);
    drawLayer(context, this.layer, scale);
    const pointer: Point | null = this.cursor ?? (this.pointer && toPicture(this.view, this.pointer));
    drawGesture(context, { editor: this.editor, pointer, isCrosshair: this.cursor !== null, scale, colour: this.colour, brushRadius_px: this.brushRadius_px, mark: token("--scene-mark") });
  }
}

export function drawLayer(context: CanvasRenderingContext2D, { canvas, window: part }: MaskLayer, scale: number): void {
  context.drawImage(canvas, part.x * scale, part.y * scale, part.width * scale, part.height * scale);
}

function thicknessFor(scale: number): number {
  const wanted = OUTLINE_PX / scale;
  return THICKNESSES.find((thickness) => thickness >= wanted * 0.8) ?? (THICKNESSES.at(-1) as number);
}
