/** The arena: two shapes of one object side by side, and which is closer to the photo. Nothing tells who made them. */
import { pageUrl } from "../core/config";
import type { Config } from "../core/config";
import type { Commands } from "../core/commands";
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { ArenaMatch } from "../net/contract";
import { gridCells, photoWindow } from "../tools/cell_layout";
import type { Rect } from "../tools/mask";
import { commandButton } from "../ui/buttons";
import { icon } from "../ui/icons";
import type { PhotoCard } from "../ui/photo_card";
import { PhotoCrop } from "../ui/photo_crop";
import { PhotoLayer } from "../ui/photo_layer";
import { canvasOf, loadImage, maskOfCanvas } from "../ui/raster";
import { CellGrid } from "../viewer/cell_grid";
import { NoWebGl, showNoWebGl } from "../viewer/context";
import "./pick.css";
import { viewCommands } from "./view_commands";
import { holdButton, viewSection } from "./view_panel";

export type Verdict = "left" | "right" | "equal";

export interface ArenaHost {
  config: Config;
  commands: Commands;
  root: HTMLElement;
  work: HTMLElement;
  tools: HTMLElement;
  photo: PhotoCard;
  /** No answer is on its way. */
  isFree: () => boolean;
  judged: (verdict: Verdict) => void;
  ready: () => void;
}

const LEFT = 0, RIGHT = 1;
const MASK_PX = 640;

/** Raises NoWebGl, after the page has said so. */
export function createArenaStage(host: ArenaHost): ArenaStage {
  try {
    return new ArenaStage(host);
  } catch (error) {
    if (error instanceof NoWebGl) showNoWebGl(host.root, pageUrl.home(host.config.project.slug));
    throw error;
  }
}

export class ArenaStage {
  private readonly grid: CellGrid;
  private readonly overlay = new PhotoLayer();
  private readonly frames: readonly HTMLElement[];
  private match: ArenaMatch | null = null;
  private crop: PhotoCrop | null = null;
  private rects: readonly Rect[] = [];
  private isFlickering = false;
  private isFirstFrame = false;
  private seenSince: number | null = null;

  constructor(private readonly host: ArenaHost) {
    this.grid = new CellGrid({ layout: () => this.layout(), clicked: () => undefined, drawn: () => this.drawn(), changed: () => this.changed() });
    this.addCommands();
    this.frames = [t("Left"), t("Right || the side")].map((name) => this.frame(name));
    this.build();
    host.commands.enter("arena");
  }

  async load(match: ArenaMatch): Promise<void> {
    this.match = match;
    this.seenSince = null;
    const shapes = [match.left, match.right].map((shape, id) => ({ ...shape, id, splat_url: shape.splat_url || null, pose: null }));
    const shown = this.grid.show(shapes, null);
    const { width, height } = match.photo;
    const [photo, mask] = await Promise.all([loadImage(match.photo.url), loadImage(match.target.mask_url)]);
    if (this.match !== match) return;
    this.crop = new PhotoCrop(photo, mask, { width, height });
    const part = Math.min(1, MASK_PX / Math.max(width, height));
    this.host.photo.show(match.photo, photo, maskOfCanvas(canvasOf(mask, Math.round(width * part), Math.round(height * part))), match.target.label);
    this.layout();
    this.grid.startTurntable();
    void Promise.all(shown).then(() => {
      if (this.match !== match) return;
      this.isFirstFrame = true;
      this.grid.redraw();
    });
  }

  clear(): void {
    this.match = this.crop = this.seenSince = null;
    this.isFlickering = this.isFirstFrame = false;
    this.rects = [];
    this.grid.clear();
    this.host.photo.clear();
    this.overlay.draw(null, [], "");
    for (const frame of this.frames) frame.hidden = true;
  }

  /** How long the pair has been seen, in seconds. */
  get seconds(): number {
    return this.seenSince === null ? 0 : (performance.now() - this.seenSince) / 1000;
  }

  hint(): string {
    return t("Which is closer to the photo? Left or Right arrow, Down for equal. Hold Space: the photo. S skips.");
  }

  testHandle(): Record<string, unknown> {
    return {
      stage: () => ({
        look: this.grid.look, isFlickering: this.isFlickering, mayJudge: this.mayJudge(),
        cells: [LEFT, RIGHT].map((id) => ({ phase: this.grid.cell(id)?.phase, detail: this.grid.cell(id)?.detail, faces: this.grid.cell(id)?.numFaces })),
      }),
      cameraState: () => this.grid.cameraState(),
    };
  }

  private addCommands(): void {
    const { commands } = this.host;
    const judge = (verdict: Verdict, label: string, key: string) => ({ id: `arena.${verdict}`, label, keys: [key], scope: "arena", enabled: () => this.mayJudge(), run: () => this.host.judged(verdict) });
    commands.add([
      judge("left", t("Left is better"), "ArrowLeft"), judge("right", t("Right is better"), "ArrowRight"), judge("equal", t("Equally good"), "ArrowDown"),
      ...viewCommands("arena", {
        setLook: (look) => this.grid.setLook(look),
        toggleTurntable: () => this.grid.setTurning(!this.grid.isTurning),
        resetCamera: () => this.grid.resetCamera(),
        orbit: (azimuth, polar, distance) => this.grid.orbit(azimuth, polar, distance),
        flicker: (isOn) => this.flicker(isOn),
        hasFailed: () => [LEFT, RIGHT].some((id) => this.grid.cell(id)?.mayBeReloaded),
        reload: () => void this.grid.reload(),
      }),
    ]);
  }

  private build(): void {
    const { commands, work, tools } = this.host;
    replace(work, this.grid.element, this.overlay.element, h("div", { class: "cells" }, ...this.frames));
    const judging = h("div", { class: "stack" }, commandButton(commands, "arena.left", { label: t("Left") }), commandButton(commands, "arena.equal", { label: t("Equal") }), commandButton(commands, "arena.right", { label: t("Right || the side") }));
    tools.classList.add("roomy");
    replace(tools,
      h("section", {}, h("h3", { text: t("Which is better?") }), judging),
      viewSection(commands, () => ({ look: this.grid.look, isTurning: this.grid.isTurning })),
      h("section", {}, h("h3", { text: t("Against the photo") }), holdButton(commands, "photo.flicker", t("Hold: photo"))));
    // A button that was clicked must not keep the keyboard: Space is the photo's.
    tools.addEventListener("click", (event) => { if (event.detail > 0) (document.activeElement as HTMLElement | null)?.blur(); });
  }

  private frame(name: string): HTMLElement {
    return h("div", { class: "cell", hidden: true, data: { large: "1" } },
      h("div", { class: "shimmer" }), h("span", { class: "number", text: name }), h("span", { class: "state caption" }),
      h("div", { class: "failed" }, icon("warning"), h("span", { text: t("This candidate could not be loaded") }), commandButton(this.host.commands, "cells.reload", { label: t("Load again") })));
  }

  /** Nobody judges what they cannot see. */
  private mayJudge(): boolean {
    return this.seenSince !== null && this.host.isFree() && !this.grid.isLost && [LEFT, RIGHT].every((id) => this.grid.cell(id)?.phase === "ready");
  }

  private flicker(isOn: boolean): void {
    if (isOn === this.isFlickering || (isOn && !this.match)) return;
    this.isFlickering = isOn;
    this.drawPhoto();
  }

  private layout(): void {
    const { clientWidth: width, clientHeight: height } = this.grid.element;
    if (!this.match || width === 0) return;
    this.rects = gridCells(2, width, height, 2);
    this.grid.place([LEFT, RIGHT].map((id) => ({ id, rect: this.rects[id] as Rect, isLarge: true })));
    this.changed();
    this.drawPhoto();
  }

  private changed(): void {
    this.frames.forEach((frame, id) => {
      const rect = this.rects[id], cell = this.grid.cell(id);
      frame.hidden = !rect || !cell;
      if (!rect || !cell) return;
      Object.assign(frame.style, { left: `${rect.x}px`, top: `${rect.y}px`, width: `${rect.width}px`, height: `${rect.height}px` });
      Object.assign(frame.dataset, { phase: cell.phase, detail: cell.detail });
      const label = frame.querySelector(".state") as HTMLElement;
      label.textContent = cell.phase === "failed" ? "" : cell.state;
      label.hidden = label.textContent === "";
    });
    this.host.commands.changed();
  }

  /** The photo over both while Space is held, each with the object as large as the shape. */
  private drawPhoto(): void {
    const { match } = this;
    if (!match) return;
    const places = this.isFlickering ? this.rects.map((rect) => ({ rect, shown: photoWindow(match.target.bbox, rect.width / rect.height), opacity: 1, hasOutline: true })) : [];
    this.overlay.draw(this.crop, places, t("The photo, cut to the candidates' frames"));
  }

  private drawn(): void {
    if (!this.isFirstFrame) return;
    this.isFirstFrame = false;
    this.seenSince = performance.now();
    this.host.commands.changed();
    this.host.ready();
  }
}
