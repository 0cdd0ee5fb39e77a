/** What lies over photo and mask for a moment: suggestions, the box or outline being drawn, points, brush and crosshair. */
import type { MaskLayer } from "../ui/mask_layer";
import { token } from "../ui/theme";
import type { Mask } from "./mask";
import type { MaskEditor, Point } from "./mask_editor";

export interface Suggestion { mask: Mask; layer: MaskLayer; at: Point }
export interface Marks {
  editor: MaskEditor;
  /** Where pointer or crosshair stand in the photo. */
  pointer: Point | null;
  isCrosshair: boolean;
  scale: number;
  colour: readonly [number, number, number];
  brushRadius_px: number;
  mark: string;
}

const CROSS_PX = 26;
const GAP_PX = 5;

export function drawSuggestions(context: CanvasRenderingContext2D, suggestions: readonly Suggestion[], scale: number): void {
  const accent = token("--accent"), onAccent = token("--on-accent");
  context.font = `600 13px ${token("--font")}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  suggestions.forEach(({ layer: { canvas, window: part }, at }, i) => {
    context.drawImage(canvas, part.x * scale, part.y * scale, part.width * scale, part.height * scale);
    context.fillStyle = accent;
    context.beginPath();
    context.arc(at[0] * scale, at[1] * scale, 11, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = onAccent;
    if (i < 9) context.fillText(String(i + 1), at[0] * scale, at[1] * scale + 0.5);
  });
}

export function drawGesture(context: CanvasRenderingContext2D, marks: Marks): void {
  const { editor, scale, pointer } = marks;
  const colour = `rgb(${marks.colour.join(" ")})`;
  if (editor.gesture?.kind === "box") {
    const { from: [ax, ay], last: [bx, by] } = editor.gesture;
    twice(context, colour, () => context.strokeRect(Math.min(ax, bx) * scale, Math.min(ay, by) * scale, Math.abs(ax - bx) * scale, Math.abs(ay - by) * scale), [6, 4]);
  }
  if (editor.outline.length) drawOutline(context, marks, colour);
  for (const { at, isObject } of editor.guides.points) drawPoint(context, at[0] * scale, at[1] * scale, isObject);
  if (!pointer) return;
  const [x, y] = [pointer[0] * scale, pointer[1] * scale];
  if (editor.tool === "brush" || editor.tool === "eraser") {
    context.beginPath();
    context.arc(x, y, marks.brushRadius_px, 0, 2 * Math.PI);
    twice(context, marks.mark, () => context.stroke(), [], 1.5);
  }
  if (marks.isCrosshair) drawCrosshair(context, x, y);
}

function drawOutline(context: CanvasRenderingContext2D, { editor, scale, pointer }: Marks, colour: string): void {
  const lead = editor.lead.length ? editor.lead : pointer && editor.tool === "polygon" ? [pointer] : [];
  context.beginPath();
  [...editor.outline, ...lead].forEach(([px, py], i) => (i ? context.lineTo(px * scale, py * scale) : context.moveTo(px * scale, py * scale)));
  twice(context, colour, () => context.stroke());
  context.fillStyle = colour;
  for (const [px, py] of editor.cornerPoints()) context.fillRect(px * scale - 3, py * scale - 3, 6, 6);
}

/** A plus or a minus in a ring: told by its form, not only by its colour. */
function drawPoint(context: CanvasRenderingContext2D, x: number, y: number, isObject: boolean): void {
  context.beginPath();
  context.arc(x, y, 7, 0, 2 * Math.PI);
  context.fillStyle = isObject ? token("--success") : token("--danger");
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = "#fff";
  context.stroke();
  context.strokeStyle = "#000";
  context.beginPath();
  context.moveTo(x - 4, y);
  context.lineTo(x + 4, y);
  if (isObject) {
    context.moveTo(x, y - 4);
    context.lineTo(x, y + 4);
  }
  context.stroke();
}

function drawCrosshair(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    context.moveTo(x + dx * GAP_PX, y + dy * GAP_PX);
    context.lineTo(x + dx * CROSS_PX, y + dy * CROSS_PX);
  }
  twice(context, "#fff", () => context.stroke());
}

/** A line in a colour on a wider black one, so that it is seen on every ground. */
function twice(context: CanvasRenderingContext2D, colour: string, stroke: () => void, dash: number[] = [], width = 2): void {
  context.lineWidth = width + 2;
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.setLineDash(dash);
  stroke();
  context.setLineDash([]);
}
