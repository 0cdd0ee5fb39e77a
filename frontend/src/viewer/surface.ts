/** The triangles of a loaded shape, in the frame of its root's parent. */
import { Vector3 } from "three";
import type { BufferAttribute, Mesh, Object3D } from "three";

/** Nine numbers for each triangle. */
export function surfaceTriangles(root: Object3D): Float32Array {
  const corners: number[] = [];
  root.updateMatrixWorld(true);
  const point = new Vector3();
  root.traverse((node) => {
    const mesh = node as Mesh;
    if (!mesh.isMesh) return;
    const at = mesh.geometry.getAttribute("position") as BufferAttribute, index = mesh.geometry.index;
    const count = index ? index.count : at.count;
    for (let i = 0; i < count - (count % 3); i++) corners.push(...point.fromBufferAttribute(at, index ? index.getX(i) : i).applyMatrix4(mesh.matrixWorld));
  });
  return Float32Array.from(corners);
}
