/** One candidate in its own small studio: preview first, then the full mesh, and splats if they are asked for. */
import type { CanvasTexture, PerspectiveCamera } from "three";
import type { PoseJson } from "../net/contract";
import type { Renderer } from "./context";
import { OBJECT_UP } from "./frames";
import { loadModel } from "./models";
import type { Look, Model } from "./models";
import type { Splats } from "./splats";
import { Studio } from "./studio";

export type CellLook = Look | "splat";

export interface CellSource { id: number; mesh_url: string; preview_url: string; splat_url: string | null; pose: PoseJson | null }

export class Cell {
  readonly studio: Studio;
  state = "loading…";
  private preview: Model | null = null;
  private full: Model | null = null;
  private splats: Splats | null = null;
  private look: CellLook = "colour";
  private pendingFull: Promise<void> | null = null;
  private pendingSplats: Promise<void> | null = null;
  private isGone = false;

  /** ``dirty``: what the cell shows has changed. ``wanted``: it only wants to be drawn once more. */
  constructor(readonly source: CellSource, backdrop: CanvasTexture, private readonly renderer: Renderer, private readonly dirty: () => void, private readonly wanted: () => void) {
    this.studio = new Studio(backdrop, OBJECT_UP);
    this.studio.addObjectFloor();
  }

  /** Loads the small mesh; a failure is written into the cell, the others go on. */
  async loadPreview(): Promise<void> {
    try {
      this.preview = this.add(await loadModel(this.source.preview_url || this.source.mesh_url));
      this.state = "";
    } catch (error) {
      this.state = error instanceof Error ? error.message : "could not be loaded";
    }
    this.show();
  }

  loadFull(): Promise<void> {
    if (this.source.mesh_url === this.source.preview_url) return Promise.resolve();
    this.pendingFull ??= loadModel(this.source.mesh_url)
      .then((model) => { this.full = this.add(model); })
      .catch(() => { this.pendingFull = null; })
      .then(() => this.show());
    return this.pendingFull;
  }

  setLook(look: CellLook): void {
    this.look = look;
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

  dispose(): void {
    this.isGone = true;
    this.preview?.dispose();
    this.full?.dispose();
    this.splats?.dispose();
    this.studio.dispose();
  }

  private loadSplats(): Promise<void> {
    const { splat_url } = this.source;
    if (!splat_url) {
      this.state = "has no splats";
      return Promise.resolve();
    }
    this.pendingSplats ??= (async () => {
      this.state = "loading splats…";
      this.dirty();
      try {
        const splats = await this.fetchSplats(splat_url);
        if (this.isGone) splats.dispose();
        else this.splats = splats;
        this.state = this.renderer.isSoftware ? "as points, no GPU" : "";
      } catch (error) {
        this.state = error instanceof Error ? error.message : "no splats";
        this.pendingSplats = null;
      }
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
    const isSplat = this.look === "splat" && this.splats !== null;
    if (this.splats) this.splats.object.visible = isSplat;
    const best = this.full ?? this.preview;
    for (const model of [this.preview, this.full]) if (model) model.root.visible = model === best && !isSplat;
    // Until the splats are there, the coloured mesh stands in for them.
    best?.setLook(this.look === "splat" ? "colour" : this.look);
    if (this.look !== "splat" && best) this.state = "";
    this.dirty();
  }
}
