/** Read-outs and number fields of a pose, each with its change since the proposal. */
import { h } from "../core/dom";
import type { PoseJson, Vec3 } from "../net/contract";
import { degreesOf, withDegrees } from "../tools/pose_edit";
import { angleBetween } from "../viewer/frames";
import type { Measure } from "../viewer/photo_overlay";

interface Line { value: HTMLElement; change: HTMLElement }

export class PosePanel {
  readonly readouts: HTMLElement;
  readonly fields: HTMLElement;
  private readonly lines: Record<"iou" | "depth" | "rotation" | "moved" | "scale", Line>;
  private readonly inputs: HTMLInputElement[] = [];
  private pose: PoseJson | null = null;

  constructor(private readonly edited: (pose: PoseJson) => void) {
    const line = (): Line => ({ value: h("span", { class: "value", text: "–" }), change: h("span", { class: "change caption" }) });
    this.lines = { iou: line(), depth: line(), rotation: line(), moved: line(), scale: line() };
    const row = (name: string, title: string, { value, change }: Line) => [h("span", { class: "caption", text: name, title }), value, change];
    this.readouts = h("div", { class: "readouts" },
      ...row("Mask IoU", "Overlap of the projected shape with the marked object; 1 is perfect", this.lines.iou),
      ...row("Depth residual", "Median distance between the shape's surface and the points, along the line of sight", this.lines.depth),
      ...row("Rotation", "Turned since the proposal", this.lines.rotation),
      ...row("Position", "Distance from the photo's camera", this.lines.moved),
      ...row("Scale", "Edge of the shape's unit cube", this.lines.scale));
    const triple = (name: string, unit: string) => [h("span", { class: "caption", text: name }), ...["x", "y", "z"].map((axis) => this.input(`${name} ${axis} in ${unit}`))];
    this.fields = h("div", { class: "triple" }, ...triple("Position", "units"), ...triple("Turn °", "degrees"), h("span", { class: "caption", text: "Scale" }), this.input("Scale"));
  }

  show(pose: PoseJson, proposal: PoseJson, now: Measure | null, first: Measure | null): void {
    this.pose = pose;
    const unit = pose.unit === "m" ? "m" : "u";
    const length = (v: number) => (unit === "m" ? (Math.abs(v) < 1 ? `${(v * 100).toFixed(1)} cm` : `${v.toFixed(3)} m`) : `${v.toFixed(3)} u`);
    if (now) {
      this.put("iou", now.iou.toFixed(3), first && now.iou - first.iou, (d) => d.toFixed(3), true);
      this.put("depth", now.residual === null ? "–" : length(now.residual), now.residual === null || first?.residual == null ? null : now.residual - first.residual, length, false);
    }
    const turned = angleBetween(proposal.rotation_wxyz, pose.rotation_wxyz);
    this.put("rotation", `${turned.toFixed(1)}°`, null, String, null);
    const moved = Math.hypot(...pose.translation.map((v, i) => v - (proposal.translation[i] as number)));
    this.put("moved", length(Math.hypot(...pose.translation)), moved, length, null);
    this.put("scale", length(pose.scale), pose.scale - proposal.scale, length, null);
    [...pose.translation, ...degreesOf(pose), pose.scale].forEach((value, i) => {
      const input = this.inputs[i];
      if (input && document.activeElement !== input) input.value = value.toFixed(i >= 3 && i < 6 ? 1 : 4);
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
    const input = h("input", { type: "text", inputmode: "decimal", "aria-label": label, on: { change: () => this.read(), keydown: (event) => { if (event.key === "Enter") input.blur(); } } });
    this.inputs.push(input);
    return input;
  }

  private read(): void {
    if (!this.pose) return;
    const numbers = this.inputs.map((input) => Number(input.value.replace(",", ".")));
    if (!numbers.every(Number.isFinite)) return;
    const typed = { ...this.pose, translation: numbers.slice(0, 3) as Vec3, scale: Math.max(1e-6, numbers[6] as number) };
    const before = degreesOf(this.pose), after = numbers.slice(3, 6) as Vec3;
    // The fields are rounded: untouched angles must not turn anything.
    const isTurned = after.some((v, i) => Math.abs(v - (before[i] as number)) > 0.06);
    this.edited(isTurned ? withDegrees(typed, after) : typed);
  }
}
