/** The room around an object: soft gradient, two lights, a faint floor grid and a small axis cross. */
import { AmbientLight, AxesHelper, CanvasTexture, Color, DirectionalLight, GridHelper, Group, HemisphereLight, Scene, SRGBColorSpace, Vector3 } from "three";
import type { Camera } from "three";
import { token } from "../ui/theme";
import { disposeTree } from "./dispose";

export class Studio {
  readonly scene = new Scene();
  readonly floor = new Group();
  private readonly key = new DirectionalLight(0xffffff, 1.9);

  /** ``backdrop`` is shared by all studios of a page; ``up`` is the frame's upward axis. */
  constructor(backdrop: CanvasTexture, up: Vector3) {
    this.scene.background = backdrop;
    const sky = new HemisphereLight(0xffffff, 0x777788, 1.5);
    sky.position.copy(up);
    this.scene.add(sky, new AmbientLight(0xffffff, 0.25), this.key, this.key.target, this.floor);
  }

  /** A grid under the unit cube of the object frame. */
  addObjectFloor(): void {
    const line = new Color(token("--scene-grid"));
    const grid = new GridHelper(2.4, 12, line, line);
    grid.rotation.x = Math.PI / 2;
    const material = grid.material;
    material.transparent = true;
    material.opacity = 0.45;
    material.depthWrite = false;
    const axes = new AxesHelper(0.22);
    axes.position.set(-1.2, -1.2, 0.002);
    axes.setColors(token("--axis-x"), token("--axis-y"), token("--axis-z"));
    this.floor.add(grid, axes);
    this.floor.position.z = -0.5;
  }

  /** The key light stands above the viewer's left shoulder, so that shape shows from every side. */
  lightFrom(camera: Camera): void {
    this.key.position.set(-0.7, 1, 1.1).applyMatrix4(camera.matrixWorld);
    this.key.target.position.setFromMatrixPosition(camera.matrixWorld);
    // Direction only: the offset is turned with the camera but a folded-in scale does not matter.
    this.key.target.updateMatrixWorld();
  }

  dispose(): void {
    disposeTree(this.floor);
    this.key.dispose();
  }
}

export function createBackdrop(): CanvasTexture {
  const canvas = document.createElement("canvas");
  canvas.width = 2;
  canvas.height = 128;
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  paintBackdrop(texture);
  return texture;
}

/** Again after a change of theme. */
export function paintBackdrop(texture: CanvasTexture): void {
  const canvas = texture.image as HTMLCanvasElement;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const gradient = context.createLinearGradient(0, 0, 0, canvas.height);
  gradient.addColorStop(0, token("--scene-top"));
  gradient.addColorStop(1, token("--scene-bottom"));
  context.fillStyle = gradient;
  context.fillRect(0, 0, canvas.width, canvas.height);
  texture.needsUpdate = true;
}
