/** Stage 2: compare the candidates, pick the best one, rate it; or say that none is good enough. */
import type { Command } from "../core/commands";
import { h, replace } from "../core/dom";
import type { Claim, PickResult, PickTask, Result } from "../net/contract";
import { gridCells, stripCells } from "../tools/cell_layout";
import type { Rect } from "../tools/mask";
import { judge, numComparisons, startTournament } from "../tools/tournament";
import type { Outcome, Tournament } from "../tools/tournament";
import { commandButton } from "../ui/buttons";
import { icon } from "../ui/icons";
import { loadImage, loadMask } from "../ui/raster";
import { CellGrid } from "../viewer/cell_grid";
import type { Placed } from "../viewer/cell_grid";
import type { CellLook } from "../viewer/cell";
import { addRatingCommands, ratingPanel } from "./rating_panel";
import type { Aspect } from "./rating_panel";
import type { StageHost, StageView } from "./stage";

interface Judgement { mode: "grid" | "king"; tournament: Tournament; winner: number | null; shape: number | null; texture: number | null }
interface Draft { judgement: Judgement; inspected: Record<string, number> }

const MASK_PX = 640;
const ORBIT_STEP = Math.PI / 16;

export function createPickStage(host: StageHost): StageView<PickTask> {
  return new PickStage(host);
}

class PickStage implements StageView<PickTask> {
  private readonly grid: CellGrid;
  private readonly frames = h("div");
  private readonly photoCanvas = h("canvas", { class: "photo-over", "aria-label": "The photo beside the candidate", role: "img" });
  private readonly progressText = h("span", { class: "caption" });
  private readonly progressBar = h("div");
  private task: PickTask | null = null;
  private photo: HTMLImageElement | null = null;
  private judgement: Judgement | null = null;
  private inspected: Record<string, number> = {};
  private inspecting: number | null = null;
  private inspectingSince = 0;
  private pairSince = 0;
  private isFlickering = false;
  private isFirstFrame = false;

  constructor(private readonly host: StageHost) {
    this.grid = new CellGrid({
      layout: () => this.layout(),
      clicked: (id, isDouble) => this.clicked(id, isDouble),
      drawn: () => this.drawn(),
      changed: () => { this.decorate(); host.commands.changed(); },
    });
    this.addCommands();
    this.build();
    host.commands.enter("pick");
  }

  async load(_claim: Claim, task: PickTask, draft: object | null): Promise<void> {
    this.task = task;
    const stored = (draft as Partial<Draft> | null)?.judgement;
    const order = task.candidates.map(({ id }) => id);
    this.judgement = stored ?? { mode: task.mode, tournament: startTournament(order), winner: null, shape: null, texture: null };
    this.inspected = (draft as Partial<Draft> | null)?.inspected ?? {};
    this.pairSince = performance.now();
    const previews = this.grid.load(task.candidates, task.intrinsics && { intrinsics: task.intrinsics, bbox: task.target.bbox });
    this.photo = await loadImage(task.photo.url);
    const part = Math.min(1, MASK_PX / Math.max(task.photo.width, task.photo.height));
    const mask = await loadMask(task.target.mask_url, Math.round(task.photo.width * part), Math.round(task.photo.height * part));
    this.host.shell.photo.show(task.photo, this.photo, mask, task.target.label);
    this.syncScopes();
    await previews;
    this.isFirstFrame = true;
    this.layout();
    this.grid.startTurntable();
  }

  clear(): void {
    this.stopInspecting();
    this.grid.clear();
    this.task = this.photo = this.judgement = null;
    this.host.shell.photo.clear();
    replace(this.frames);
    this.syncScopes();
  }

  missing(): string | null {
    const state = this.judgement;
    if (!state) return "There is no task.";
    if (state.winner === null) return state.mode === "king" ? "Compare the pairs first: Left arrow, Right arrow, or Down for equal." : "Pick the best candidate first: 1 to 8. Or E: none is good enough.";
    if (state.shape === null) return "Rate the shape: 1 (wrong) to 5 (exact).";
    if (state.texture === null) return "Rate the texture: Q (wrong) to T (exact).";
    return null;
  }

  submit(): void {
    const state = this.judgement;
    if (!state || state.winner === null || state.shape === null || state.texture === null) return;
    this.stopInspecting();
    const result = {
      winner: state.winner, mode: state.mode, shape_rating: state.shape, texture_rating: state.texture, comparisons: [...state.tournament.comparisons], inspected: this.inspected,
    };
    this.host.submit(async () => result);
  }

  draft = async (): Promise<Draft> => ({ judgement: this.judgement as Judgement, inspected: this.inspected });

  async takeUp(result: Result): Promise<void> {
    const { mode, winner, shape_rating, texture_rating, comparisons = [], inspected = {} } = result as PickResult;
    if (!this.task) return;
    const tournament = comparisons.reduce((state, { outcome, milliseconds }) => judge(state, outcome, milliseconds), startTournament(this.task.candidates.map(({ id }) => id)));
    this.inspected = { ...inspected };
    this.change("Take up the answer", { mode, tournament, winner, shape: shape_rating, texture: texture_rating });
  }

  hint(): string {
    const state = this.judgement;
    if (!state) return "";
    if (this.inspecting !== null) return "Hold Space to see the photo in the same frame. Esc goes back. 0: the photo's camera.";
    if (state.winner !== null) return this.missing() ?? "Enter submits. Esc takes the pick back.";
    return state.mode === "king" ? "Which is closer to the photo? Left or Right arrow, Down for equal. K: all eight." : "1 to 8 pick the best. Shift+1 to 8 look at one large. K: compare two at a time. E: none good enough.";
  }

  testHandle(): Record<string, unknown> {
    return {
      stage: () => ({ ...this.judgement, inspecting: this.inspecting, look: this.grid.look, cells: this.task?.candidates.map(({ id }) => ({ id, state: this.grid.cell(id)?.state, faces: this.grid.cell(id)?.numFaces })) }),
      cameraState: () => this.grid.cameraState(),
      renderInfo: () => ({ ...this.grid.renderer.gl.info.render, ...this.grid.renderer.gl.info.memory, software: this.grid.renderer.isSoftware }),
    };
  }

  // ---- commands ----

  private addCommands(): void {
    const { commands } = this.host;
    const look = (id: CellLook, label: string, key: string): Command => ({ id: `look.${id}`, label, keys: [key], scope: "pick", run: () => this.setLook(id) });
    const orbit = (id: string, label: string, keys: string[], turn: () => void): Command => ({ id: `orbit.${id}`, label, keys, scope: "pick", repeats: true, run: turn });
    const number = (i: number) => this.task?.candidates[i]?.id;
    const has = (i: number) => number(i) !== undefined;
    const row = (make: (i: number) => Command) => Array.from({ length: 8 }, (_, i) => make(i));
    commands.add([
      ...row((i) => ({ id: `pick.${i + 1}`, label: "Pick a candidate", inHelp: i === 0, helpKeys: "1 … 8", keys: [`${i + 1}`], scope: "grid", enabled: () => has(i), run: () => this.pick(number(i) as number) })),
      ...row((i) => ({ id: `inspect.${i + 1}`, label: "Look at one large, beside the photo", inHelp: i === 0, helpKeys: "Shift+1 … 8", keys: [`Shift+${i + 1}`], scope: "pick", enabled: () => has(i), run: () => this.inspect(number(i) as number) })),
      { id: "king.left", label: "Left is better", keys: ["ArrowLeft"], scope: "king", run: () => this.judgePair("left") },
      { id: "king.right", label: "Right is better", keys: ["ArrowRight"], scope: "king", run: () => this.judgePair("right") },
      { id: "king.equal", label: "Equally good", keys: ["ArrowDown"], scope: "king", run: () => this.judgePair("equal") },
      { id: "mode", label: "Two at a time / all at once", keys: ["K"], scope: "pick", enabled: () => this.judgement?.winner === null, run: () => this.toggleMode() },
      look("colour", "Mesh", "M"), look("splat", "Splats", "G"), look("clay", "Clay", "C"), look("normals", "Normals", "N"),
      { id: "turntable", label: "Turntable", keys: ["T"], scope: "pick", run: () => this.grid.setTurning(!this.grid.isTurning) },
      { id: "photo.camera", label: "Photo's camera", keys: ["0"], scope: "pick", enabled: () => this.grid.hasPhotoCamera, run: () => this.setPhotoCamera(!this.grid.isPhotoCamera) },
      { id: "camera.reset", label: "First view", keys: ["Home"], scope: "pick", run: () => this.grid.resetCamera() },
      orbit("left", "Turn left", ["Shift+ArrowLeft"], () => this.grid.orbit(-ORBIT_STEP, 0)), orbit("right", "Turn right", ["Shift+ArrowRight"], () => this.grid.orbit(ORBIT_STEP, 0)),
      orbit("up", "Tilt up", ["Shift+ArrowUp"], () => this.grid.orbit(0, -ORBIT_STEP)), orbit("down", "Tilt down", ["Shift+ArrowDown"], () => this.grid.orbit(0, ORBIT_STEP)),
      orbit("in", "Closer", ["+"], () => this.grid.orbit(0, 0, 0.87)), orbit("out", "Farther", ["-"], () => this.grid.orbit(0, 0, 1.15)),
      { id: "flicker", label: "Photo in the same frame (hold)", keys: ["Space"], scope: "inspect", run: () => this.flicker(true), release: () => this.flicker(false) },
      { id: "inspect.end", label: "Back to all", keys: ["Escape"], scope: "inspect", run: () => { this.stopInspecting(); this.layout(); } },
      { id: "unpick", label: "Take the pick back", keys: ["Escape"], scope: "rating", run: () => this.unpick() },
    ]);
    addRatingCommands(commands, (aspect, value) => this.rate(aspect, value));
  }

  private build(): void {
    const { commands, shell } = this.host;
    const look = (id: CellLook) => commandButton(commands, `look.${id}`, { pressed: () => this.grid.look === id });
    replace(shell.work, this.grid.element, this.frames, this.photoCanvas);
    this.photoCanvas.hidden = true;
    const kingButtons = h("div", { class: "view-buttons thirds" }, commandButton(commands, "king.left", { label: "Left" }), commandButton(commands, "king.equal", { label: "Equal" }), commandButton(commands, "king.right", { label: "Right" }));
    // Left and right are the names of their keys already.
    for (const id of ["king.left", "king.right"]) kingButtons.querySelector(`[data-command="${id}"] kbd`)?.remove();
    commands.onChange(() => { kingButtons.hidden = !commands.isIn("king"); });
    replace(shell.tools,
      h("section", {}, h("div", { class: "row spread" }, h("h3", { text: "Comparing" }), this.progressText), h("div", { class: "progress" }, this.progressBar), kingButtons,
        commandButton(commands, "mode", { icon: "king", pressed: () => this.judgement?.mode === "king", label: "Two at a time" })),
      h("section", {}, h("h3", { text: "View" }), h("div", { class: "view-buttons" },
        look("colour"), look("splat"), look("clay"), look("normals"),
        commandButton(commands, "turntable", { pressed: () => this.grid.isTurning }),
        commandButton(commands, "photo.camera", { pressed: () => this.grid.isPhotoCamera, label: "Photo cam" }))),
      ratingPanel(commands, (aspect) => this.judgement?.[aspect] ?? null));
  }

  // ---- judging ----

  private change(label: string, after: Judgement): void {
    const before = this.judgement as Judgement;
    const put = (state: Judgement) => {
      if (state.tournament !== this.judgement?.tournament || state.mode !== this.judgement.mode) this.pairSince = performance.now();
      this.judgement = state;
      this.syncScopes();
      this.layout();
      this.host.changed();
    };
    put(after);
    this.host.history.push({ label, undo: () => put(before), redo: () => put(after) });
  }

  private pick(id: number): void {
    if (!this.judgement || this.judgement.winner === id) return;
    this.change("Pick", { ...this.judgement, winner: id, mode: "grid" });
    this.host.shell.announce(`Candidate ${this.numberOf(id)} picked. Rate shape and texture.`);
  }

  private unpick(): void {
    const state = this.judgement;
    if (!state || state.winner === null) return;
    // A finished tournament goes back to its last pair, which has to be judged again.
    if (state.mode === "king") this.host.history.undo();
    else this.change("Take the pick back", { ...state, winner: null, shape: null, texture: null });
  }

  private judgePair(outcome: Outcome): void {
    const state = this.judgement;
    if (!state || state.mode !== "king" || state.winner !== null) return;
    const tournament = judge(state.tournament, outcome, performance.now() - this.pairSince);
    this.change("Comparison", { ...state, tournament, winner: tournament.winner });
    this.host.shell.announce(tournament.winner === null ? `Comparison ${tournament.comparisons.length + 1}` : `Candidate ${this.numberOf(tournament.winner)} won. Rate it.`);
  }

  private toggleMode(): void {
    const state = this.judgement;
    if (!state) return;
    this.stopInspecting();
    this.change("Mode", { ...state, mode: state.mode === "king" ? "grid" : "king" });
  }

  private rate(aspect: Aspect, value: number): void {
    if (this.judgement) this.change("Rating", { ...this.judgement, [aspect]: value });
  }

  private syncScopes(): void {
    const { commands } = this.host;
    const state = this.judgement;
    const wanted: Record<string, boolean> = {
      grid: state !== null && state.winner === null && (state.mode === "grid" || this.inspecting !== null),
      king: state !== null && state.winner === null && state.mode === "king" && this.inspecting === null,
      rating: state !== null && state.winner !== null,
      inspect: this.inspecting !== null,
    };
    for (const [scope, isOn] of Object.entries(wanted)) if (isOn !== commands.isIn(scope)) isOn ? commands.enter(scope) : commands.leave(scope);
  }

  // ---- looking ----

  private setLook(look: CellLook): void {
    this.grid.setLook(look);
    this.decorate();
  }

  private setPhotoCamera(isOn: boolean): void {
    this.grid.setPhotoCamera(isOn);
    this.drawPhoto();
  }

  private clicked(id: number, isDouble: boolean): void {
    const state = this.judgement;
    if (!state) return;
    const isLarge = this.largeIds().includes(id);
    if (isDouble && this.inspecting === null) this.inspect(id);
    else if (this.inspecting !== null && id !== this.inspecting) this.inspect(id);
    else if (this.inspecting === null && state.mode === "king" && state.winner === null && isLarge) this.judgePair(id === state.tournament.left ? "left" : "right");
    else if (state.mode === "grid" && this.inspecting === null) this.pick(id);
  }

  private inspect(id: number): void {
    const isSame = this.inspecting === id;
    this.stopInspecting();
    if (!isSame) {
      this.inspecting = id;
      this.inspectingSince = performance.now();
      this.host.shell.announce(`Looking at candidate ${this.numberOf(id)}`);
    }
    this.syncScopes();
    this.layout();
    this.host.changed();
  }

  private stopInspecting(): void {
    if (this.inspecting === null) return;
    const key = String(this.inspecting);
    this.inspected = { ...this.inspected, [key]: Math.round((this.inspected[key] ?? 0) + performance.now() - this.inspectingSince) };
    this.inspecting = null;
    this.isFlickering = false;
    this.syncScopes();
  }

  private flicker(isOn: boolean): void {
    this.isFlickering = isOn;
    if (isOn) this.grid.setPhotoCamera(true);
    this.drawPhoto();
  }

  private largeIds(): number[] {
    const state = this.judgement;
    if (this.inspecting !== null) return [this.inspecting];
    return state?.mode === "king" && state.winner === null ? [state.tournament.left, state.tournament.right] : [];
  }

  private layout(): void {
    const { clientWidth: width, clientHeight: height } = this.grid.element;
    if (!this.task || !this.judgement || width === 0) return;
    const ids = this.task.candidates.map(({ id }) => id);
    const large = this.largeIds();
    let placed: Placed[];
    if (large.length === 0) {
      const cells = gridCells(ids.length, width, height);
      placed = ids.map((id, i) => ({ id, rect: cells[i] as Rect, isLarge: false }));
    } else {
      const cells = stripCells(2, ids.length, width, height);
      placed = [...large.map((id, i) => ({ id, rect: cells.large[i] as Rect, isLarge: true })), ...ids.map((id, i) => ({ id, rect: cells.small[i] as Rect, isLarge: false }))];
    }
    this.grid.place(placed);
    replace(this.frames, ...placed.map((place) => this.frameOf(place)));
    this.decorate();
    this.drawPhoto();
  }

  private frameOf({ id, rect, isLarge }: Placed): HTMLElement {
    const frame = h("div", { class: "cell", data: { id: String(id), ...(isLarge ? { large: "1" } : {}) } }, h("span", { class: "number", text: this.numberOf(id) }), h("span", { class: "state caption" }), h("span", { class: "mark" }, icon("check")));
    setRect(frame, rect);
    return frame;
  }

  /** Rings, marks and states of the cells, and the progress of the comparison. */
  private decorate(): void {
    const state = this.judgement;
    if (!state) return;
    const { tournament } = state;
    const isKing = state.mode === "king";
    for (const frame of this.frames.children) {
      const id = Number((frame as HTMLElement).dataset.id);
      const isLarge = (frame as HTMLElement).dataset.large === "1";
      frame.classList.toggle("picked", state.winner === id);
      frame.classList.toggle("beaten", isKing && !isLarge && tournament.beaten.includes(id));
      frame.classList.toggle("current", !isLarge && this.largeIds().includes(id));
      const text = this.grid.cell(id)?.state ?? "";
      const label = frame.querySelector(".state") as HTMLElement;
      label.textContent = text;
      label.hidden = text === "";
    }
    const done = tournament.comparisons.length, all = numComparisons(tournament);
    this.progressText.textContent = isKing ? `${Math.min(done + (tournament.winner === null ? 1 : 0), all)} of ${all}` : done ? `${done} of ${all} done` : `all ${this.task?.candidates.length ?? 8} at once`;
    this.progressBar.style.transform = `scaleX(${done / all})`;
  }

  /** The photo beside an inspected candidate, cut to the same frame; over it while Space is held. */
  private drawPhoto(): void {
    const { clientWidth: width, clientHeight: height } = this.grid.element;
    const { photo, task } = this;
    this.photoCanvas.hidden = this.inspecting === null || !photo || !task;
    if (this.photoCanvas.hidden || !photo || !task) return;
    const { large } = stripCells(2, task.candidates.length, width, height);
    const rect = large[this.isFlickering ? 0 : 1] as Rect;
    setRect(this.photoCanvas, rect);
    this.photoCanvas.width = Math.round(rect.width * devicePixelRatio);
    this.photoCanvas.height = Math.round(rect.height * devicePixelRatio);
    const shown = this.grid.windowFor(rect) ?? { x: 0, y: 0, width: photo.naturalWidth, height: (photo.naturalWidth * rect.height) / rect.width };
    const context = this.photoCanvas.getContext("2d") as CanvasRenderingContext2D;
    const part = this.photoCanvas.width / shown.width;
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, -shown.x * part, -shown.y * part, task.photo.width * part, task.photo.height * part);
  }

  private drawn(): void {
    if (!this.isFirstFrame) return;
    this.isFirstFrame = false;
    this.pairSince = performance.now();
    this.host.ready();
  }

  private numberOf(id: number): number {
    return (this.task?.candidates.findIndex((candidate) => candidate.id === id) ?? -1) + 1;
  }
}

function setRect(element: HTMLElement, rect: Rect): void {
  Object.assign(element.style, { left: `${rect.x}px`, top: `${rect.y}px`, width: `${rect.width}px`, height: `${rect.height}px` });
}
