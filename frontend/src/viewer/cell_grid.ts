/** Many candidates in one canvas and one WebGL context: a scissored view for each, one camera for all. */
import { Matrix4, MOUSE, PerspectiveCamera, Spherical, Vector3 } from "three";
import type { CanvasTexture } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { h, prefersReducedMotion } from "../core/dom";
import { t } from "../core/language";
import type { Intrinsics } from "../net/contract";
import type { Rect } from "../tools/mask";
import { photoWindow } from "../tools/cell_layout";
import { Cell } from "./cell";
import type { CellLook, CellSource } from "./cell";
import { createRenderer } from "./context";
import type { Renderer } from "./context";
import { aboveFloor, OBJECT_FRONT, OBJECT_UP, photoCameraInObject, projectionFromIntrinsics, towardsPhotoCamera } from "./frames";
import { LostPicture } from "./lost_picture";
import "./viewer.css";
import { createBackdrop, paintBackdrop } from "./studio";

export interface Placed { id: number; rect: Rect; isLarge: boolean }
export interface FrameCounts { calls: number; triangles: number }

export interface GridListener {
  layout: () => void;
  clicked: (id: number, isDouble: boolean) => void;
  /** A frame has been drawn. */
  drawn: () => void;
  /** What a cell shows, or how all are seen, has changed. */
  changed: () => void;
  /** The pointer is over another cell now, or over none. */
  hovered?: (id: number | null) => void;
  /** The camera was turned by the pointer, beginning in this cell. */
  turned?: (id: number | null) => void;
}

export interface PhotoView { intrinsics: Intrinsics; bbox: readonly [number, number, number, number] }

const DISTANCE = 2.35;
const FIELD_OF_VIEW = 32;
const TURN_SECONDS = 24;
/** Nobody is there after so many turns that nobody touched. */
const MOST_TURNS = 8;
/** A turn of the camera, and not a trembling hand. */
const LEAST_TURN = (2 * Math.PI) / 180;
const SOFTWARE_FRAME_MS = 160;
const CLICK_PX = 4;
const SETTLE_MS = 1500;
const SETTLE_FRAME_MS = 60;

export class CellGrid {
  readonly element: HTMLElement;
  readonly renderer: Renderer;
  look: CellLook = "colour";
  isPhotoCamera = false;
  isTurning = false;
  isLost = false;
  /** What the last frame cost, over all cells. */
  counts: FrameCounts = { calls: 0, triangles: 0 };
  private readonly canvas = h("canvas", { tabindex: 0, "aria-label": t("3D candidates. Drag to turn all of them together.") });
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.05, 30);
  private readonly photoCamera = new PerspectiveCamera();
  private readonly controls: OrbitControls;
  private readonly backdrop: CanvasTexture;
  private readonly cells = new Map<number, Cell>();
  private placed: readonly Placed[] = [];
  private photo: PhotoView | null = null;
  private frame = 0;
  private settleUntil = 0;
  private turned = 0;
  private lastTurn = 0;
  private home = new Vector3();
  private pressedAt: [number, number] | null = null;
  private hovered: number | null = null;
  private turnStart: { id: number | null; direction: Vector3 } | null = null;
  private readonly lost = new LostPicture();
  private readonly observer = new ResizeObserver(() => this.resized());
  private readonly onTheme = () => { paintBackdrop(this.backdrop); this.redraw(); };

  /** Raises NoWebGl. ``drawn`` is called after each frame. */
  constructor(private readonly listener: GridListener) {
    this.element = h("div", { class: "viewport" }, this.canvas, this.lost.element);
    this.renderer = createRenderer(this.canvas);
    // Many views make one frame: their counts are added up.
    this.renderer.gl.info.autoReset = false;
    this.backdrop = createBackdrop();
    this.camera.up.copy(OBJECT_UP);
    this.controls = new OrbitControls(this.camera, this.canvas);
    this.controls.minDistance = 0.7;
    this.controls.maxDistance = 8;
    this.controls.mouseButtons = { LEFT: MOUSE.ROTATE, MIDDLE: MOUSE.DOLLY, RIGHT: MOUSE.PAN };
    this.controls.addEventListener("change", () => this.redraw());
    this.controls.addEventListener("start", () => this.turnBegins());
    this.controls.addEventListener("end", () => this.turnEnds());
    this.canvas.addEventListener("pointerdown", (event) => { this.pressedAt = [event.offsetX, event.offsetY]; });
    this.canvas.addEventListener("pointerup", (event) => this.released(event));
    this.canvas.addEventListener("dblclick", (event) => this.hit(event.offsetX, event.offsetY, true));
    this.canvas.addEventListener("pointermove", (event) => this.hover(this.at(event.offsetX, event.offsetY)));
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.setLost(true); });
    this.canvas.addEventListener("webglcontextrestored", () => this.setLost(false));
    addEventListener("candid8:theme", this.onTheme);
    this.observer.observe(this.element);
  }

  /** Shows new candidates; one promise for each, which resolves when its preview is there or has failed. */
  show(sources: readonly CellSource[], photo: PhotoView | null): Promise<void>[] {
    this.clear();
    this.photo = photo;
    for (const source of sources) this.cells.set(source.id, new Cell(source, this.backdrop, this.renderer, () => { this.listener.changed(); this.redraw(); }, () => this.request()));
    const pose = sources[0]?.pose;
    this.home.copy(aboveFloor(pose ? towardsPhotoCamera(pose) : OBJECT_FRONT.clone().add(new Vector3(0.5, 0, 0.45)), 12, 55));
    this.resetCamera();
    this.listener.layout();
    return [...this.cells.values()].map((cell) => cell.load());
  }

  /** Tries those again that could not be loaded. */
  async reload(): Promise<void> {
    await Promise.all([...this.cells.values()].map((cell) => cell.reload()));
    // The new ones have the look and the detail that their places ask for.
    this.place(this.placed);
  }

  clear(): void {
    for (const cell of this.cells.values()) cell.dispose();
    this.cells.clear();
    this.placed = [];
    this.isPhotoCamera = false;
    this.isTurning = false;
    this.hovered = null;
    this.look = "colour";
    this.renderer.gl.renderLists.dispose();
    this.redraw();
  }

  dispose(): void {
    this.clear();
    cancelAnimationFrame(this.frame);
    this.lost.setLost(false);
    this.observer.disconnect();
    removeEventListener("candid8:theme", this.onTheme);
    this.controls.dispose();
    this.backdrop.dispose();
    this.renderer.gl.dispose();
    this.renderer.gl.forceContextLoss();
  }

  cell = (id: number): Cell | undefined => this.cells.get(id);

  place(placed: readonly Placed[]): void {
    this.placed = placed;
    for (const { id, isLarge } of placed) if (isLarge) void this.cells.get(id)?.loadFull();
    this.applyLook();
    this.redraw();
  }

  setLook(look: CellLook): void {
    this.look = look;
    this.applyLook();
  }

  get hasPhotoCamera(): boolean {
    return this.photo !== null && [...this.cells.values()].every((cell) => cell.source.pose !== null);
  }

  setPhotoCamera(isOn: boolean): void {
    this.isPhotoCamera = isOn && this.hasPhotoCamera;
    if (this.isPhotoCamera) this.isTurning = false;
    this.redraw();
  }

  /** The part of the photo that a cell of this shape shows through the photo's camera. */
  windowFor(rect: Rect): Rect | null {
    return this.photo && photoWindow(this.photo.bbox, rect.width / rect.height);
  }

  resetCamera(): void {
    this.isPhotoCamera = false;
    this.controls.target.set(0, 0, 0);
    this.camera.position.copy(this.home).multiplyScalar(DISTANCE);
    this.camera.zoom = 1;
    this.controls.update();
    this.redraw();
  }

  /** Turns the shared camera by keys. Angles in radians, distance as a factor. */
  orbit(azimuth: number, polar: number, distance = 1): void {
    this.touched();
    this.turnBy(azimuth, polar, distance);
  }

  /** Slow turns for a look at all sides, until somebody touches anything; after some more nobody is there to see them. */
  setTurning(isOn: boolean): void {
    this.isTurning = isOn;
    this.turned = 0;
    this.lastTurn = performance.now();
    if (isOn) this.isPhotoCamera = false;
    this.redraw();
  }

  startTurntable(): void {
    if (!prefersReducedMotion()) this.setTurning(true);
  }

  redraw(): void {
    this.settleUntil = performance.now() + SETTLE_MS;
    this.request();
  }

  private request(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  cameraState(): Record<string, unknown> {
    const { position, matrixWorldInverse, projectionMatrix } = this.camera;
    return { position: position.toArray(), photo: this.isPhotoCamera, turning: this.isTurning, view: matrixWorldInverse.elements, projection: projectionMatrix.elements };
  }

  private applyLook(): void {
    const shown = new Set(this.placed.map(({ id }) => id));
    const large = new Set(this.placed.filter(({ isLarge }) => isLarge).map(({ id }) => id));
    for (const [id, cell] of this.cells) {
      // Splats are dear: next to large cells, the small ones stay meshes.
      const look = this.look === "splat" && (!shown.has(id) || (large.size > 0 && !large.has(id))) ? "colour" : this.look;
      cell.setLook(look);
    }
  }

  private touched(): void {
    const wasTurning = this.isTurning || this.isPhotoCamera;
    this.isTurning = false;
    this.isPhotoCamera = false;
    if (wasTurning) this.listener.changed();
  }

  private released(event: PointerEvent): void {
    const from = this.pressedAt;
    this.pressedAt = null;
    if (!from || event.button !== 0 || Math.hypot(event.offsetX - from[0], event.offsetY - from[1]) > CLICK_PX) return;
    this.hit(event.offsetX, event.offsetY, false);
  }

  private hit(x: number, y: number, isDouble: boolean): void {
    const found = this.at(x, y);
    if (found !== null) this.listener.clicked(found, isDouble);
  }

  private at(x: number, y: number): number | null {
    return this.placed.find(({ rect }) => x >= rect.x && y >= rect.y && x < rect.x + rect.width && y < rect.y + rect.height)?.id ?? null;
  }

  private hover(id: number | null): void {
    if (id === this.hovered) return;
    this.hovered = id;
    this.listener.hovered?.(id);
  }

  private turnBegins(): void {
    this.touched();
    this.turnStart = { id: this.hovered, direction: this.direction() };
  }

  private turnEnds(): void {
    const start = this.turnStart;
    this.turnStart = null;
    if (start && start.direction.angleTo(this.direction()) > LEAST_TURN) this.listener.turned?.(start.id);
  }

  private direction(): Vector3 {
    return this.camera.position.clone().sub(this.controls.target);
  }

  /** The graphics card takes its memory back at times. The browser gives a new one, and everything is drawn again. */
  private setLost(isLost: boolean): void {
    this.isLost = isLost;
    this.lost.setLost(isLost);
    if (!isLost) {
      for (const cell of this.cells.values()) cell.restored();
      this.redraw();
    }
    this.listener.changed();
  }

  private resized(): void {
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.renderer.gl.setSize(clientWidth, clientHeight, false);
    this.listener.layout();
    this.redraw();
  }

  private turnBy(azimuth: number, polar: number, distance: number): void {
    const offset = this.camera.position.clone().sub(this.controls.target);
    // Spherical angles are about y; turning the frame so that up is y keeps the maths three's own.
    const toY = new Matrix4().makeRotationX(-Math.PI / 2);
    const spherical = new Spherical().setFromVector3(offset.applyMatrix4(toY));
    spherical.theta += azimuth;
    spherical.phi += polar;
    spherical.radius = Math.min(this.controls.maxDistance, Math.max(this.controls.minDistance, spherical.radius * distance));
    spherical.makeSafe();
    this.camera.position.copy(this.controls.target).add(offset.setFromSpherical(spherical).applyMatrix4(toY.invert()));
    this.controls.update();
    this.redraw();
  }

  private turn(): void {
    const now = performance.now();
    const seconds = Math.min(0.25, (now - this.lastTurn) / 1000);
    this.lastTurn = now;
    this.turned += seconds / TURN_SECONDS;
    if (this.turned >= MOST_TURNS) {
      this.isTurning = false;
      this.listener.changed();
    }
    this.turnBy((2 * Math.PI * seconds) / TURN_SECONDS, 0, 1);
  }

  private draw(): void {
    const { gl, isSoftware } = this.renderer;
    if (this.isLost) return;
    gl.info.reset();
    const height = this.element.clientHeight;
    gl.setScissorTest(false);
    gl.setClearColor(0x000000, 0);
    gl.clear();
    gl.setScissorTest(true);
    for (const { id, rect } of this.placed) {
      const cell = this.cells.get(id);
      if (!cell) continue;
      const bottom = height - rect.y - rect.height;
      gl.setViewport(rect.x, bottom, rect.width, rect.height);
      gl.setScissor(rect.x, bottom, rect.width, rect.height);
      gl.clearDepth();
      // Seen from below, the floor would lie over the object.
      cell.studio.floor.visible = !this.isPhotoCamera && this.camera.position.z > cell.studio.floor.position.z;
      cell.draw(this.cameraFor(cell, rect));
    }
    this.counts = { calls: gl.info.render.calls, triangles: gl.info.render.triangles };
    this.listener.drawn();
    // Splats are sorted beside the drawing, so that some more frames pass until they stand.
    if (this.look === "splat" && !isSoftware && performance.now() < this.settleUntil) setTimeout(() => this.request(), SETTLE_FRAME_MS);
    if (this.isTurning) setTimeout(() => { if (this.isTurning) this.turn(); }, isSoftware ? SOFTWARE_FRAME_MS : 0);
  }

  private cameraFor(cell: Cell, rect: Rect): PerspectiveCamera {
    const shown = this.windowFor(rect);
    const { pose } = cell.source;
    if (this.isPhotoCamera && this.photo && shown && pose) {
      const depth = Math.hypot(...pose.translation);
      const camera = this.photoCamera;
      camera.matrixAutoUpdate = false;
      camera.matrix.copy(photoCameraInObject(pose));
      camera.matrixWorld.copy(camera.matrix);
      camera.matrixWorldInverse.copy(camera.matrix).invert();
      camera.projectionMatrix.copy(projectionFromIntrinsics(this.photo.intrinsics, shown, depth * 0.02, depth * 20 + 4 * pose.scale));
      camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
      camera.matrixWorldAutoUpdate = false;
      return camera;
    }
    this.camera.aspect = rect.width / rect.height;
    // A narrow cell must still show the whole object.
    this.camera.fov = this.camera.aspect < 1 ? 2 * Math.atan(Math.tan((FIELD_OF_VIEW * Math.PI) / 360) / this.camera.aspect) * (180 / Math.PI) : FIELD_OF_VIEW;
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld();
    return this.camera;
  }
}
