/** Three pairs of points, one on the shape and one in the scene each, by clicks or by a crosshair that keys move. */
import { h, replace } from "../core/dom";
import { prefixLabel } from "../core/keys";
import { t } from "../core/language";
import type { PoseJson, Vec3 } from "../net/contract";
import { fitPairs, PAIRS_NEEDED } from "../tools/point_pairs";
import type { Degenerate, PairFit } from "../tools/point_pairs";
import { commandButton } from "../ui/buttons";
import type { PoseScene } from "../viewer/pose_scene";
import type { StageHost } from "./stage";

type Place = [x: number, y: number];
const STEPS_PX: readonly (readonly [prefix: string, px: number])[] = [["", 12], ["Shift+", 60], ["Ctrl+", 2]];
const DIRECTIONS: readonly (readonly [key: string, dx: number, dy: number])[] = [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]];
/** A press that moves farther turns the view. */
const CLICK_PX = 5;

export interface PairsListener {
  solved: (fit: PairFit) => void;
  changed: () => void;
}

export class PosePairs {
  readonly element = h("div", { class: "pose-card", hidden: true });
  readonly layer = h("div", { class: "pair-layer", hidden: true });
  private readonly crosshair = h("div", { class: "pair-crosshair", "aria-hidden": "true" });
  private readonly text = h("p", { role: "status" });
  private readonly refusal = h("p", { class: "refusal", role: "alert" });
  private onShape: Vec3[] = [];
  private inScene: Vec3[] = [];
  private isOn = false;
  private at: Place = [0, 0];
  private pressedAt: Place | null = null;
  private unit: PoseJson["unit"] = "pointmap";

  constructor(private readonly host: StageHost, private readonly scene: PoseScene, private readonly listener: PairsListener) {
    const { commands } = host;
    commands.add([
      { id: "pairs.place", label: t("Place the point under the crosshair"), keys: ["Space"], scope: "pairs", run: () => this.place(this.onPage()) },
      { id: "pairs.back", label: t("Take the last point back"), keys: ["Backspace", "Ctrl+Z"], scope: "pairs", repeats: true, enabled: () => this.count > 0, run: () => this.takeBack() },
      { id: "pairs.cancel", label: t("Stop aligning by points"), keys: ["Escape"], scope: "pairs", run: () => this.end() },
      { id: "pairs.other", label: t("Crosshair to the other view"), keys: ["V"], scope: "pairs", run: () => this.jump() },
      { id: "pairs.enter", label: t("All three pairs are needed first"), keys: ["Enter"], scope: "pairs", inHelp: false, run: () => host.shell.announce(this.text.textContent ?? "") },
      ...STEPS_PX.flatMap(([prefix, px]) => DIRECTIONS.map(([key, dx, dy], i) => ({
        id: `pairs.${prefix}${key}`, label: px < 10 ? t("Move the crosshair, fine") : px > 20 ? t("Move the crosshair, coarse") : t("Move the crosshair"), inHelp: i === 0, helpKeys: t("{prefix}arrows", { prefix: prefixLabel(prefix) }),
        keys: [`${prefix}${key}`], scope: "pairs", repeats: true, run: () => this.moveBy(dx * px, dy * px),
      }))),
    ]);
    replace(this.element, h("h3", { text: t("Align by three point pairs") }), this.text, this.refusal,
      h("div", { class: "row" }, commandButton(commands, "pairs.back", { icon: "undo", label: t("Last point back") }), commandButton(commands, "pairs.cancel", { label: t("Stop") })));
    scene.element.addEventListener("pointerdown", (event) => { this.pressedAt = [event.clientX, event.clientY]; }, { capture: true });
    scene.element.addEventListener("pointerup", (event) => this.released([event.clientX, event.clientY]), { capture: true });
  }

  get isOpen(): boolean {
    return this.isOn;
  }

  get state(): { open: boolean; onShape: number; inScene: number; crosshair: Place; refusal: string } {
    return { open: this.isOn, onShape: this.onShape.length, inScene: this.inScene.length, crosshair: this.isOn ? this.onPage() : [0, 0], refusal: this.refusal.textContent ?? "" };
  }

  start(unit: PoseJson["unit"]): void {
    // Or the button that began it would keep the keyboard.
    (document.activeElement as HTMLElement | null)?.blur();
    this.unit = unit;
    this.onShape = [];
    this.inScene = [];
    this.refusal.textContent = "";
    this.isOn = true;
    this.at = [this.scene.element.clientWidth / 4, this.scene.element.clientHeight / 2];
    this.element.hidden = this.layer.hidden = false;
    this.host.commands.enter("pairs");
    this.refresh();
  }

  end(): void {
    if (!this.isOn) return;
    this.isOn = false;
    this.element.hidden = this.layer.hidden = true;
    this.scene.showForPicking(null);
    this.host.commands.leave("pairs");
    this.listener.changed();
  }

  /** Again after each frame: the markers stay on their points. */
  follow(): void {
    if (!this.isOn) return;
    const marks = [...this.onShape.map((point, i) => this.mark(i, "shape", this.scene.placed(point))), ...this.inScene.map((point, i) => this.mark(i, "scene", point))];
    replace(this.layer, this.crosshair, ...marks.flat());
    Object.assign(this.crosshair.style, { left: `${this.at[0]}px`, top: `${this.at[1]}px` });
  }

  private get count(): number {
    return this.onShape.length + this.inScene.length;
  }

  private get wantsShape(): boolean {
    return this.onShape.length === this.inScene.length;
  }

  private refresh(): void {
    const number = this.inScene.length + 1;
    this.text.textContent = this.wantsShape
      ? t("Pair {number} of {all}: choose a point on the shape. Click it, or move the crosshair with the arrows and press Space.", { number, all: PAIRS_NEEDED })
      : t("Pair {number} of {all}: choose the same point in the scene, on the left or on the photo.", { number, all: PAIRS_NEEDED });
    this.host.shell.announce(this.text.textContent);
    this.scene.showForPicking(this.wantsShape ? "shape" : "cloud");
    this.follow();
    this.host.commands.changed();
    this.listener.changed();
  }

  private place(at: Place): void {
    const point = this.wantsShape ? this.scene.pickShape(at) : this.scene.pickCloud(at);
    if (!point) {
      this.refuse(this.wantsShape ? t("The shape is not there. Choose a place where you see it.") : t("The scene has no point there. Choose a place that has points."));
      return;
    }
    this.refusal.textContent = "";
    (this.wantsShape ? this.onShape : this.inScene).push(point);
    if (this.inScene.length === PAIRS_NEEDED) this.solve();
    else this.refresh();
  }

  private solve(): void {
    const fit = fitPairs(this.onShape.map((onShape, i) => ({ onShape, inScene: this.inScene[i] as Vec3 })), this.unit);
    if (typeof fit === "string") {
      this.inScene.pop();
      this.refuse(refusalOf(fit));
      this.refresh();
    } else {
      this.end();
      this.listener.solved(fit);
    }
  }

  private takeBack(): void {
    this.refusal.textContent = "";
    (this.wantsShape ? this.inScene : this.onShape).pop();
    this.refresh();
  }

  private refuse(text: string): void {
    this.refusal.textContent = text;
    this.host.shell.announce(text);
    this.listener.changed();
  }

  private released(at: Place): void {
    const from = this.pressedAt;
    this.pressedAt = null;
    if (this.isOn && from && Math.hypot(at[0] - from[0], at[1] - from[1]) < CLICK_PX) {
      const box = this.scene.element.getBoundingClientRect();
      this.at = [at[0] - box.left, at[1] - box.top];
      this.place(at);
    }
  }

  private moveBy(dx: number, dy: number): void {
    const { clientWidth, clientHeight } = this.scene.element;
    this.at = [Math.min(clientWidth - 1, Math.max(0, this.at[0] + dx)), Math.min(clientHeight - 1, Math.max(0, this.at[1] + dy))];
    this.follow();
  }

  private jump(): void {
    const half = this.scene.element.clientWidth / 2;
    this.at = [(this.at[0] + half) % (2 * half), this.at[1]];
    this.follow();
  }

  private onPage(): Place {
    const box = this.scene.element.getBoundingClientRect();
    return [box.left + this.at[0], box.top + this.at[1]];
  }

  private mark(index: number, where: "shape" | "scene", point: Vec3): HTMLElement[] {
    const box = this.scene.element.getBoundingClientRect(), half = this.scene.element.clientWidth / 2;
    const places = [this.scene.projectToScene(point), this.scene.projectToScreen(point)];
    return places.flatMap((place, pane) => {
      if (!place || !Number.isFinite(place[0])) return [];
      const x = place[0] - box.left, y = place[1] - box.top;
      if (pane === 0 ? x < 0 || x > half : x < half || x > 2 * half) return [];
      const mark = h("div", { class: `pair-mark ${where}`, text: index + 1 });
      Object.assign(mark.style, { left: `${x}px`, top: `${y}px` });
      return [mark];
    });
  }
}

function refusalOf(fault: Degenerate): string {
  if (fault === "collinear") return t("The three points lie on one line, so the turn about it is open. Take points back (Backspace) and choose one well beside the line.");
  if (fault === "behind") return t("These pairs would put the shape behind the camera. Take points back (Backspace) and check which belongs to which.");
  return t("Two of the points are in one place. Take points back (Backspace) and choose them far apart.");
}
