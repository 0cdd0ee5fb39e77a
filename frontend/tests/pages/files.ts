/** Opens one file at a time in the real viewer and tells what it holds and how it looks, for the browser tests. */
import { Box3, PerspectiveCamera, Points, Vector3 } from "three";
import type { MeshLambertMaterial, Object3D } from "three";
import "../../src/ui/app.css";
import { createRenderer } from "../../src/viewer/context";
import { OBJECT_UP } from "../../src/viewer/frames";
import { loadModel } from "../../src/viewer/models";
import { addSplatPoints } from "../../src/viewer/splat_points";
import type { Splats } from "../../src/viewer/splats";
import { createBackdrop, Studio } from "../../src/viewer/studio";

const MOST_FRAMES = 200;
const SIDE = 160;

const canvas = document.querySelector("canvas") as HTMLCanvasElement;
const renderer = createRenderer(canvas);
renderer.gl.setSize(SIDE, SIDE, false);
const studio = new Studio(createBackdrop(), OBJECT_UP);
const camera = new PerspectiveCamera(40, 1, 0.01, 20);
camera.up.copy(OBJECT_UP);
camera.position.set(0.9, -1.5, 0.8);
camera.lookAt(0, 0, 0);
camera.updateMatrixWorld();

/** Draws and reads in one task: WebGL forgets its picture afterwards. RGBA rows from the bottom. */
function picture(): number[] {
  renderer.gl.clear();
  studio.lightFrom(camera);
  renderer.gl.render(studio.scene, camera);
  const gl = renderer.gl.getContext();
  const pixels = new Uint8Array(SIDE * SIDE * 4);
  gl.readPixels(0, 0, SIDE, SIDE, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  return Array.from(pixels);
}

function bounds(object: Object3D): number[][] {
  const box = new Box3().setFromObject(object, true);
  return [box.min.toArray(), box.max.toArray()];
}

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

async function openModel(url: string) {
  const model = await loadModel(url);
  studio.scene.add(model.root);
  studio.scene.updateMatrixWorld(true);
  const materials = model.meshes().map(({ material }) => material as MeshLambertMaterial);
  const found = { faces: model.numFaces, bounds: bounds(model.root), hasTexture: materials.some(({ map }) => map !== null), hasColours: materials.some(({ vertexColors }) => vertexColors), picture: picture() };
  model.dispose();
  return found;
}

async function openPoints(url: string) {
  const splats = await addSplatPoints(url, studio.scene);
  studio.scene.updateMatrixWorld(true);
  const { position, color } = (splats.object as Points).geometry.attributes;
  const places: number[][] = [];
  for (let i = 0; i < (position?.count ?? 0); i++) if (position) places.push(new Vector3().fromBufferAttribute(position, i).applyMatrix4(splats.object.matrixWorld).toArray());
  const found = { places, colours: Array.from(color?.array ?? []), picture: picture() };
  splats.dispose();
  return found;
}

/** Splats are sorted elsewhere and appear some frames later; ``empty`` is the picture without them. */
async function openSplats(url: string) {
  const empty = picture();
  const splats: Splats = await (await import("../../src/viewer/splats")).addSplats(url, studio.scene, renderer.gl, () => undefined);
  let now = empty;
  let before: number[] = [];
  const isSame = (a: number[], b: number[]) => a.every((value, i) => value === b[i]);
  for (let frame = 0; frame < MOST_FRAMES && (isSame(now, empty) || !isSame(now, before)); frame++) {
    await nextFrame();
    before = now;
    now = picture();
  }
  splats.dispose();
  return { empty, picture: now };
}

Object.assign(window, { __files: { openModel, openPoints, openSplats } });
document.documentElement.dataset.ready = "1";
