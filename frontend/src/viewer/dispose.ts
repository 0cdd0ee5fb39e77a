/** Gives the graphics memory of a tree back. */
import type { Material, Mesh, Object3D, Texture } from "three";

export function disposeTree(root: Object3D): void {
  root.traverse((node) => {
    const { geometry, material } = node as Partial<Mesh>;
    geometry?.dispose();
    for (const each of Array.isArray(material) ? material : material ? [material] : []) disposeMaterial(each);
  });
}

export function disposeMaterial(material: Material): void {
  for (const value of Object.values(material)) if ((value as Texture | null)?.isTexture) (value as Texture).dispose();
  material.dispose();
}
