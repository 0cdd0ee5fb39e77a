/** The handles that move, turn and scale the shape: thick, outlined against a busy cloud, and unable to run away with the scale. */
import { BackSide, Mesh, MeshBasicMaterial, Vector3 } from "three";
import type { BufferAttribute, BufferGeometry, Camera, Object3D, PerspectiveCamera } from "three";
import { TransformControls } from "three/addons/controls/TransformControls.js";
import { dragScale, outwardPixels, TURN_STEP_DEG } from "../tools/pose_edit";
import type { Mode } from "../tools/pose_edit";
import { token } from "../ui/theme";

export interface GizmoListener {
  redraw: () => void;
  /** The node has moved; called all along a gesture. */
  moved: () => void;
  /** A gesture begins, ends well, or is broken off by a second finger. */
  began: () => void;
  ended: () => void;
  broken: () => void;
}

const SIZE = 1.15;
/** In the gizmo's own units, in which an arrow is half a unit long. */
const THICKER = 0.007, HALO = 0.016;

export class PoseGizmo {
  readonly helper: Object3D;
  private readonly controls: TransformControls;
  private readonly halo = new MeshBasicMaterial({ side: BackSide, depthTest: false, depthWrite: false, transparent: true, opacity: 0.85 });
  private pointer: [number, number] = [0, 0];
  private pressedAt: [number, number] = [0, 0];
  private scaleBefore = 1;
  private readonly onMove = (event: PointerEvent) => { this.pointer = [event.clientX, event.clientY]; };

  /** ``limit`` is the scale that the bounds are relative to. */
  constructor(private readonly camera: PerspectiveCamera, private readonly pane: HTMLElement, private readonly node: Object3D, private readonly listener: GizmoListener, private readonly limit: () => number) {
    // Before the gizmo's own listeners, so that it finds the pointer where it is.
    pane.addEventListener("pointerdown", (event) => this.pressed(event), { capture: true });
    addEventListener("pointermove", this.onMove, { capture: true });
    this.controls = new TransformControls(camera as Camera, pane);
    this.controls.setSize(SIZE);
    this.helper = this.controls.getHelper();
    this.thicken();
    this.refreshColours();
    this.controls.addEventListener("change", () => listener.redraw());
    this.controls.addEventListener("mouseDown", () => { this.scaleBefore = node.scale.x; listener.began(); });
    this.controls.addEventListener("objectChange", () => this.changed());
    this.controls.addEventListener("mouseUp", () => listener.ended());
  }

  get mode(): Mode {
    return this.controls.mode as Mode;
  }

  get isDragging(): boolean {
    return this.controls.dragging;
  }

  setMode(mode: Mode): void {
    this.controls.setMode(mode);
  }

  setObjectAxes(isOn: boolean): void {
    this.controls.setSpace(isOn ? "local" : "world");
  }

  setTurnSteps(isOn: boolean): void {
    this.controls.setRotationSnap(isOn ? (TURN_STEP_DEG * Math.PI) / 180 : null);
  }

  /** Shown and able to be dragged, or neither. */
  setActive(isActive: boolean): void {
    this.controls.enabled = isActive;
    if (isActive) this.controls.attach(this.node);
    else this.controls.detach();
  }

  refreshColours(): void {
    this.halo.color.set(token("--ground"));
    this.controls.setColors(token("--axis-x"), token("--axis-y"), token("--axis-z"), token("--warning"));
  }

  private changed(): void {
    // The controls divide by the distance from their own middle, which may be zero or turn negative: the scale comes
    // from the pixels dragged instead, whatever handle was taken.
    if (this.mode === "scale") this.node.scale.setScalar(dragScale(this.scaleBefore, outwardPixels(this.middle(), this.pressedAt, this.pointer), this.limit()));
    this.node.updateMatrix();
    this.listener.moved();
  }

  private pressed(event: PointerEvent): void {
    if (!this.isDragging) {
      this.pressedAt = this.pointer = [event.clientX, event.clientY];
      return;
    }
    // A second finger means the view, so the shape goes back to where the first one took it up.
    this.controls.reset();
    this.listener.broken();
    this.controls.pointerUp(null);
  }

  private middle(): [number, number] {
    const at = new Vector3().setFromMatrixPosition(this.node.matrixWorld).project(this.camera), box = this.pane.getBoundingClientRect();
    return [box.left + ((at.x + 1) / 2) * box.width, box.top + ((1 - at.y) / 2) * box.height];
  }

  /** Handles swell along their normals, and each gets a larger dark copy seen from inside, which is an outline. */
  private thicken(): void {
    const handles: Mesh<BufferGeometry>[] = [];
    this.helper.traverse((node) => {
      const mesh = node as Mesh<BufferGeometry>;
      // Those that are see-through are large already, or only there to be hit.
      if (mesh.isMesh && mesh.name !== "" && (mesh.material as MeshBasicMaterial).opacity === 1 && mesh.geometry.hasAttribute("normal")) handles.push(mesh);
    });
    for (const handle of handles) {
      handle.geometry = swollen(handle.geometry, THICKER);
      const halo = new Mesh(swollen(handle.geometry, HALO), this.halo);
      halo.renderOrder = 1e6; // the handles' own is infinite
      handle.add(halo);
    }
  }
}

function swollen(geometry: BufferGeometry, by: number): BufferGeometry {
  const grown = geometry.clone();
  const at = grown.getAttribute("position") as BufferAttribute, normal = grown.getAttribute("normal") as BufferAttribute;
  for (let i = 0; i < at.count; i++) at.setXYZ(i, at.getX(i) + by * normal.getX(i), at.getY(i) + by * normal.getY(i), at.getZ(i) + by * normal.getZ(i));
  return grown;
}
