/** Stage 3: place the picked shape in the scene, beside the photo it came from. */
import type { Command } from "../core/commands";
import { h, replace } from "../core/dom";
import type { Claim, PoseJson, PoseResult, PoseTask, Result } from "../net/contract";
import { assumedIntrinsics, firstPose } from "../tools/first_pose";
import { clampScale, nudge } from "../tools/pose_edit";
import type { Mode, NudgeKey, NudgeStyle } from "../tools/pose_edit";
import { commandButton } from "../ui/buttons";
import { icon } from "../ui/icons";
import { loadImage, loadMask } from "../ui/raster";
import { loadModel } from "../viewer/models";
import type { Measure } from "../viewer/photo_overlay";
import { parsePointCloud } from "../viewer/point_cloud_file";
import type { PointCloud } from "../viewer/point_cloud_file";
import { PoseScene } from "../viewer/pose_scene";
import type { Preset } from "../viewer/pose_scene";
import { PosePanel } from "./pose_panel";
import type { StageHost, StageView } from "./stage";

interface Draft { pose: PoseJson; actions: Record<string, number> }

const MASK_PX = 1024;
const MEASURE_EVERY_MS = 120;
const PRESETS: readonly Preset[] = ["photo", "top", "side", "front", "orbit"];
const NUDGE_KEYS: readonly NudgeKey[] = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown"];
const NUDGE_STYLES: readonly (readonly [prefix: string, label: string, style: NudgeStyle])[] = [
  ["", "Nudge", { inObjectAxes: false, size: "normal" }],
  ["Shift+", "Nudge, coarse", { inObjectAxes: false, size: "coarse" }],
  ["Ctrl+", "Nudge, fine", { inObjectAxes: false, size: "fine" }],
  ["Alt+", "Nudge along the object's axes", { inObjectAxes: true, size: "normal" }],
  ["Alt+Shift+", "Nudge along the object's axes, coarse", { inObjectAxes: true, size: "coarse" }],
  ["Ctrl+Alt+", "Nudge along the object's axes, fine", { inObjectAxes: true, size: "fine" }],
];

export function createPoseStage(host: StageHost): StageView<PoseTask> {
  return new PoseStage(host);
}

class PoseStage implements StageView<PoseTask> {
  private readonly scene: PoseScene;
  private readonly panel: PosePanel;
  private readonly leftLabel = h("div", { class: "pane-label left" });
  private readonly rightLabel = h("div", { class: "pane-label right", text: "Photo, from its camera" });
  private readonly opacity: HTMLInputElement;
  private task: PoseTask | null = null;
  private pose: PoseJson | null = null;
  private proposal: PoseJson | null = null;
  private first: Measure | null = null;
  private now: Measure | null = null;
  private actions: Record<string, number> = {};
  private mode: Mode = "translate";
  private isInObjectAxes = false;
  private isHidden = false;
  private isFirstFrame = false;
  private measureTimer = 0;

  constructor(private readonly host: StageHost) {
    this.scene = new PoseScene({
      posed: (pose) => this.posed(pose),
      gesture: (before, after, mode) => this.record(`gizmo_${mode}`, before, after),
      drawn: () => this.drawn(),
    });
    this.panel = new PosePanel((pose) => this.edit("typed", this.clamped(pose)));
    this.opacity = h("input", { type: "range", min: 0, max: 100, value: 55, "aria-label": "Opacity of the shape over the photo", on: { input: () => this.setOpacity(Number(this.opacity.value) / 100) } });
    this.addCommands();
    this.build();
    host.commands.enter("pose");
  }

  async load(_claim: Claim, task: PoseTask, draft: object | null): Promise<void> {
    this.task = task;
    const { photo: about, target, point_cloud } = task;
    const part = Math.min(1, MASK_PX / Math.max(about.width, about.height));
    const [photo, mask, model, cloud] = await Promise.all([
      loadImage(about.url),
      loadMask(target.mask_url, Math.round(about.width * part), Math.round(about.height * part)),
      loadModel(task.candidate.mesh_url),
      point_cloud ? loadCloud(point_cloud.url) : null,
    ]);
    this.host.shell.photo.show(about, photo, mask, target.label);
    const intrinsics = task.intrinsics ?? assumedIntrinsics(about.width, about.height);
    this.proposal = task.proposal ?? firstPose(intrinsics, target.bbox, mask, cloud?.positions ?? null, point_cloud?.unit ?? "pointmap");
    const stored = draft as Partial<Draft> | null;
    this.actions = stored?.actions ?? {};
    this.isHidden = false;
    this.scene.load(model, this.proposal, intrinsics, photo, mask, cloud);
    this.first = this.scene.measure();
    this.setPose(stored?.pose ?? this.proposal);
    this.scene.look(cloud ? "orbit" : "photo");
    this.setOpacity(Number(this.opacity.value) / 100);
    this.setMode("translate");
    this.describe(task);
    this.isFirstFrame = true;
    this.scene.redraw();
  }

  clear(): void {
    clearTimeout(this.measureTimer);
    this.scene.clear();
    this.task = this.pose = this.proposal = this.first = this.now = null;
    this.host.shell.photo.clear();
    replace(this.leftLabel);
  }

  missing = (): string | null => (this.pose ? null : "There is no task.");

  submit(): void {
    if (!this.pose) return;
    const measure = this.scene.measure();
    const { rotation_wxyz, translation, scale } = this.pose;
    const result = { rotation_wxyz, translation, scale, mask_iou: measure?.iou ?? null, depth_residual: measure?.residual ?? null, actions: this.actions };
    this.host.submit(async () => result);
  }

  draft = async (): Promise<Draft> => ({ pose: this.pose as PoseJson, actions: this.actions });

  async takeUp(result: Result): Promise<void> {
    const { rotation_wxyz, translation, scale, actions } = result as PoseResult;
    if (!this.pose) return;
    this.actions = { ...actions };
    this.edit("taken_up", { ...this.pose, rotation_wxyz, translation, scale });
  }

  hint(): string {
    const does = { translate: "move", rotate: "turn", scale: "scale" }[this.mode];
    return `Arrows and PgUp/PgDn ${does}, Shift coarse, Ctrl fine. W move, E rotate, R scale. Enter submits.`;
  }

  testHandle(): Record<string, unknown> {
    return {
      stage: () => ({ pose: this.pose, proposal: this.proposal, mode: this.mode, hidden: this.isHidden, actions: this.actions, first: this.first, now: this.now }),
      iou: () => this.scene.measure()?.iou ?? null,
      project: (point: [number, number, number], pane?: string) => (pane === "left" ? this.scene.projectToScene(point) : this.scene.projectToScreen(point)),
      cameraState: () => this.scene.cameraState(),
      renderInfo: () => ({ ...this.scene.renderer.gl.info.render, ...this.scene.renderer.gl.info.memory, software: this.scene.renderer.isSoftware }),
    };
  }

  // ---- commands ----

  private addCommands(): void {
    const { commands } = this.host;
    const mode = (id: Mode, label: string, key: string): Command => ({ id: `mode.${id}`, label, keys: [key], scope: "pose", run: () => this.setMode(id) });
    const has = () => this.pose !== null;
    commands.add([
      mode("translate", "Move", "W"), mode("rotate", "Rotate", "E"), mode("scale", "Scale", "R"),
      { id: "axes", label: "Object's axes", keys: ["X"], scope: "pose", run: () => this.toggleAxes() },
      { id: "reset", label: "Back to the proposal", keys: ["Backspace"], scope: "pose", enabled: () => has() && this.pose !== this.proposal, run: () => this.edit("reset", this.proposal as PoseJson) },
      { id: "hide", label: "Hide the shape", keys: ["H"], scope: "pose", enabled: has, run: () => this.setHidden(!this.isHidden) },
      { id: "opacity.less", label: "Shape over the photo: fainter", keys: ["["], scope: "pose", repeats: true, run: () => this.setOpacity(this.opacityNow() - 0.1) },
      { id: "opacity.more", label: "Shape over the photo: stronger", keys: ["]"], scope: "pose", repeats: true, run: () => this.setOpacity(this.opacityNow() + 0.1) },
      ...PRESETS.map((preset, i): Command => ({ id: `view.${preset}`, label: preset[0]?.toUpperCase() + preset.slice(1), keys: [`${i + 1}`], scope: "pose", enabled: has, run: () => this.scene.look(preset) })),
      ...NUDGE_STYLES.flatMap(([prefix, label, style]) => NUDGE_KEYS.map((key, i): Command => ({
        id: `nudge.${prefix}${key}`, label, inHelp: i === 0, helpKeys: `${prefix}arrows, PgUp, PgDn`, keys: [`${prefix}${key}`], scope: "pose", repeats: true, enabled: has, run: () => this.nudge(key, style),
      }))),
    ]);
  }

  private build(): void {
    const { commands, shell } = this.host;
    const mode = (id: Mode) => commandButton(commands, `mode.${id}`, { pressed: () => this.mode === id });
    const undo = commandButton(commands, "undo");
    undo.querySelector("kbd")?.remove();
    replace(shell.work, this.scene.element, h("div", { class: "pane-divider" }), this.leftLabel, this.rightLabel);
    replace(shell.tools,
      h("section", {}, this.panel.readouts),
      h("section", {}, h("div", { class: "view-buttons thirds" }, mode("translate"), mode("rotate"), mode("scale")), this.panel.fields),
      h("section", {}, h("div", { class: "view-buttons thirds" },
        commandButton(commands, "axes", { pressed: () => this.isInObjectAxes, label: "Axes" }), commandButton(commands, "hide", { pressed: () => this.isHidden, label: "Hide" }),
        commandButton(commands, "reset", { label: "Reset" }),
        ...PRESETS.map((preset) => commandButton(commands, `view.${preset}`)), undo)),
      h("section", {}, h("label", { class: "field" }, h("span", { class: "row spread" }, "Shape over the photo", h("span", {}, h("kbd", { text: "[" }), " ", h("kbd", { text: "]" }))), this.opacity)));
  }

  private describe(task: PoseTask): void {
    const cloud = task.point_cloud;
    const warning = (text: string, title: string) => h("span", { class: "badge warning", title }, icon("warning"), text);
    replace(this.leftLabel,
      cloud ? "Scene" : "No point cloud for this photo: place the shape by the photo on the right",
      cloud?.approximate && warning("approximate depth", "These points were estimated from the photo alone. Trust the photo more than the points."),
      !task.intrinsics && warning("camera assumed", "Nobody knows this photo's camera, so an ordinary one is assumed."));
  }

  // ---- posing ----

  private posed(pose: PoseJson): void {
    this.pose = pose;
    this.measureSoon();
    this.refresh();
  }

  private setPose(pose: PoseJson): void {
    this.scene.setPose(pose);
    this.posed(pose);
  }

  private edit(action: string, after: PoseJson, mergeKey?: string): void {
    const before = this.pose;
    if (!before || before === after) return;
    this.setPose(after);
    this.record(action, before, after, mergeKey);
  }

  private record(action: string, before: PoseJson, after: PoseJson, mergeKey?: string): void {
    this.actions = { ...this.actions, [action]: (this.actions[action] ?? 0) + 1 };
    this.host.history.push({
      label: action, ...(mergeKey ? { mergeKey } : {}),
      undo: () => { this.setPose(before); this.host.changed(); },
      redo: () => { this.setPose(after); this.host.changed(); },
    });
    this.host.changed();
  }

  private nudge(key: NudgeKey, style: NudgeStyle): void {
    if (!this.pose || !this.proposal) return;
    const styled = this.isInObjectAxes ? { ...style, inObjectAxes: true } : style;
    this.edit(`nudge_${this.mode}`, nudge(this.pose, this.mode, key, styled, this.proposal.scale), `${this.mode}${key}${styled.inObjectAxes}${style.size}`);
  }

  private clamped(pose: PoseJson): PoseJson {
    return this.proposal ? { ...pose, scale: clampScale(pose.scale, this.proposal.scale) } : pose;
  }

  private setMode(mode: Mode): void {
    this.mode = mode;
    this.scene.setMode(mode);
    this.host.commands.changed();
  }

  private toggleAxes(): void {
    this.isInObjectAxes = !this.isInObjectAxes;
    this.scene.setObjectAxes(this.isInObjectAxes);
  }

  private setHidden(isHidden: boolean): void {
    this.isHidden = isHidden;
    this.scene.setMeshHidden(isHidden);
  }

  private opacityNow = (): number => Number(this.opacity.value) / 100;

  private setOpacity(part: number): void {
    const opacity = Math.min(1, Math.max(0, part));
    this.opacity.value = String(Math.round(opacity * 100));
    if (this.scene.overlay) this.scene.overlay.opacity = opacity;
    this.scene.redraw();
  }

  /** Measuring reads pixels back, so it follows a drag a few times a second and not at every move. */
  private measureSoon(): void {
    if (this.measureTimer) return;
    this.measureTimer = window.setTimeout(() => {
      this.measureTimer = 0;
      this.now = this.scene.measure();
      this.scene.redraw();
      this.refresh();
      if (this.now && !this.scene.isDragging) this.host.shell.announce(`Mask overlap ${this.now.iou.toFixed(2)}`);
    }, MEASURE_EVERY_MS);
  }

  private refresh(): void {
    if (this.pose && this.proposal) this.panel.show(this.pose, this.proposal, this.now ?? this.first, this.first);
  }

  private drawn(): void {
    if (!this.isFirstFrame || !this.task) return;
    this.isFirstFrame = false;
    this.host.ready();
  }
}

async function loadCloud(url: string): Promise<PointCloud> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The point cloud could not be loaded (HTTP ${response.status}).`);
  return parsePointCloud(await response.arrayBuffer());
}
