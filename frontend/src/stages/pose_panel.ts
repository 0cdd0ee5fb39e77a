/** Read-outs and number fields of a pose, each with its change since the proposal. */
import { h } from "../core/dom";
import { t } from "../core/language";
import type { PoseJson, Vec3 } from "../net/contract";
import { worseThanProposal } from "../tools/fit_hint";
import { angleUpTo } from "../tools/heading_symmetry";
import type { Symmetry } from "../tools/heading_symmetry";
import { degreesOf, withDegrees } from "../tools/pose_edit";
import type { Measure } from "../viewer/photo_overlay";

interface Line { value: HTMLElement; change: HTMLElement }

/** What the arrow keys add in a field, by its place: positions and the scale in parts of the shape's size, turns in degrees. */
const FIELD_STEPS = { part: 0.01, degrees: 1 };
const TIMES = { coarse: 10, normal: 1, fine: 0.1 };

/** A length as people read it: centimetres where the scene is metric, else units of the point map. */
export function lengthText(pose: Pick<PoseJson, "unit">): (v: number) => string {
  return (v) => (pose.unit !== "m" ? t("{v} u", { v: v.toFixed(3) }) : Math.abs(v) < 1 ? `${(v * 100).toFixed(1)} cm` : `${v.toFixed(3)} m`);
}

export class PosePanel {
  readonly readouts: HTMLElement;
  readonly fields: HTMLElement;
  private readonly lines: Record<"iou" | "depth" | "rotation" | "moved" | "scale", Line>;
  private readonly inputs: HTMLInputElement[] = [];
  private readonly hint = h("p", { class: "fit-hint", hidden: true });
  private pose: PoseJson | null = null;

  constructor(private readonly edited: (pose: PoseJson) => void) {
    const line = (): Line => ({ value: h("span", { class: "value", text: "–" }), change: h("span", { class: "change caption" }) });
    this.lines = { iou: line(), depth: line(), rotation: line(), moved: line(), scale: line() };
    const row = (name: string, title: string, { value, change }: Line) => [h("span", { class: "caption", text: name, title }), value, change];
    this.readouts = h("div", { class: "stack" }, h("div", { class: "readouts" },
      ...row(t("Mask IoU"), t("Overlap of the projected shape with the marked object; 1 is perfect"), this.lines.iou),
      ...row(t("Depth residual"), t("Median distance between the shape's surface and the points, along the line of sight"), this.lines.depth),
      ...row(t("Rotation"), t("Turned since the proposal; headings that look the same are the same"), this.lines.rotation),
      ...row(t("Position"), t("Distance from the photo's camera"), this.lines.moved),
      ...row(t("Scale"), t("Edge of the shape's unit cube"), this.lines.scale)), this.hint);
    const triple = (name: string, labels: readonly string[]) => [h("span", { class: "caption", text: name }), ...labels.map((label) => this.input(label))];
    this.fields = h("div", { class: "triple" },
      ...triple(t("Position"), [t("Position x"), t("Position y"), t("Position z")]),
      ...triple(t("Turn °"), [t("Turn about x in degrees"), t("Turn about y in degrees"), t("Turn about z in degrees")]),
      ...triple(t("Scale"), [t("Scale")]));
  }

  /** ``now`` and ``first`` are what was measured of the pose and of the proposal. */
  show(pose: PoseJson, proposal: PoseJson, now: Measure | null, first: Measure | null, symmetry: Symmetry): void {
    this.pose = pose;
    const length = lengthText(pose);
    if (now) {
      this.put("iou", now.iou.toFixed(3), first && now.iou - first.iou, (d) => d.toFixed(3), true);
      this.put("depth", now.residual === null ? "–" : length(now.residual), now.residual === null || first?.residual == null ? null : now.residual - first.residual, length, false);
    }
    const hint = worseThanProposal(now, first, length);
    this.hint.hidden = hint === null;
    this.hint.textContent = hint ?? "";
    this.put("rotation", `${angleUpTo(symmetry, proposal.rotation_wxyz, pose.rotation_wxyz).toFixed(1)}°`, null, String, null);
    const moved = Math.hypot(...pose.translation.map((v, i) => v - (proposal.translation[i] as number)));
    this.put("moved", length(Math.hypot(...pose.translation)), moved, length, null);
    this.put("scale", length(pose.scale), pose.scale - proposal.scale, length, null);
    [...pose.translation, ...degreesOf(pose), pose.scale].forEach((value, i) => {
      const input = this.inputs[i];
      if (input && document.activeElement !== input) input.value = value.toFixed(isTurn(i) ? 1 : 4);
    });
  }

  private put(name: keyof PosePanel["lines"], value: string, change: number | null, write: (v: number) => string, moreIsBetter: boolean | null): void {
    const line = this.lines[name];
    line.value.textContent = value;
    const text = change === null ? "" : `${change >= 0 ? "+" : "−"}${write(Math.abs(change))}`;
    line.change.textContent = text;
    const isNoticeable = change !== null && Math.abs(change) > 1e-4 && moreIsBetter !== null;
    line.change.classList.toggle("better", isNoticeable && change > 0 === moreIsBetter);
    line.change.classList.toggle("worse", isNoticeable && change > 0 !== moreIsBetter);
  }

  private input(label: string): HTMLInputElement {
    const index = this.inputs.length;
    const input = h("input", {
      type: "text", inputmode: "decimal", "aria-label": label, title: t("{label}. Up and Down step, Shift coarse, Ctrl fine.", { label }),
      on: { change: () => this.read(), keydown: (event) => this.keyDown(event as KeyboardEvent, input, index) },
    });
    this.inputs.push(input);
    return input;
  }

  private keyDown(event: KeyboardEvent, input: HTMLInputElement, index: number): void {
    if (event.key === "Enter") input.blur();
    if (!this.pose || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const step = (isTurn(index) ? FIELD_STEPS.degrees : FIELD_STEPS.part * this.pose.scale) * (event.shiftKey ? TIMES.coarse : event.ctrlKey ? TIMES.fine : TIMES.normal);
    const value = numberIn(input) + (event.key === "ArrowUp" ? step : -step);
    if (!Number.isFinite(value)) return;
    input.value = value.toFixed(isTurn(index) ? 1 : 4);
    this.read();
  }

  private read(): void {
    if (!this.pose) return;
    const numbers = this.inputs.map(numberIn);
    if (!numbers.every(Number.isFinite)) return;
    const typed = { ...this.pose, translation: numbers.slice(0, 3) as Vec3, scale: Math.max(1e-6, numbers[6] as number) };
    const before = degreesOf(this.pose), after = numbers.slice(3, 6) as Vec3;
    // The fields are rounded: untouched angles must not turn anything.
    const isTurned = after.some((v, i) => Math.abs(v - (before[i] as number)) > 0.06);
    this.edited(isTurned ? withDegrees(typed, after) : typed);
  }
}

const isTurn = (index: number): boolean => index >= 3 && index < 6;

const numberIn = (input: HTMLInputElement): number => Number(input.value.trim().replace(",", ".") || NaN);
