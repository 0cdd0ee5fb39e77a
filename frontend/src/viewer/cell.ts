/** One candidate in its own small studio: preview first, then the full mesh, and splats if they are asked for. */
import type { CanvasTexture, PerspectiveCamera } from "three";
import { t } from "../core/language";
import type { PoseJson } from "../net/contract";
import type { Renderer } from "./context";
import { OBJECT_UP } from "./frames";
import { loadModel } from "./models";
import type { Look, Model } from "./models";
import type { Splats } from "./splats";
import { Studio } from "./studio";

export type CellLook = Look | "splat";
/** Whether there is anything to see. */
export type CellPhase = "loading" | "ready" | "failed";
/** How much of it: the small mesh, the whole one on its way, or the whole one. */
export type CellDetail = "preview" | "fetching" | "full";

export interface CellSource { id: number; mesh_url: string; preview_url: string; splat_url: string | null; pose: PoseJson | null }

export class Cell {
  readonly studio: Studio;
  phase: CellPhase = "loading";
  detail: CellDetail;
  /** The whole mesh could not be had; the small one is still there. */
  isIncomplete = false;
  private note = "";
  private preview: Model | null = null;
  private full: Model | null = null;
  private splats: Splats | null = null;
  private look: CellLook = "colour";
  private pendingFull: Promise<void> | null = null;
  private pendingSplats: Promise<void> | null = null;
  private isFullWanted = false;
  private isGone = false;

  /** ``dirty``: what the cell shows has changed. ``wanted``: it only wants to be drawn once more. */
  constructor(readonly source: CellSource, backdrop: CanvasTexture, private readonly renderer: Renderer, private readonly dirty: () => void, private readonly wanted: () => void) {
    this.studio = new Studio(backdrop, OBJECT_UP);
    this.studio.addObjectFloor();
    this.detail = this.hasPreview ? "preview" : "full";
  }

  /** What the cell says of itself; empty when the picture says it all. */
  get state(): string {
    if (this.phase === "loading") return t("loading…");
    if (this.phase === "failed") return t("could not be loaded");
    return this.note || (this.isIncomplete ? t("full detail could not be loaded") : "");
  }

  /** Loads the small mesh, or the whole one when the small one cannot be had; a failure stays in this cell. */
  async load(): Promise<void> {
    this.phase = "loading";
    this.dirty();
    const { preview_url, mesh_url } = this.source;
    try {
      if (this.hasPreview) this.preview = this.add(await loadModel(preview_url).catch(() => this.wholeInstead()));
      else this.full = this.add(await loadModel(mesh_url));
      this.phase = "ready";
      if (this.isFullWanted) void this.loadFull();
    } catch {
      this.phase = "failed";
    }
    this.show();
  }

  /** Loads the whole mesh, after the small one. */
  loadFull(): Promise<void> {
    this.isFullWanted = true;
    if (this.detail === "full" || this.phase !== "ready") return Promise.resolve();
    this.pendingFull ??= (async () => {
      this.detail = "fetching";
      this.isIncomplete = false;
      this.dirty();
      try {
        const { mesh_url } = this.source;
        this.full = this.add(await loadModel(mesh_url).catch(() => loadModel(mesh_url)));
        this.detail = "full";
      } catch {
        this.detail = "preview";
        this.isIncomplete = true;
        this.pendingFull = null;
      }
      this.show();
    })();
    return this.pendingFull;
  }

  get mayBeReloaded(): boolean {
    return this.phase === "failed" || this.isIncomplete;
  }

  /** Tries again what failed. */
  async reload(): Promise<void> {
    if (this.phase === "failed") await this.load();
    else if (this.isIncomplete) await this.loadFull();
  }

  setLook(look: CellLook): void {
    if (look === this.look) return;
    this.look = look;
    this.note = "";
    if (look === "splat") void this.loadSplats();
    this.show();
  }

  get numFaces(): number {
    return (this.full ?? this.preview)?.numFaces ?? 0;
  }

  draw(camera: PerspectiveCamera): void {
    this.studio.lightFrom(camera);
    this.renderer.gl.render(this.studio.scene, camera);
  }

  /** The graphics card has forgotten everything: meshes go there again by themselves, splats are loaded anew. */
  restored(): void {
    this.splats?.dispose();
    this.splats = null;
    this.pendingSplats = null;
    if (this.look === "splat") void this.loadSplats();
  }

  dispose(): void {
    this.isGone = true;
    this.preview?.dispose();
    this.full?.dispose();
    this.splats?.dispose();
    this.studio.dispose();
  }

  private get hasPreview(): boolean {
    return this.source.preview_url !== "" && this.source.preview_url !== this.source.mesh_url;
  }

  private async wholeInstead(): Promise<Model> {
    const model = await loadModel(this.source.mesh_url);
    this.detail = "full";
    return model;
  }

  private loadSplats(): Promise<void> {
    const { splat_url } = this.source;
    if (!splat_url) {
      this.note = t("has no splats");
      return Promise.resolve();
    }
    this.pendingSplats ??= (async () => {
      this.note = t("loading splats…");
      this.dirty();
      try {
        const splats = await this.fetchSplats(splat_url);
        if (this.isGone) splats.dispose();
        else this.splats = splats;
        this.note = this.renderer.isSoftware ? t("as points, no GPU") : "";
      } catch {
        this.note = t("splats could not be loaded");
        this.pendingSplats = null;
      }
      if (this.look !== "splat") this.note = "";
      this.show();
    })();
    return this.pendingSplats;
  }

  private async fetchSplats(url: string): Promise<Splats> {
    if (this.renderer.isSoftware) return (await import("./splat_points")).addSplatPoints(url, this.studio.scene);
    return (await import("./splats")).addSplats(url, this.studio.scene, this.renderer.gl, this.wanted);
  }

  private add(model: Model): Model {
    if (this.isGone) model.dispose();
    else this.studio.scene.add(model.root);
    return model;
  }

  private show(): void {
    if (this.isGone) return;
    const isSplat = this.look === "splat" && this.splats !== null;
    if (this.splats) this.splats.object.visible = isSplat;
    const best = this.full ?? this.preview;
    for (const model of [this.preview, this.full]) if (model) model.root.visible = model === best && !isSplat;
    // Until the splats are there, the coloured mesh stands in for them.
    best?.setLook(this.look === "splat" ? "colour" : this.look);
    this.dirty();
  }
}
