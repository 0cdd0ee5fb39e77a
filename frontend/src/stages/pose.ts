/** Stage 3: place the picked shape in the scene, beside the photo it came from. */
import type { Command } from "../core/commands";
import { h, replace } from "../core/dom";
import { prefixLabel } from "../core/keys";
import { t } from "../core/language";
import type { Claim, PoseJson, PoseResult, PoseTask, Result } from "../net/contract";
import { assumedIntrinsics, firstPose } from "../tools/first_pose";
import { worseThanProposal } from "../tools/fit_hint";
import type { Symmetry } from "../tools/heading_symmetry";
import { clampScale, nudge, TURN_STEP_DEG } from "../tools/pose_edit";
import type { Mode, NudgeKey, NudgeStyle } from "../tools/pose_edit";
import type { PairFit } from "../tools/point_pairs";
import { commandButton } from "../ui/buttons";
import { toast } from "../ui/dialogs";
import { icon } from "../ui/icons";
import { loadImage, loadMask } from "../ui/raster";
import { loadModel } from "../viewer/models";
import type { Measure } from "../viewer/photo_overlay";
import { parsePointCloud } from "../viewer/point_cloud_file";
import type { PointCloud } from "../viewer/point_cloud_file";
import { PoseScene } from "../viewer/pose_scene";
import type { Preset } from "../viewer/pose_scene";
import "./pose.css";
import { PosePairs } from "./pose_pairs";
import { lengthText, PosePanel } from "./pose_panel";
import { PoseReview } from "./pose_review";
import type { Found, Line } from "./pose_review";
import { snapLines, snapped } from "./pose_snap";
import { PoseSymmetry } from "./pose_symmetry";
import type { StageHost, StageView } from "./stage";

interface Draft { pose: PoseJson; actions: Record<string, number>; symmetry?: Symmetry }

const MASK_PX = 1024;
const MEASURE_EVERY_MS = 120;
const PRESETS: readonly Preset[] = ["photo", "top", "side", "front", "orbit"];
const NUDGE_KEYS: readonly NudgeKey[] = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown"];
const NUDGE_STYLES = (): readonly (readonly [prefix: string, label: string, style: NudgeStyle])[] => [
  ["", t("Nudge"), { inObjectAxes: false, size: "normal" }],
  ["Shift+", t("Nudge, coarse"), { inObjectAxes: false, size: "coarse" }],
  ["Ctrl+", t("Nudge, fine"), { inObjectAxes: false, size: "fine" }],
  ["Alt+", t("Nudge along the object's axes"), { inObjectAxes: true, size: "normal" }],
  ["Alt+Shift+", t("Nudge along the object's axes, coarse"), { inObjectAxes: true, size: "coarse" }],
  ["Ctrl+Alt+", t("Nudge along the object's axes, fine"), { inObjectAxes: true, size: "fine" }],
];
const PRESET_NAMES = (): Record<Preset, string> => ({ photo: t("Photo"), top: t("Top"), side: t("Side"), front: t("Front"), orbit: t("Orbit") });

export function createPoseStage(host: StageHost): StageView<PoseTask> {
  return new PoseStage(host);
}

class PoseStage implements StageView<PoseTask> {
  private readonly scene: PoseScene;
  private readonly panel: PosePanel;
  private readonly review: PoseReview;
  private readonly pairs: PosePairs;
  private readonly symmetry: PoseSymmetry;
  private readonly leftLabel = h("div", { class: "pane-label left" });
  private readonly rightLabel = h("div", { class: "pane-label right", text: t("Photo, from its camera") });
  private readonly opacity: HTMLInputElement;
  private task: PoseTask | null = null;
  private pose: PoseJson | null = null;
  private proposal: PoseJson | null = null;
  private first: Measure | null = null;
  private now: Measure | null = null;
  private actions: Record<string, number> = {};
  private mode: Mode = "translate";
  private isInObjectAxes = false;
  private isInTurnSteps = false;
  private isHidden = false;
  private isDimmed = false;
  private isWarned = false;
  private isFirstFrame = false;
  private measureTimer = 0;

  constructor(private readonly host: StageHost) {
    this.scene = new PoseScene({
      posed: (pose) => this.posed(pose),
      gesture: (before, after, mode) => this.record(`gizmo_${mode}`, before, after),
      drawn: () => this.drawn(),
    });
    this.panel = new PosePanel((pose) => { if (!this.review.isOpen) this.edit("typed", this.clamped(pose)); });
    this.review = new PoseReview(host, {
      show: (pose) => this.setPose(pose),
      accepted: ({ action, before, after }) => this.record(action, before, after),
      changed: () => this.freed(),
    });
    this.pairs = new PosePairs(host, this.scene, { solved: (fit) => this.alignedBy(fit), changed: () => this.freed() });
    this.opacity = h("input", { type: "range", min: 0, max: 100, value: 55, "aria-label": t("Opacity of the shape over the photo"), on: { input: () => this.setOpacity(Number(this.opacity.value) / 100) } });
    this.addCommands();
    this.symmetry = new PoseSymmetry(host, () => this.declared());
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
    this.isHidden = this.isWarned = false;
    // Before the shape is placed, while its own frame is all it knows.
    void this.symmetry.look(model, stored?.symmetry).catch((error: unknown) => this.host.complain(error));
    this.scene.load(model, this.proposal, intrinsics, photo, mask, cloud);
    this.scene.setDimmed(this.isDimmed);
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
    this.measureTimer = 0;
    this.pairs.end();
    this.review.close();
    this.symmetry.end();
    this.scene.clear();
    this.task = this.pose = this.proposal = this.first = this.now = null;
    this.host.shell.photo.clear();
    replace(this.leftLabel);
  }

  missing(): string | null {
    if (!this.pose) return t("There is no task.");
    if (this.review.isOpen) return t("Accept the pose that was found, or put it back, first.");
    return this.pairs.isOpen ? t("Finish the point pairs, or stop them (Esc), first.") : null;
  }

  submit(): void {
    if (!this.pose) return;
    const measure = this.scene.measure();
    const worse = worseThanProposal(measure, this.first, lengthText(this.pose));
    if (worse && !this.isWarned) {
      this.isWarned = true;
      const text = t("{worse} Submit again if it is right all the same.", { worse });
      toast(this.host.shell.root, text, "warning");
      this.host.shell.announce(text);
      return;
    }
    const { rotation_wxyz, translation, scale } = this.pose;
    const result = { rotation_wxyz, translation, scale, mask_iou: measure?.iou ?? null, depth_residual: measure?.residual ?? null, actions: this.actions, symmetry: this.symmetry.value };
    this.host.submit(async () => result);
  }

  draft = async (): Promise<Draft> => ({ pose: this.pose as PoseJson, actions: this.actions, symmetry: this.symmetry.value });

  async takeUp(result: Result): Promise<void> {
    const { rotation_wxyz, translation, scale, actions, symmetry } = result as PoseResult;
    if (!this.pose) return;
    if (symmetry !== undefined) this.symmetry.declare(symmetry as Symmetry);
    this.actions = { ...actions };
    this.edit("taken_up", { ...this.pose, rotation_wxyz, translation, scale });
  }

  hint(): string {
    const review = this.review.state;
    if (review === "waiting") return t("Esc stops waiting.");
    if (review !== "closed") return t("[[review.accept]] accepts, [[review.back]] puts back, hold [[review.compare]] to see before.");
    if (this.pairs.isOpen) return t("Arrows move the crosshair (Shift coarse, Ctrl fine), [[pairs.other]] changes the view, [[pairs.place]] places, [[pairs.back]] takes back, [[pairs.cancel]] stops.");
    const does = { translate: t("move"), rotate: t("turn"), scale: t("scale") }[this.mode];
    return t("Arrows and PgUp/PgDn {does}, Shift coarse, Ctrl fine. [[mode.translate]] move, [[mode.rotate]] rotate, [[mode.scale]] scale, [[snap]] snap, [[pairs]] point pairs. [[submit]] submits.", { does });
  }

  testHandle(): Record<string, unknown> {
    return {
      stage: () => ({
        pose: this.pose, proposal: this.proposal, mode: this.mode, hidden: this.isHidden, dimmed: this.isDimmed, actions: this.actions, first: this.first, now: this.now,
        review: this.review.state, pairs: this.pairs.state, symmetry: this.symmetry.state, cloud: this.scene.cloudState, undo: this.host.history.undoLabel ?? null,
      }),
      iou: () => this.scene.measure()?.iou ?? null,
      project: (point: [number, number, number], pane?: string) => (pane === "left" ? this.scene.projectToScene(point) : this.scene.projectToScreen(point)),
      cameraState: () => this.scene.cameraState(),
      renderInfo: () => ({ ...this.scene.renderer.gl.info.render, ...this.scene.renderer.gl.info.memory, software: this.scene.renderer.isSoftware }),
    };
  }

  // ---- commands ----

  private addCommands(): void {
    const { commands } = this.host;
    const names = PRESET_NAMES();
    const mode = (id: Mode, label: string, key: string): Command => ({ id: `mode.${id}`, label, keys: [key], scope: "pose", run: () => this.setMode(id) });
    const has = () => this.pose !== null;
    const isFree = () => has() && !this.review.isOpen && !this.pairs.isOpen;
    commands.add([
      mode("translate", t("Move"), "W"), mode("rotate", t("Rotate"), "E"), mode("scale", t("Scale"), "R"),
      { id: "axes", label: t("Object's axes"), keys: ["X"], scope: "pose", run: () => this.toggleAxes() },
      { id: "turnsteps", label: t("Turn in steps of {degrees}°", { degrees: TURN_STEP_DEG }), keys: ["Q"], scope: "pose", run: () => this.toggleTurnSteps() },
      { id: "snap", label: t("Snap to the points"), keys: ["I"], scope: "pose", enabled: isFree, run: () => void this.snap(false) },
      { id: "snap.scale", label: t("Snap to the points, size too"), keys: ["U"], scope: "pose", enabled: isFree, run: () => void this.snap(true) },
      { id: "pairs", label: t("Align by three point pairs"), keys: ["P"], scope: "pose", enabled: isFree, run: () => this.startPairs() },
      { id: "heading", label: t("Turn to the next equal heading"), keys: ["T"], scope: "pose", enabled: () => isFree() && this.symmetry.value !== 1, run: () => this.turnHeading() },
      { id: "reset", label: t("Back to the proposal"), keys: ["Backspace"], scope: "pose", enabled: () => isFree() && this.pose !== this.proposal, run: () => this.edit("reset", this.proposal as PoseJson) },
      { id: "hide", label: t("Hide the shape"), keys: ["H"], scope: "pose", enabled: has, run: () => this.setHidden(!this.isHidden) },
      { id: "dim", label: t("Dim what hides the object"), keys: ["O"], scope: "pose", enabled: has, run: () => this.setDimmed(!this.isDimmed) },
      { id: "opacity.less", label: t("Shape over the photo: fainter"), keys: ["["], scope: "pose", repeats: true, run: () => this.setOpacity(this.opacityNow() - 0.1) },
      { id: "opacity.more", label: t("Shape over the photo: stronger"), keys: ["]"], scope: "pose", repeats: true, run: () => this.setOpacity(this.opacityNow() + 0.1) },
      ...PRESETS.map((preset, i): Command => ({ id: `view.${preset}`, label: names[preset], keys: [`${i + 1}`], scope: "pose", enabled: has, run: () => this.scene.look(preset) })),
      ...NUDGE_STYLES().flatMap(([prefix, label, style]) => NUDGE_KEYS.map((key, i): Command => ({
        id: `nudge.${prefix}${key}`, label, inHelp: i === 0, helpKeys: t("{prefix}arrows, PgUp, PgDn", { prefix: prefixLabel(prefix) }), keys: [`${prefix}${key}`], scope: "pose", repeats: true, enabled: isFree, run: () => this.nudge(key, style),
      }))),
    ]);
  }

  private build(): void {
    const { commands, shell } = this.host;
    const mode = (id: Mode) => commandButton(commands, `mode.${id}`, { pressed: () => this.mode === id });
    const undo = commandButton(commands, "undo");
    undo.querySelector("kbd")?.remove();
    replace(shell.work, this.scene.element, this.pairs.layer, h("div", { class: "pane-divider" }), this.leftLabel, this.rightLabel, this.pairs.element, this.review.element);
    const third = (id: string, label: string, pressed?: () => boolean) => commandButton(commands, id, { label, ...(pressed ? { pressed } : {}) });
    replace(shell.tools,
      h("section", {}, this.panel.readouts),
      h("section", {}, h("div", { class: "view-buttons thirds" },
        third("snap", t("Snap")), third("snap.scale", t("+ size")), third("pairs", t("3 pairs")),
        mode("translate"), mode("rotate"), mode("scale"),
        third("axes", t("Axes"), () => this.isInObjectAxes), third("turnsteps", t("15°"), () => this.isInTurnSteps), third("reset", t("Reset")),
        ...PRESETS.map((preset) => commandButton(commands, `view.${preset}`)), undo,
        third("hide", t("Hide"), () => this.isHidden), third("dim", t("Dim"), () => this.isDimmed))),
      h("section", {}, this.panel.fields),
      this.symmetry.element,
      h("section", {}, h("label", { class: "field" }, h("span", { class: "row spread" }, t("Shape over the photo"), h("span", {}, h("kbd", { text: "[" }), " ", h("kbd", { text: "]" }))), this.opacity)));
  }

  private describe(task: PoseTask): void {
    const cloud = task.point_cloud;
    const warning = (text: string, title: string) => h("span", { class: "badge warning", title }, icon("warning"), text);
    replace(this.leftLabel,
      cloud ? t("Scene") : t("No point cloud for this photo: place the shape by the photo on the right"),
      cloud?.approximate && warning(t("approximate depth"), t("These points were estimated from the photo alone. Trust the photo more than the points.")),
      !task.intrinsics && warning(t("camera assumed"), t("Nobody knows this photo's camera, so an ordinary one is assumed.")));
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
    this.isWarned = false;
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
    const styled = { ...style, inObjectAxes: style.inObjectAxes || this.isInObjectAxes, ...(this.isInTurnSteps ? { turnStep_deg: TURN_STEP_DEG } : {}) };
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

  private toggleTurnSteps(): void {
    this.isInTurnSteps = !this.isInTurnSteps;
    this.scene.setTurnSteps(this.isInTurnSteps);
  }

  private setDimmed(isDimmed: boolean): void {
    this.isDimmed = isDimmed;
    this.scene.setDimmed(isDimmed);
  }

  private turnHeading(): void {
    const turned = this.pose && this.symmetry.next(this.pose);
    if (turned) this.edit("heading", turned);
  }

  private declared(): void {
    this.isWarned = false;
    this.host.changed();
    this.refresh();
  }

  // ---- poses that something else finds ----

  /** Neither a review nor point pairs go with the gizmo or with nudges. */
  private freed(): void {
    this.scene.setGizmo(!this.review.isOpen && !this.pairs.isOpen);
    this.host.commands.changed();
  }

  private async snap(withScale: boolean): Promise<void> {
    const { pose: before, task } = this;
    if (!before) return;
    let isWanted = true;
    this.review.wait(t("Snapping to the points…"), () => { isWanted = false; });
    const isStill = () => isWanted && this.task === task;
    try {
      const answer = await snapped(this.host, before, withScale, isStill);
      if (!isStill()) return;
      this.review.close();
      if (!answer) return;
      if (answer.found) this.review.open({ title: t("Snapped to {count} points", { count: answer.num_points }), action: withScale ? "snap_scale" : "snap", before, after: answer.pose, lines: snapLines(answer, lengthText(before)) });
      else this.host.shell.announce(this.say(t("Snapping finds nothing better than this pose.")));
    } catch (error) {
      if (!isStill()) return;
      this.review.close();
      this.host.complain(error);
    }
  }

  private say(text: string): string {
    toast(this.host.shell.root, text);
    return text;
  }

  private startPairs(): void {
    const cloud = this.task?.point_cloud;
    if (cloud) this.pairs.start(cloud.unit);
    else this.host.shell.announce(this.say(t("This photo has no points to pair with: place the shape by the photo.")));
  }

  private alignedBy({ pose, rms }: PairFit): void {
    const { pose: before } = this;
    if (!before) return;
    const length = lengthText(before), wasMeasured = this.scene.measure();
    this.scene.setPose(pose);
    const isMeasured = this.scene.measure();
    const iou = (m: Measure | null) => (m ? m.iou.toFixed(3) : "–"), depth = (m: Measure | null) => (m?.residual == null ? "–" : length(m.residual));
    const lines: Line[] = [
      { name: t("Mask IoU"), before: iou(wasMeasured), after: iou(isMeasured), isWorse: (isMeasured?.iou ?? 0) < (wasMeasured?.iou ?? 0) },
      { name: t("Depth residual"), before: depth(wasMeasured), after: depth(isMeasured), isWorse: (isMeasured?.residual ?? Infinity) > (wasMeasured?.residual ?? Infinity) },
      { name: t("Points miss their partners by"), before: "–", after: length(rms), isWorse: false },
    ];
    const found: Found = { title: t("Aligned by three point pairs"), action: "pairs", before, after: this.clamped(pose), lines };
    this.review.open(found);
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
      if (this.now && !this.scene.isDragging) this.host.shell.announce(t("Mask overlap {iou}", { iou: this.now.iou.toFixed(2) }));
    }, MEASURE_EVERY_MS);
  }

  private refresh(): void {
    if (this.pose && this.proposal) this.panel.show(this.pose, this.proposal, this.now ?? this.first, this.first, this.symmetry.value);
  }

  private drawn(): void {
    this.pairs.follow();
    if (!this.isFirstFrame || !this.task) return;
    this.isFirstFrame = false;
    this.host.ready();
  }
}

async function loadCloud(url: string): Promise<PointCloud> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(t("The point cloud could not be loaded (HTTP {status}).", { status: response.status }));
  return parsePointCloud(await response.arrayBuffer());
}
