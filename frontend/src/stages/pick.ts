/** Stage 2: compare the candidates, pick the best one, rate it; or say that none is good enough. */
import { pageUrl } from "../core/config";
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { AttentionJson, Claim, Guidelines, PickResult, PickTask, Result } from "../net/contract";
import { Attention } from "../tools/attention";
import { gridCells, photoWindow, stripCells } from "../tools/cell_layout";
import type { Rect } from "../tools/mask";
import { anchorsOfGuidelines, defaultAnchors } from "../tools/rating_anchors";
import type { Aspect } from "../tools/rating_anchors";
import { among, judge, numComparisons, replay, startTournament } from "../tools/tournament";
import type { Outcome, Tournament } from "../tools/tournament";
import { commandButton } from "../ui/buttons";
import { PhotoCrop } from "../ui/photo_crop";
import { PhotoLayer } from "../ui/photo_layer";
import type { PhotoPlace } from "../ui/photo_layer";
import { canvasOf, loadImage, maskOfCanvas } from "../ui/raster";
import { CellGrid } from "../viewer/cell_grid";
import type { Placed } from "../viewer/cell_grid";
import type { CellLook } from "../viewer/cell";
import { NoWebGl, showNoWebGl } from "../viewer/context";
import "./pick.css";
import { addPickCommands } from "./pick_commands";
import { PickFrames } from "./pick_frames";
import { pickPanel } from "./pick_panel";
import type { PanelState } from "./pick_panel";
import { addRatingCommands, ratingPanel } from "./rating_panel";
import type { RatingPanel } from "./rating_panel";
import type { StageHost, StageView } from "./stage";

interface Judgement { mode: "grid" | "king"; tournament: Tournament; winner: number | null; shape: number | null; texture: number | null }
interface Looked { inspected: Record<string, number>; attention: AttentionJson }
interface Draft extends Looked { judgement: Judgement }

const MASK_PX = 640;
const FEWEST_SHOWN = 2;
/** After so long the examples' addresses may have run out, and a lead may have said something else. */
const EXPLAIN_AGAIN_MS = 10 * 60_000;

/** Raises NoWebGl, after the page has said so. */
export function createPickStage(host: StageHost): StageView<PickTask> {
  try {
    return new PickStage(host);
  } catch (error) {
    if (error instanceof NoWebGl) showNoWebGl(host.shell.root, pageUrl.home(host.config.project.slug));
    throw error;
  }
}

class PickStage implements StageView<PickTask> {
  private readonly grid: CellGrid;
  private readonly frames = new PickFrames(() => this.reload(), (number) => this.inspect(this.order()[number - 1] as number), () => this.host.commands.keyLabel("cells.reload"));
  private readonly overlay = new PhotoLayer();
  private readonly tooFew = h("div", { class: "too-few", role: "alert", hidden: true });
  private readonly anchors = defaultAnchors();
  private readonly ratings: RatingPanel;
  private explainedAt = -Infinity;
  private task: PickTask | null = null;
  private crop: PhotoCrop | null = null;
  private judgement: Judgement | null = null;
  private attention = new Attention();
  private placed: readonly Placed[] = [];
  private inspecting: number | null = null;
  private hovered: number | null = null;
  private opacity = 0;
  private pairSince = 0;
  private isFlickering = false;
  private isFirstFrame = false;

  constructor(private readonly host: StageHost) {
    this.grid = new CellGrid({
      layout: () => this.layout(),
      clicked: (id, isDouble) => this.clicked(id, isDouble),
      drawn: () => this.drawn(),
      changed: () => this.cellsChanged(),
      hovered: (id) => { this.hovered = id; this.watch(); },
      turned: (id) => { this.attention.turned(id === null ? [] : [id]); this.host.changed(); },
    });
    this.addCommands();
    this.ratings = ratingPanel(host.commands, this.anchors, (aspect) => this.judgement?.[aspect] ?? null);
    this.build();
    host.commands.enter("pick");
    document.addEventListener("visibilitychange", () => this.attention.setSeen(!document.hidden));
  }

  async load(claim: Claim, task: PickTask, draft: object | null): Promise<void> {
    const kept = (draft ?? {}) as Partial<Draft>;
    const order = task.candidates.map(({ id }) => id);
    this.task = task;
    this.judgement = kept.judgement ?? { mode: task.mode, tournament: startTournament(order, claim.assignment), winner: null, shape: null, texture: null };
    this.attention = new Attention(kept.attention, kept.inspected);
    const previews = this.grid.show(task.candidates, task.intrinsics && { intrinsics: task.intrinsics, bbox: task.target.bbox });
    const { width, height } = task.photo;
    const [photo, mask] = await Promise.all([loadImage(task.photo.url), loadImage(task.target.mask_url), Promise.race(previews)]);
    if (this.task !== task) return;
    this.crop = new PhotoCrop(photo, mask, { width, height });
    const part = Math.min(1, MASK_PX / Math.max(width, height));
    this.host.shell.photo.show(task.photo, photo, maskOfCanvas(canvasOf(mask, Math.round(width * part), Math.round(height * part))), task.target.label);
    this.syncScopes();
    this.layout();
    this.grid.startTurntable();
    void this.explainMarks();
    void Promise.all(previews).then(() => {
      if (this.task !== task) return;
      this.isFirstFrame = true;
      this.grid.redraw();
    });
  }

  /** What the marks mean in this project. Where the guidelines cannot be had, the general words stand. */
  private async explainMarks(): Promise<void> {
    if (performance.now() - this.explainedAt < EXPLAIN_AGAIN_MS) return;
    this.explainedAt = performance.now();
    try {
      const { stages } = await this.host.api.get<Guidelines>(`/projects/${this.host.config.project.id}/guidelines`);
      this.ratings.explain(anchorsOfGuidelines(this.anchors, stages.find(({ stage }) => stage === "pick")?.anchors ?? []));
    } catch {
      this.explainedAt = -Infinity;
    }
  }

  clear(): void {
    this.inspecting = null;
    this.isFlickering = false;
    this.attention.look(null);
    this.grid.clear();
    this.ratings.clear();
    this.task = this.crop = this.judgement = null;
    this.placed = [];
    this.opacity = 0;
    this.tooFew.hidden = true;
    this.host.shell.photo.clear();
    this.frames.clear();
    this.overlay.draw(null, [], "");
    this.syncScopes();
  }

  missing(): string | null {
    const state = this.judgement;
    if (!state) return t("There is no task.");
    if (this.numShown() < FEWEST_SHOWN) return t("A choice needs two candidates. Load the others again ([[cells.reload]]), skip the task ([[skip]]) or hand it over ([[escalate]]).");
    if (state.winner === null) return state.mode === "king" ? t("Compare the pairs first: Left arrow, Right arrow, or Down for equal.") : t("Pick the best candidate first: 1 to 8. Or E: none is good enough.");
    if (state.shape === null) return t("Rate the shape: 1 (wrong) to 5 (exact).");
    if (state.texture === null) return t("Rate the texture: Q (wrong) to T (exact).");
    return null;
  }

  submit(): void {
    const state = this.judgement;
    if (!state || state.winner === null || state.shape === null || state.texture === null) return;
    this.stopInspecting();
    const isKing = state.mode === "king";
    const compared = new Set(state.tournament.comparisons.flatMap(({ left, right }) => [left, right]));
    const result: PickResult = {
      winner: state.winner, mode: state.mode, shape_rating: state.shape, texture_rating: state.texture,
      // Pairs of a comparison that was given up say nothing of a pick from all.
      comparisons: isKing ? [...state.tournament.comparisons] : [],
      ...this.looked(),
      not_loaded: this.order().filter((id) => (isKing ? !compared.has(id) : this.grid.cell(id)?.phase !== "ready")),
    };
    this.host.submit(async () => result);
  }

  draft = async (): Promise<Draft> => ({ judgement: this.judgement as Judgement, ...this.looked() });

  looked = (): Looked => ({ inspected: this.attention.inspected(), attention: this.attention.report() });

  async takeUp(result: Result): Promise<void> {
    const { mode, winner, shape_rating, texture_rating, comparisons = [], inspected = {}, not_loaded = [], attention } = result as PickResult;
    const { judgement } = this;
    if (!judgement) return;
    this.attention = new Attention(attention ?? {}, inspected);
    this.watch();
    const shown = this.order().filter((id) => !not_loaded.includes(id));
    const tournament = comparisons.length ? { ...replay(shown, judgement.tournament.seed, comparisons), winner } : judgement.tournament;
    this.change(t("Take up the answer"), { mode, tournament, winner, shape: shape_rating, texture: texture_rating });
  }

  hint(): string {
    const state = this.judgement;
    if (!state) return "";
    if (this.inspecting !== null) return t("Hold [[photo.flicker]] to see the photo at the same place. [[inspect.end]] goes back. [[photo.camera]]: the photo's camera.");
    if (state.winner !== null) return this.missing() ?? t("[[submit]] submits. [[unpick]] takes the pick back.");
    return state.mode === "king" ? t("Which is closer to the photo? Left or Right arrow, Down for equal. Hold [[photo.flicker]]: the photo. [[mode]]: all eight.") : t("1 to 8 pick the best. Shift+1 to 8 look at one large. Hold [[photo.flicker]]: the photo. [[mode]]: two at a time. [[escalate]]: none good enough.");
  }

  testHandle(): Record<string, unknown> {
    const { gl, isSoftware } = this.grid.renderer;
    return {
      stage: () => ({
        ...this.judgement, inspecting: this.inspecting, look: this.grid.look, isLost: this.grid.isLost, opacity: this.opacity, isFlickering: this.isFlickering,
        ...this.looked(),
        cells: this.order().map((id) => {
          const cell = this.grid.cell(id);
          return { id, state: cell?.state, phase: cell?.phase, detail: cell?.detail, faces: cell?.numFaces };
        }),
      }),
      cameraState: () => this.grid.cameraState(),
      renderInfo: () => ({ ...this.grid.counts, ...gl.info.memory, programs: gl.info.programs?.length ?? 0, software: isSoftware }),
    };
  }

  private addCommands(): void {
    const { commands, history } = this.host;
    const idOf = (number: number) => this.order()[number - 1];
    const withId = (run: (id: number) => void) => (number: number) => { const id = idOf(number); if (id !== undefined) run(id); };
    addPickCommands(commands, {
      exists: (number) => idOf(number) !== undefined,
      mayPick: (number) => this.mayPick(idOf(number)),
      pick: withId((id) => this.pick(id)),
      inspect: withId((id) => this.inspect(id)),
      mayJudge: () => this.mayJudge(),
      judge: (outcome) => this.judgePair(outcome),
      mayTakeBack: () => (this.judgement?.tournament.comparisons.length ?? 0) > 0 && history.undoLabel === t("Comparison"),
      takeBack: () => void history.undo(),
      mayChangeMode: () => this.judgement?.winner === null && this.numShown() >= FEWEST_SHOWN,
      changeMode: () => this.toggleMode(),
      setLook: (look) => this.setLook(look),
      toggleTurntable: () => { this.grid.setTurning(!this.grid.isTurning); this.seeingChanged(); },
      hasPhotoCamera: () => this.grid.hasPhotoCamera,
      togglePhotoCamera: () => { this.grid.setPhotoCamera(!this.grid.isPhotoCamera); this.seeingChanged(); },
      resetCamera: () => { this.grid.resetCamera(); this.seeingChanged(); },
      orbit: (azimuth, polar, distance) => this.orbit(azimuth, polar, distance),
      flicker: (isOn) => this.flicker(isOn),
      changeOpacity: (by) => this.setOpacity(this.opacity + by),
      stopInspecting: () => { this.stopInspecting(); this.layout(); },
      unpick: () => this.unpick(),
      hasFailed: () => this.order().some((id) => this.grid.cell(id)?.mayBeReloaded),
      reload: () => this.reload(),
    });
    addRatingCommands(commands, this.anchors, (aspect, value) => this.rate(aspect, value));
  }

  private build(): void {
    const { commands, shell } = this.host;
    replace(shell.work, this.grid.element, this.overlay.element, this.frames.element, this.tooFew);
    replace(shell.tools, ...pickPanel(commands, () => this.panelState(), (opacity) => this.setOpacity(opacity)), this.ratings.element);
    // A button that was clicked must not keep the keyboard: Space is the photo's.
    shell.tools.addEventListener("click", (event) => { if (event.detail > 0) (document.activeElement as HTMLElement | null)?.blur(); });
    replace(this.tooFew, h("div", { class: "notice error stack" },
      h("strong", { text: t("Fewer than two candidates could be loaded") }), h("p", { text: t("A choice needs two. Load them again; if that does not help, let the task go or report it.") }),
      h("div", { class: "row wrap" }, commandButton(commands, "cells.reload", { class: "primary", label: t("Load again") }), commandButton(commands, "skip"), commandButton(commands, "escalate"))));
  }

  private panelState(): PanelState {
    const { grid, judgement } = this;
    const tournament = judgement?.tournament;
    return {
      look: grid.look, isTurning: grid.isTurning, isPhotoCamera: grid.isPhotoCamera, isKing: judgement?.mode === "king", opacity: this.opacity,
      done: tournament?.comparisons.length ?? 0, all: tournament ? numComparisons(tournament) : 0, isOver: tournament?.winner != null, numCandidates: this.order().length,
    };
  }

  // ---- judging ----

  private change(label: string, after: Judgement): void {
    const before = this.judgement as Judgement;
    const put = (state: Judgement) => {
      const tournament = among(state.tournament, this.available());
      if (tournament !== this.judgement?.tournament || state.mode !== this.judgement.mode) this.pairSince = performance.now();
      this.judgement = { ...state, tournament };
      this.syncScopes();
      this.layout();
      this.host.changed();
    };
    put(after);
    this.host.history.push({ label, undo: () => put(before), redo: () => put(after) });
  }

  private mayPick(id: number | undefined): boolean {
    return id !== undefined && this.grid.cell(id)?.phase === "ready" && !this.grid.isLost && this.numShown() >= FEWEST_SHOWN;
  }

  /** Nobody judges what they cannot see. */
  private mayJudge(): boolean {
    const state = this.judgement;
    return state !== null && !this.grid.isLost && [state.tournament.left, state.tournament.right].every((id) => this.grid.cell(id)?.phase === "ready");
  }

  private pick(id: number): void {
    if (!this.judgement || this.judgement.winner === id || !this.mayPick(id)) return;
    this.grid.setTurning(false);
    this.change(t("Pick"), { ...this.judgement, winner: id, mode: "grid" });
    this.host.shell.announce(t("Candidate {number} picked. Rate shape and texture.", { number: this.numberOf(id) }));
  }

  private unpick(): void {
    const state = this.judgement;
    if (!state || state.winner === null) return;
    // A finished tournament goes back to its last pair, which has to be judged again.
    if (state.mode === "king") this.host.history.undo();
    else this.change(t("Take the pick back"), { ...state, winner: null, shape: null, texture: null });
  }

  private judgePair(outcome: Outcome): void {
    const state = this.judgement;
    if (!state || state.mode !== "king" || state.winner !== null || !this.mayJudge()) return;
    const tournament = judge(state.tournament, outcome, performance.now() - this.pairSince);
    this.change(t("Comparison"), { ...state, tournament, winner: tournament.winner });
    this.host.shell.announce(tournament.winner === null ? t("Comparison {number}", { number: tournament.comparisons.length + 1 }) : t("Candidate {number} won. Rate it.", { number: this.numberOf(tournament.winner) }));
  }

  private toggleMode(): void {
    const state = this.judgement;
    if (!state) return;
    this.stopInspecting();
    this.change(t("Mode"), { ...state, mode: state.mode === "king" ? "grid" : "king" });
  }

  private rate(aspect: Aspect, value: number): void {
    if (this.judgement) this.change(t("Rating"), { ...this.judgement, [aspect]: value });
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

  private order(): number[] {
    return this.task?.candidates.map(({ id }) => id) ?? [];
  }

  /** What is there or on its way. */
  private available(): number[] {
    return this.order().filter((id) => this.grid.cell(id)?.phase !== "failed");
  }

  private numShown(): number {
    return this.available().length;
  }

  private cellsChanged(): void {
    const state = this.judgement;
    if (!state) return;
    const tournament = among(state.tournament, this.available());
    if (tournament !== state.tournament) {
      this.judgement = { ...state, tournament, winner: state.mode === "king" ? tournament.winner : state.winner };
      this.pairSince = performance.now();
      this.syncScopes();
    }
    this.tooFew.hidden = this.numShown() >= FEWEST_SHOWN;
    // The comparison may show others now; a plain change of a cell moves nothing.
    if (tournament !== state.tournament) this.layout();
    else this.decorate();
    this.watch();
    this.host.commands.changed();
  }

  private seeingChanged(): void {
    this.drawPhoto();
    this.watch();
  }

  private setLook(look: CellLook): void {
    this.grid.setLook(look);
    this.seeingChanged();
  }

  private orbit(azimuth: number, polar: number, distance?: number): void {
    this.grid.orbit(azimuth, polar, distance);
    if (distance === undefined) this.attention.turned(this.largeIds());
    this.seeingChanged();
  }

  private flicker(isOn: boolean): void {
    if (isOn === this.isFlickering || (isOn && !this.task)) return;
    this.isFlickering = isOn;
    if (isOn) {
      this.attention.flickered();
      this.grid.setPhotoCamera(true);
    }
    this.seeingChanged();
  }

  private setOpacity(opacity: number): void {
    this.opacity = Math.min(1, Math.max(0, opacity));
    this.grid.setPhotoCamera(true);
    this.seeingChanged();
    this.host.commands.changed();
  }

  private reload(): void {
    this.host.shell.announce(t("Loading again"));
    void this.grid.reload();
  }

  private clicked(id: number, isDouble: boolean): void {
    const state = this.judgement;
    if (!state) return;
    const isLarge = this.largeIds().includes(id);
    if (isDouble && this.inspecting === null) this.inspect(id);
    else if (this.inspecting !== null && id !== this.inspecting) this.inspect(id);
    else if (this.inspecting === null && state.mode === "king" && state.winner === null && isLarge) this.judgePair(id === state.tournament.left ? "left" : "right");
    else if (state.mode === "grid") this.pick(id);
  }

  private inspect(id: number): void {
    this.inspecting = this.inspecting === id ? null : id;
    if (this.inspecting !== null) this.host.shell.announce(t("Looking at candidate {number}", { number: this.numberOf(id) }));
    this.syncScopes();
    this.layout();
    this.host.changed();
  }

  private stopInspecting(): void {
    this.inspecting = null;
    this.syncScopes();
  }

  private largeIds(): number[] {
    const state = this.judgement;
    if (this.inspecting !== null) return [this.inspecting];
    return state?.mode === "king" && state.winner === null ? [state.tournament.left, state.tournament.right] : [];
  }

  /** Counts what is in view: the large ones, or in the grid the one under the pointer. */
  private watch(): void {
    const large = this.largeIds();
    this.attention.look(this.task && {
      candidates: large.length ? large : this.hovered === null ? [] : [this.hovered], large: this.inspecting, look: this.grid.look, isPhotoCamera: this.grid.isPhotoCamera,
    });
  }

  private layout(): void {
    const { clientWidth: width, clientHeight: height } = this.grid.element;
    if (!this.task || !this.judgement || width === 0) return;
    const ids = this.order(), large = this.largeIds();
    if (large.length === 0) {
      const cells = gridCells(ids.length, width, height);
      this.placed = ids.map((id, i) => ({ id, rect: cells[i] as Rect, isLarge: false }));
    } else {
      const cells = stripCells(2, ids.length, width, height);
      this.placed = [...large.map((id, i) => ({ id, rect: cells.large[i] as Rect, isLarge: true })), ...ids.map((id, i) => ({ id, rect: cells.small[i] as Rect, isLarge: false }))];
    }
    this.grid.place(this.placed);
    this.decorate();
    this.drawPhoto();
    this.watch();
  }

  /** Rings, marks and states of the cells. */
  private decorate(): void {
    const state = this.judgement;
    if (!state) return;
    const large = this.largeIds();
    this.frames.show(this.placed.map(({ id, rect, isLarge }) => {
      const cell = this.grid.cell(id);
      return {
        number: this.numberOf(id), rect, isLarge, phase: cell?.phase ?? "loading", detail: cell?.detail ?? "preview", note: cell?.state ?? "", isPicked: state.winner === id,
        isBeaten: state.mode === "king" && !isLarge && state.tournament.beaten.includes(id), isCurrent: !isLarge && large.includes(id), isInspected: this.inspecting === id && isLarge,
      };
    }));
  }

  /** The photo beside an inspected candidate, cut to the same frame; over all that are compared while Space is held. */
  private drawPhoto(): void {
    const { task } = this;
    if (!task) return;
    const place = (rect: Rect, opacity: number): PhotoPlace => ({ rect, shown: photoWindow(task.target.bbox, rect.width / rect.height), opacity, hasOutline: true });
    const hasLarge = this.placed.some(({ isLarge }) => isLarge);
    const compared = this.placed.filter(({ isLarge }) => isLarge === hasLarge);
    const opacity = this.isFlickering ? 1 : this.opacity;
    const over = this.isFlickering || this.grid.isPhotoCamera ? compared.map(({ rect }) => place(rect, opacity)) : [];
    const { clientWidth, clientHeight } = this.grid.element;
    const beside = this.inspecting !== null ? [place(stripCells(2, this.order().length, clientWidth, clientHeight).large[1] as Rect, 1)] : [];
    this.overlay.draw(this.crop, [...over, ...beside], t("The photo, cut to the candidates' frames"));
  }

  private drawn(): void {
    // The pointer takes the camera off the photo's place, and the photo with it.
    if (!this.grid.isPhotoCamera && this.overlay.element.dataset.camera === "1") this.drawPhoto();
    this.overlay.element.dataset.camera = this.grid.isPhotoCamera ? "1" : "0";
    if (!this.isFirstFrame) return;
    this.isFirstFrame = false;
    this.pairSince = performance.now();
    performance.mark("candid8.first-frame");
    this.host.ready();
  }

  private numberOf(id: number): number {
    return this.order().indexOf(id) + 1;
  }
}
