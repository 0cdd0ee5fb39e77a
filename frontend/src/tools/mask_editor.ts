/** The mask in hand and every edit of it: what the tools do, whether pointer, pen or keys move them. */
import type { Edit } from "../core/history";
import { LiveWire } from "./live_wire";
import { clip, difference, fillPolygon, fillRect, Mask, stroke, strokeReach, union } from "./mask";
import type { Rect } from "./mask";

export type Tool = "box" | "polygon" | "scissors" | "brush" | "eraser" | "point";
export type Point = [number, number];
export interface Dab { at: Point; radius: number }

/** A stroke is also a hint for the assisted refinement: surely object, or surely not. */
export interface Hint { dabs: readonly Dab[]; value: 0 | 1 }
/** A click that says: this is object, or this is not. */
export interface Prompt { at: Point; isObject: boolean }

/** What is edited: the mask, and what the refinement is told. */
interface Guides {
  box: Rect | null;
  hints: readonly Hint[];
  points: readonly Prompt[];
  /** The mask says more than box and points do. */
  isDrawn: boolean;
}

export interface Press { radius: number; erases: boolean; isBackground: boolean }
export interface EditorListener {
  edited: (edit: Edit) => void;
  changed: () => void;
  /** These cells of the mask look different now. */
  repaint: (rect: Rect) => void;
  /** A point was put: the refinement may be asked at once. */
  pointed: () => void;
}

const CLOSE_PX = 9;
const SAME_CORNER_PX = 2;
const SMALLEST_BOX_PX = 5;

type Gesture = { kind: "box"; from: Point; last: Point } | { kind: "stroke"; value: 0 | 1; before: Mask; areaBefore: number; rect: Rect | null; dabs: Dab[] };

export class MaskEditor {
  tool: Tool = "box";
  mask = new Mask(1, 1);
  /** How many cells are set; kept, because counting millions of cells at every stroke is slow. */
  area = 0;
  guides: Guides = { box: null, hints: [], points: [], isDrawn: false };
  /** The polygon or scissors path that is being drawn. */
  outline: Point[] = [];
  /** The way from its last corner to the pointer. */
  lead: Point[] = [];
  gesture: Gesture | null = null;
  /** Screen pixels per cell, by which distances are judged. */
  scale = 1;
  private corners: number[] = [];
  private wire: LiveWire | null = null;

  constructor(private readonly listener: EditorListener, private readonly makeWire: () => LiveWire | null) {}

  load(width: number, height: number): void {
    this.mask = new Mask(width, height);
    this.wire = null;
    this.reset();
  }

  /** A new target begins; not an edit of the old one. */
  reset(mask?: Mask): void {
    if (mask) this.mask.data.set(mask.data);
    else this.mask.data.fill(0);
    this.area = this.mask.count();
    this.guides = { box: null, hints: [], points: [], isDrawn: mask !== undefined };
    this.gesture = null;
    this.outline = [];
    this.corners = [];
    this.lead = [];
    this.listener.repaint(this.mask.bounds);
  }

  /** Changes the mask as one edit that can be undone. */
  apply(label: string, change: (mask: Mask) => void, guides: Partial<Guides> = { isDrawn: true }): void {
    const before = new Mask(this.mask.width, this.mask.height, this.mask.data.slice());
    change(this.mask);
    this.record(label, before, difference(before, this.mask) ?? { x: 0, y: 0, width: 0, height: 0 }, guides);
  }

  replaceMask(label: string, mask: Mask, guides: Partial<Guides> = {}): void {
    this.apply(label, (own) => own.data.set(mask.data), guides);
  }

  clearMask(label: string): void {
    this.apply(label, (mask) => mask.data.fill(0), { box: null, hints: [], points: [], isDrawn: false });
  }

  /** The strokes so far as a mask of their kind, or null when there are none. */
  hintMask(value: 0 | 1): Mask | null {
    if (!this.guides.hints.some((hint) => hint.value === value)) return null;
    const mask = new Mask(this.mask.width, this.mask.height);
    for (const { dabs, value: own } of this.guides.hints) {
      dabs.forEach(({ at, radius }, i) => stroke(mask, (dabs[Math.max(0, i - 1)] as Dab).at, at, radius, own === value ? 1 : 0));
    }
    return mask;
  }

  /** The tool touches the photo. */
  press(at: Point, press: Press): void {
    if (this.tool === "polygon" || this.tool === "scissors") this.addCorner(at);
    else if (this.tool === "point") this.addPoint(at, !press.isBackground);
    else if (this.tool === "box") {
      this.gesture = { kind: "box", from: at, last: at };
      this.listener.changed();
    } else {
      const before = new Mask(this.mask.width, this.mask.height, this.mask.data.slice());
      this.gesture = { kind: "stroke", value: this.tool === "eraser" || press.erases ? 0 : 1, before, areaBefore: this.area, rect: null, dabs: [] };
      this.dab(at, press.radius);
    }
  }

  /** The tool moves on: it draws while it touches, else it only points. */
  moveTo(at: Point, radius: number): void {
    if (this.gesture?.kind === "stroke") this.dab(at, radius);
    else if (this.gesture?.kind === "box") this.gesture.last = at;
    else if (this.outline.length) this.lead = this.path(at);
  }

  /** The tool leaves the photo. */
  release(): void {
    const { gesture } = this;
    this.gesture = null;
    if (gesture?.kind === "box") this.finishBox(gesture.from, gesture.last);
    else if (gesture?.kind === "stroke" && gesture.rect) {
      const hint: Hint = { dabs: gesture.dabs, value: gesture.value };
      // Beside a box or points a stroke mends; without them it is what the mask consists of.
      const isDrawn = this.guides.isDrawn || (this.guides.box === null && this.guides.points.length === 0);
      this.area = gesture.areaBefore;
      this.record(gesture.value ? "Brush" : "Erase", gesture.before, gesture.rect, { hints: [...this.guides.hints, hint], isDrawn });
    }
    this.listener.changed();
  }

  /** As if the tool had never touched: a second finger came down, or Escape. */
  abort(): void {
    const { gesture } = this;
    this.gesture = null;
    if (gesture?.kind === "stroke" && gesture.rect) {
      this.mask.paste(gesture.rect, gesture.before.cut(gesture.rect));
      this.area = gesture.areaBefore;
      this.listener.repaint(gesture.rect);
    }
    this.listener.changed();
  }

  get isOutlining(): boolean {
    return this.outline.length > 0 || this.gesture?.kind === "box";
  }

  /** Closes the outline, or ends the box. */
  finishOutline(): void {
    if (this.gesture) {
      this.release();
      return;
    }
    const first = this.outline[0];
    const points = first && this.tool === "scissors" ? [...this.outline, ...this.path(first)] : this.outline;
    const label = this.tool === "scissors" ? "Scissors" : "Polygon";
    this.dropOutline();
    if (points.length >= 3) this.apply(label, (mask) => { fillPolygon(mask, points, 1); });
  }

  takeCornerBack(): void {
    if (this.gesture) {
      this.abort();
      return;
    }
    this.corners.pop();
    this.outline = this.outline.slice(0, this.corners.at(-1) ?? 0);
    this.lead = [];
    this.startWire();
    this.listener.changed();
  }

  dropOutline(): void {
    if (this.gesture) this.abort();
    this.outline = [];
    this.corners = [];
    this.lead = [];
    this.listener.changed();
  }

  cornerPoints(): Point[] {
    return this.corners.map((end) => this.outline[end - 1] as Point);
  }

  private addCorner(at: Point): void {
    const first = this.outline[0];
    const last = this.outline.at(-1);
    const away = (a: Point) => Math.hypot(at[0] - a[0], at[1] - a[1]) * this.scale;
    if (first && this.corners.length >= 3 && away(first) < CLOSE_PX) {
      this.finishOutline();
      return;
    }
    // The second press of a double click is the same corner.
    if (last && away(last) <= SAME_CORNER_PX) return;
    this.outline = [...this.outline, ...(last ? this.path(at) : [at])];
    this.corners.push(this.outline.length);
    this.lead = [];
    this.startWire();
    this.listener.changed();
  }

  /** From the last corner to a place: straight, or along the photo's edges. */
  private path(to: Point): Point[] {
    if (this.tool !== "scissors" || !this.wire) return [to];
    return this.wire.pathTo(to).slice(1).map(([x, y]) => [x + 0.5, y + 0.5]);
  }

  private startWire(): void {
    const last = this.outline.at(-1);
    if (this.tool !== "scissors" || !last) return;
    this.wire ??= this.makeWire();
    this.wire?.start(last);
  }

  private addPoint(at: Point, isObject: boolean): void {
    if (at[0] < 0 || at[1] < 0 || at[0] >= this.mask.width || at[1] >= this.mask.height) return;
    this.apply(isObject ? "Point on the object" : "Point beside the object", () => undefined, { points: [...this.guides.points, { at, isObject }] });
    this.listener.pointed();
  }

  private dab(at: Point, radius: number): void {
    const { gesture } = this;
    if (gesture?.kind !== "stroke") return;
    const from = gesture.dabs.at(-1)?.at ?? at;
    const reach = strokeReach(this.mask, from, at, radius);
    gesture.dabs.push({ at, radius });
    if (!reach) return;
    const before = this.mask.countIn(reach);
    stroke(this.mask, from, at, radius, gesture.value);
    this.area += this.mask.countIn(reach) - before;
    gesture.rect = union(gesture.rect, reach);
    this.listener.repaint(reach);
  }

  private finishBox(a: Point, b: Point): void {
    const rect = clip({ x: Math.min(a[0], b[0]), y: Math.min(a[1], b[1]), width: Math.abs(a[0] - b[0]), height: Math.abs(a[1] - b[1]) }, this.mask);
    if (!rect || Math.max(rect.width, rect.height) * this.scale < SMALLEST_BOX_PX) return;
    this.apply("Box", (mask) => { mask.data.fill(0); fillRect(mask, rect, 1); }, { box: rect, hints: [], points: [], isDrawn: false });
  }

  private record(label: string, before: Mask, rect: Rect, guides: Partial<Guides>): void {
    const old = { cells: before.cut(rect), guides: this.guides };
    const young = { cells: this.mask.cut(rect), guides: { ...this.guides, ...guides } };
    const change = sum(young.cells) - sum(old.cells);
    const put = (state: typeof old, growth: number) => {
      this.mask.paste(rect, state.cells);
      this.area += growth;
      this.guides = state.guides;
      this.listener.repaint(rect);
      this.listener.changed();
    };
    put(young, change);
    this.listener.edited({ label, undo: () => put(old, -change), redo: () => put(young, change) });
  }
}

function sum(cells: Uint8Array): number {
  let total = 0;
  for (const cell of cells) total += cell;
  return total;
}
