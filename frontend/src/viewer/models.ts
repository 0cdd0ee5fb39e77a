/** Loads GLB files into the object frame, and shows them in colour, as clay or by their normals. */
import { BufferAttribute, Color, DoubleSide, FrontSide, Group, Mesh, MeshLambertMaterial, MeshMatcapMaterial, MeshNormalMaterial } from "three";
import type { BufferGeometry, Material, MeshStandardMaterial } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { t } from "../core/language";
import { clayMatcap } from "./clay";
import { disposeMaterial } from "./dispose";
import { objectFromGlb } from "./frames";

export type Look = "colour" | "clay" | "normals";

const LOAD_TIMEOUT_MS = 30_000;

export class Model {
  private readonly colours = new Map<Mesh, Material>();
  private readonly clay = new MeshMatcapMaterial();
  private readonly normals = new MeshNormalMaterial();

  /** ``root`` is in the object frame (Z-up). */
  constructor(readonly root: Group) {
    for (const mesh of this.meshes()) {
      mesh.geometry.computeBoundingSphere();
      if (!mesh.geometry.hasAttribute("normal")) mesh.geometry.computeVertexNormals();
      const lambert = lambertOf(mesh);
      this.colours.set(mesh, lambert);
      mesh.material = lambert;
    }
  }

  meshes(): Mesh[] {
    const meshes: Mesh[] = [];
    this.root.traverse((node) => { if ((node as Mesh).isMesh) meshes.push(node as Mesh); });
    return meshes;
  }

  get numFaces(): number {
    return this.meshes().reduce((sum, { geometry }) => sum + (geometry.index ?? geometry.attributes["position"] ?? new BufferAttribute(new Float32Array(), 3)).count / 3, 0);
  }

  setLook(look: Look): void {
    if (look === "clay") this.clay.matcap = clayMatcap();
    for (const [mesh, colour] of this.colours) mesh.material = look === "clay" ? this.clay : look === "normals" ? this.normals : colour;
  }

  dispose(): void {
    for (const mesh of this.meshes()) mesh.geometry.dispose();
    // Also the textures of colours that do not show at the moment. The clay's picture belongs to the page.
    for (const material of this.colours.values()) disposeMaterial(material);
    this.clay.dispose();
    this.normals.dispose();
    this.root.removeFromParent();
  }
}

/** Raises an Error fit for people when the file cannot be had or read in time. */
export async function loadModel(url: string): Promise<Model> {
  // Somebody waits for it: what is fetched ahead for the next task must not come first.
  const response = await fetch(url, { signal: AbortSignal.timeout(LOAD_TIMEOUT_MS), priority: "high" });
  if (!response.ok) throw new Error(t("A 3D file could not be loaded (HTTP {status}).", { status: response.status }));
  const data = await response.arrayBuffer();
  const loader = new GLTFLoader();
  if (isMeshopt(data)) loader.setMeshoptDecoder((await import("three/addons/libs/meshopt_decoder.module.js")).MeshoptDecoder);
  const gltf = await loader.parseAsync(data, "");
  const root = new Group();
  root.applyMatrix4(objectFromGlb());
  root.add(gltf.scene);
  return new Model(root);
}

/** Whether a GLB's JSON asks for the meshopt decoder, which is only loaded then. */
function isMeshopt(glb: ArrayBuffer): boolean {
  const jsonLength = glb.byteLength > 20 ? new DataView(glb).getUint32(12, true) : 0;
  return new TextDecoder().decode(new Uint8Array(glb, 0, Math.min(glb.byteLength, 20 + jsonLength))).includes('"EXT_meshopt_compression"');
}

function lambertOf(mesh: Mesh): Material {
  const given = mesh.material as MeshStandardMaterial;
  const geometry: BufferGeometry = mesh.geometry;
  const material = new MeshLambertMaterial({
    color: given.color ?? new Color(1, 1, 1), map: given.map ?? null, vertexColors: geometry.hasAttribute("color"), side: given.side === DoubleSide ? DoubleSide : FrontSide,
  });
  given.map = null;
  given.dispose();
  return material;
}
