/** The scene in the photo's camera frame: points, shape and gizmo on the left, the photo with the shape over it on the right. */
import { CanvasTexture, Group, Light, PerspectiveCamera, Raycaster, Vector2, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { h } from "../core/dom";
import { t } from "../core/language";
import type { Intrinsics, PoseJson, Vec3 } from "../net/contract";
import type { Mask, Rect } from "../tools/mask";
import type { Mode } from "../tools/pose_edit";
import { CloudPoints } from "./cloud_points";
import { createRenderer } from "./context";
import type { Renderer } from "./context";
import { CAMERA_UP, matrixFromPose, poseFromMatrix, project } from "./frames";
import type { Model } from "./models";
import { PhotoOverlay, SHAPE_LAYER } from "./photo_overlay";
import type { Measure } from "./photo_overlay";
import type { PointCloud } from "./point_cloud_file";
import { PoseGizmo } from "./pose_gizmo";
import { createBackdrop, paintBackdrop, Studio } from "./studio";

export type Preset = "photo" | "top" | "side" | "front" | "orbit";

/** Where each preset stands, from the object, in camera axes (x right, y down, z forward). */
const STANDS: Record<Exclude<Preset, "photo">, Vec3> = { top: [0, -1, -0.02], side: [1, 0, 0], front: [0, 0, -1], orbit: [0.62, -0.5, -0.78] };
const DISTANCE_IN_SCALES = 3.4;
/** Turning the wheel has no end that one could hear of. */
const STILL_AFTER_MS = 220;

export interface PoseSceneListener { posed: (pose: PoseJson) => void; gesture: (before: PoseJson, after: PoseJson, mode: Mode) => void; drawn: () => void }

export class PoseScene {
  readonly element: HTMLElement;
  readonly renderer: Renderer;
  overlay: PhotoOverlay | null = null;
  private readonly canvas = h("canvas");
  private readonly pane = h("div", { class: "pose-pane", tabindex: 0, "aria-label": t("The scene in 3D. Drag to look around, drag the gizmo to place the shape.") });
  private readonly camera = new PerspectiveCamera(45, 1, 0.01, 100);
  private readonly studio: Studio;
  private readonly backdrop: CanvasTexture = createBackdrop();
  private readonly node = new Group();
  private readonly orbit: OrbitControls;
  private readonly gizmo: PoseGizmo;
  private model: Model | null = null;
  private cloud: CloudPoints | null = null;
  private pose: PoseJson | null = null;
  private startScale = 1;
  private before: PoseJson | null = null;
  private intrinsics: Intrinsics | null = null;
  private frame = 0;
  private stillTimer = 0;
  private readonly observer = new ResizeObserver(() => this.resized());
  private readonly onTheme = () => {
    paintBackdrop(this.backdrop);
    this.overlay?.refreshColours();
    this.cloud?.refreshColours();
    this.gizmo.refreshColours();
    this.redraw();
  };

  /** Raises NoWebGl. */
  constructor(private readonly listener: PoseSceneListener) {
    this.element = h("div", { class: "viewport" }, this.canvas, this.pane);
    this.renderer = createRenderer(this.canvas);
    this.studio = new Studio(this.backdrop, CAMERA_UP);
    this.studio.scene.traverse((node) => { if ((node as Light).isLight) node.layers.enable(SHAPE_LAYER); });
    this.studio.scene.add(this.node);
    this.camera.up.copy(CAMERA_UP);
    this.orbit = new OrbitControls(this.camera, this.pane);
    this.orbit.addEventListener("change", () => { this.moves(); this.redraw(); });
    this.gizmo = new PoseGizmo(this.camera, this.pane, this.node, {
      redraw: () => this.redraw(),
      moved: () => this.dragged(),
      began: () => { this.before = this.pose; this.orbit.enabled = false; },
      ended: () => this.dropped(),
      broken: () => this.putBack(),
    }, () => this.startScale);
    this.studio.scene.add(this.gizmo.helper);
    addEventListener("candid8:theme", this.onTheme);
    this.observer.observe(this.element);
  }

  load(model: Model, pose: PoseJson, intrinsics: Intrinsics, photo: HTMLImageElement, mask: Mask, cloud: PointCloud | null): void {
    this.clear();
    this.intrinsics = intrinsics;
    this.model = model;
    this.startScale = pose.scale;
    this.node.add(model.root);
    for (const mesh of model.meshes()) mesh.layers.enable(SHAPE_LAYER);
    const depth = Math.hypot(...pose.translation);
    const far = Math.max(depth * 6, cloud ? farthest(cloud.positions) * 1.5 : 0);
    this.camera.near = far / 4000;
    this.camera.far = far * 4;
    this.overlay = new PhotoOverlay(this.renderer.gl, intrinsics, photo, mask, far);
    if (cloud) this.showCloud(cloud, mask, intrinsics);
    this.setPose(pose);
    this.gizmo.setActive(true);
    this.look("orbit");
    this.resized();
  }

  clear(): void {
    clearTimeout(this.stillTimer);
    this.gizmo.setActive(false);
    this.model?.dispose();
    this.overlay?.dispose();
    this.cloud?.dispose();
    this.model = this.overlay = this.cloud = this.pose = this.before = null;
    this.redraw();
  }

  setPose(pose: PoseJson): void {
    this.pose = pose;
    matrixFromPose(pose).decompose(this.node.position, this.node.quaternion, this.node.scale);
    this.node.updateMatrixWorld(true);
    this.redraw();
  }

  setMode(mode: Mode): void {
    this.gizmo.setMode(mode);
    this.redraw();
  }

  setObjectAxes(isOn: boolean): void {
    this.gizmo.setObjectAxes(isOn);
    this.redraw();
  }

  setTurnSteps = (isOn: boolean): void => this.gizmo.setTurnSteps(isOn);

  /** Whether the shape can be dragged now. */
  setGizmo(isActive: boolean): void {
    this.gizmo.setActive(isActive && this.model !== null);
    this.redraw();
  }

  setDimmed(isDimmed: boolean): void {
    if (this.overlay) this.overlay.isDimmed = isDimmed;
    if (this.cloud) this.cloud.isDimmed = isDimmed;
    this.redraw();
  }

  /** While points are picked, what cannot be picked now stands back. */
  showForPicking(what: "shape" | "cloud" | null): void {
    if (this.cloud) this.cloud.isFaint = what === "shape";
    if (this.model) for (const mesh of this.model.meshes()) mesh.layers[what === "cloud" ? "disable" : "enable"](0);
    this.redraw();
  }

  get isDragging(): boolean {
    return this.before !== null;
  }

  setMeshHidden(isHidden: boolean): void {
    if (this.model) this.model.root.visible = !isHidden;
    if (this.overlay) this.overlay.isMeshHidden = isHidden;
    this.redraw();
  }

  look(preset: Preset): void {
    if (!this.pose || !this.intrinsics) return;
    const object = new Vector3(...this.pose.translation);
    this.orbit.target.copy(object);
    if (preset === "photo") {
      this.camera.position.set(0, 0, 0);
      this.camera.fov = (2 * Math.atan(this.intrinsics.height / (2 * this.intrinsics.fy)) * 180) / Math.PI;
    } else {
      this.camera.fov = 45;
      this.camera.position.copy(object).addScaledVector(new Vector3(...STANDS[preset]).normalize(), DISTANCE_IN_SCALES * this.pose.scale);
    }
    this.camera.updateProjectionMatrix();
    this.orbit.update();
    this.redraw();
  }

  measure(): Measure | null {
    const { overlay, model } = this;
    if (!overlay || !model) return null;
    const { gl } = this.renderer;
    const wasVisible = model.root.visible;
    model.root.visible = true;
    gl.setScissorTest(false);
    const measure = overlay.measure(this.studio.scene);
    model.root.visible = wasVisible;
    return measure;
  }

  /** Where a camera-frame point is on the screen, in page pixels, in the right pane. */
  projectToScreen(point: Vec3): [number, number] | null {
    if (!this.intrinsics) return null;
    const [u, v] = project(point, this.intrinsics);
    const rect = this.photoRect(), box = this.canvas.getBoundingClientRect();
    return [box.left + rect.x + (u * rect.width) / this.intrinsics.width, box.top + rect.y + (v * rect.height) / this.intrinsics.height];
  }

  /** The same for the left pane. */
  projectToScene(point: Vec3): [number, number] {
    const at = new Vector3(...point).project(this.camera), box = this.pane.getBoundingClientRect();
    return [box.left + ((at.x + 1) / 2) * box.width, box.top + ((1 - at.y) / 2) * box.height];
  }

  /** The shape's point under a place of the page, in the object frame. */
  pickShape(at: readonly [number, number]): Vec3 | null {
    if (!this.model || !this.overlay) return null;
    const caster = new Raycaster(), isPhoto = this.isOverPhoto(at);
    const box = isPhoto ? this.photoBox() : this.pane.getBoundingClientRect();
    caster.setFromCamera(new Vector2(((at[0] - box.left) / box.width) * 2 - 1, 1 - ((at[1] - box.top) / box.height) * 2), isPhoto ? this.overlay.camera : this.camera);
    caster.layers.set(SHAPE_LAYER);
    const hit = caster.intersectObject(this.model.root, true)[0];
    return hit ? (this.node.worldToLocal(hit.point.clone()).toArray() as Vec3) : null;
  }

  /** The scene's point under a place of the page, in the camera frame. */
  pickCloud(at: readonly [number, number]): Vec3 | null {
    const { intrinsics: k, cloud } = this;
    if (!cloud || !k) return null;
    if (this.isOverPhoto(at)) {
      const box = this.photoBox();
      return cloud.pick((x, y, z) => [box.left + ((k.fx * x) / z + k.cx) * (box.width / k.width), box.top + ((k.fy * y) / z + k.cy) * (box.height / k.height), z], at);
    }
    const box = this.pane.getBoundingClientRect(), m = this.camera.projectionMatrix.clone().multiply(this.camera.matrixWorldInverse).elements;
    const row = (i: number, x: number, y: number, z: number) => (m[i] as number) * x + (m[i + 4] as number) * y + (m[i + 8] as number) * z + (m[i + 12] as number);
    return cloud.pick((x, y, z) => {
      const w = row(3, x, y, z);
      return [box.left + ((row(0, x, y, z) / w + 1) / 2) * box.width, box.top + ((1 - row(1, x, y, z) / w) / 2) * box.height, w];
    }, at);
  }

  /** A point of the posed shape in the camera frame. */
  placed = (onShape: Vec3): Vec3 => this.node.localToWorld(new Vector3(...onShape)).toArray() as Vec3;

  isOverPhoto(at: readonly [number, number]): boolean {
    const box = this.photoBox();
    return at[0] >= box.left && at[0] <= box.left + box.width && at[1] >= box.top && at[1] <= box.top + box.height;
  }

  /** The photo's rectangle on the page. */
  photoBox(): { left: number; top: number; width: number; height: number } {
    const rect = this.photoRect(), box = this.canvas.getBoundingClientRect();
    return { left: box.left + rect.x, top: box.top + rect.y, width: rect.width, height: rect.height };
  }

  get cloudState(): { total: number; shown: number } | null {
    return this.cloud && { total: this.cloud.total, shown: this.cloud.shown };
  }

  cameraState = (): Record<string, unknown> => ({ position: this.camera.position.toArray(), target: this.orbit.target.toArray(), fov: this.camera.fov });

  redraw(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  /** The photo's rectangle in the right pane, with its own aspect. */
  photoRect(): Rect {
    const { clientWidth: width, clientHeight: height } = this.element;
    const left = Math.ceil(width / 2);
    if (!this.intrinsics) return { x: left, y: 0, width: width - left, height };
    const part = Math.min((width - left) / this.intrinsics.width, height / this.intrinsics.height);
    const w = this.intrinsics.width * part, h2 = this.intrinsics.height * part;
    return { x: left + (width - left - w) / 2, y: (height - h2) / 2, width: w, height: h2 };
  }

  private dragged(): void {
    if (!this.pose) return;
    this.pose = poseFromMatrix(this.node.matrix, this.pose.unit);
    this.moves();
    this.listener.posed(this.pose);
  }

  private dropped(): void {
    const { before, pose } = this;
    this.before = null;
    this.orbit.enabled = true;
    if (before && pose && before !== pose) this.listener.gesture(before, pose, this.gizmo.mode);
  }

  private putBack(): void {
    const { before } = this;
    this.before = null;
    this.orbit.enabled = true;
    if (!before) return;
    this.setPose(before);
    this.listener.posed(before);
  }

  /** Fewer points are drawn until nothing has moved for a moment. */
  private moves(): void {
    this.cloud?.setMoving(true);
    clearTimeout(this.stillTimer);
    this.stillTimer = window.setTimeout(() => { this.cloud?.setMoving(false); this.redraw(); }, STILL_AFTER_MS);
  }

  private showCloud(cloud: PointCloud, mask: Mask, intrinsics: Intrinsics): void {
    this.cloud = new CloudPoints(cloud, mask, intrinsics, this.renderer.isSoftware);
    this.studio.scene.add(this.cloud.object);
    this.overlay?.setCloud(cloud.positions);
  }

  private resized(): void {
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.renderer.gl.setSize(clientWidth, clientHeight, false);
    this.redraw();
  }

  private draw(): void {
    const { gl } = this.renderer;
    const { clientWidth: width, clientHeight: height } = this.element;
    gl.setScissorTest(false);
    gl.setClearColor(0x000000, 0);
    gl.clear();
    if (!this.model || !this.overlay || width === 0) return;
    gl.setScissorTest(true);
    const left = Math.floor(width / 2);
    this.camera.aspect = left / height;
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld();
    gl.setViewport(0, 0, left, height);
    gl.setScissor(0, 0, left, height);
    this.studio.lightFrom(this.camera);
    this.cloud?.fit(this.camera, height, gl.getPixelRatio());
    gl.render(this.studio.scene, this.camera);
    this.overlay.draw(this.studio.scene, this.photoRect(), height);
    this.listener.drawn();
  }
}

function farthest(positions: Float32Array): number {
  let far = 0;
  for (let i = 2; i < positions.length; i += 3) far = Math.max(far, positions[i] as number);
  return far;
}
