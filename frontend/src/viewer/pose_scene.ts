/** The scene in the photo's camera frame: points, shape and gizmo on the left, the photo with the shape over it on the right. */
import { BufferAttribute, BufferGeometry, CanvasTexture, Group, Light, PerspectiveCamera, Points, PointsMaterial, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { TransformControls } from "three/addons/controls/TransformControls.js";
import { h } from "../core/dom";
import type { Intrinsics, PoseJson, Vec3 } from "../net/contract";
import type { Mask, Rect } from "../tools/mask";
import { dragScale, uniformScale } from "../tools/pose_edit";
import type { Mode } from "../tools/pose_edit";
import { createRenderer } from "./context";
import type { Renderer } from "./context";
import { CAMERA_UP, matrixFromPose, poseFromMatrix, project } from "./frames";
import type { Model } from "./models";
import { PhotoOverlay, SHAPE_LAYER } from "./photo_overlay";
import type { Measure } from "./photo_overlay";
import type { PointCloud } from "./point_cloud_file";
import { createBackdrop, paintBackdrop, Studio } from "./studio";

export type Preset = "photo" | "top" | "side" | "front" | "orbit";

/** Where each preset stands, from the object, in camera axes (x right, y down, z forward). */
const STANDS: Record<Exclude<Preset, "photo">, Vec3> = { top: [0, -1, -0.02], side: [1, 0, 0], front: [0, 0, -1], orbit: [0.62, -0.5, -0.78] };
const DISTANCE_IN_SCALES = 3.4;

export interface PoseSceneListener { posed: (pose: PoseJson) => void; gesture: (before: PoseJson, after: PoseJson, mode: Mode) => void; drawn: () => void }

export class PoseScene {
  readonly element: HTMLElement;
  readonly renderer: Renderer;
  overlay: PhotoOverlay | null = null;
  private readonly canvas = h("canvas");
  private readonly pane = h("div", { class: "pose-pane", tabindex: 0, "aria-label": "The scene in 3D. Drag to look around, drag the gizmo to place the shape." });
  private readonly camera = new PerspectiveCamera(45, 1, 0.01, 100);
  private readonly studio: Studio;
  private readonly backdrop: CanvasTexture = createBackdrop();
  private readonly node = new Group();
  private readonly orbit: OrbitControls;
  private readonly gizmo: TransformControls;
  private model: Model | null = null;
  private points: Points | null = null;
  private pose: PoseJson | null = null;
  private startScale = 1;
  private before: PoseJson | null = null;
  private intrinsics: Intrinsics | null = null;
  private frame = 0;
  private pointer: [number, number] = [0, 0];
  private pressedAt: [number, number] = [0, 0];
  private readonly observer = new ResizeObserver(() => this.resized());
  private readonly onPointer = (event: PointerEvent) => { this.pointer = [event.clientX, event.clientY]; };
  private readonly onTheme = () => { paintBackdrop(this.backdrop); this.overlay?.refreshColours(); this.redraw(); };

  /** Raises NoWebGl. */
  constructor(private readonly listener: PoseSceneListener) {
    this.element = h("div", { class: "viewport" }, this.canvas, this.pane);
    this.renderer = createRenderer(this.canvas);
    this.studio = new Studio(this.backdrop, CAMERA_UP);
    this.studio.scene.traverse((node) => { if ((node as Light).isLight) node.layers.enable(SHAPE_LAYER); });
    this.studio.scene.add(this.node);
    this.camera.up.copy(CAMERA_UP);
    this.orbit = new OrbitControls(this.camera, this.pane);
    this.orbit.addEventListener("change", () => this.redraw());
    // Before the gizmo's own listeners, so that it finds the pointer where it is.
    this.pane.addEventListener("pointerdown", (event) => { this.pressedAt = this.pointer = [event.clientX, event.clientY]; });
    addEventListener("pointermove", this.onPointer, { capture: true });
    this.gizmo = new TransformControls(this.camera, this.pane);
    this.gizmo.setSize(0.85);
    this.studio.scene.add(this.gizmo.getHelper());
    this.gizmo.addEventListener("change", () => this.redraw());
    this.gizmo.addEventListener("dragging-changed", (event) => { this.orbit.enabled = !event.value; });
    this.gizmo.addEventListener("mouseDown", () => { this.before = this.pose; });
    this.gizmo.addEventListener("objectChange", () => this.dragged());
    this.gizmo.addEventListener("mouseUp", () => this.dropped());
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
    if (cloud) this.showCloud(cloud);
    this.setPose(pose);
    this.gizmo.attach(this.node);
    this.look("orbit");
    this.resized();
  }

  clear(): void {
    this.gizmo.detach();
    this.model?.dispose();
    this.overlay?.dispose();
    if (this.points) {
      this.points.geometry.dispose();
      (this.points.material as PointsMaterial).dispose();
      this.points.removeFromParent();
    }
    this.model = this.overlay = this.points = this.pose = this.before = null;
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
    this.gizmo.setSpace(isOn ? "local" : "world");
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
    if (this.gizmo.mode === "scale") {
      const before = (this.before ?? this.pose).scale;
      // The gizmo's middle handle divides by the distance from its own centre, which is about zero when it is grabbed.
      const isMiddle = (this.gizmo.axis?.length ?? 0) > 1;
      this.node.scale.setScalar(isMiddle ? dragScale(before, this.draggedBy(), this.startScale) : uniformScale(this.node.scale.toArray() as Vec3, before, this.startScale));
    }
    this.node.updateMatrix();
    this.pose = poseFromMatrix(this.node.matrix, this.pose.unit);
    this.listener.posed(this.pose);
  }

  /** Pixels to the right and up since the gesture began. */
  private draggedBy(): number {
    return this.pointer[0] - this.pressedAt[0] - (this.pointer[1] - this.pressedAt[1]);
  }

  private dropped(): void {
    const { before, pose } = this;
    this.before = null;
    if (before && pose && before !== pose) this.listener.gesture(before, pose, this.gizmo.mode as Mode);
  }

  private showCloud(cloud: PointCloud): void {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(cloud.positions, 3));
    geometry.setAttribute("color", new BufferAttribute(linearColours(cloud.colours), 3, true));
    this.points = new Points(geometry, new PointsMaterial({ size: 2 * this.renderer.gl.getPixelRatio(), sizeAttenuation: false, vertexColors: true }));
    this.studio.scene.add(this.points);
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

/** Photo bytes (sRGB) as linear values, sixteen bits each so that dark ones are not banded. */
function linearColours(bytes: Uint8Array): Uint16Array {
  const table = Uint16Array.from({ length: 256 }, (_, i) => {
    const v = i / 255;
    return Math.round(65535 * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  });
  return Uint16Array.from(bytes, (byte) => table[byte] as number);
}
