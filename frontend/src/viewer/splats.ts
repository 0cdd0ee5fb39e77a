/** Gaussian splats, by Spark, in a chunk of its own that is only loaded when somebody wants to see splats. */
import { PackedSplats, SparkRenderer, SplatFileType, SplatMesh } from "@sparkjsdev/spark";
import type { Object3D, Scene, WebGLRenderer } from "three";
import { fetchSplatFile } from "./splat_file";
import type { SplatFile } from "./splat_file";

const FILE_TYPES = { ply: SplatFileType.PLY, spz: SplatFileType.SPZ };

export interface Splats { object: Object3D; dispose: () => void }

/** One splat as its file has it: centre, sRGB colour, opacity and mean standard deviation. */
export interface PlainSplat { x: number; y: number; z: number; red: number; green: number; blue: number; opacity: number; scale: number }

/** Adds the splats of a .ply or .spz (object frame) to a scene; ``dirty`` is called when a new sorting wants to be drawn. */
export async function addSplats(url: string, scene: Scene, renderer: WebGLRenderer, dirty: () => void): Promise<Splats> {
  const file = await fetchSplatFile(url);
  const mesh = new SplatMesh({ fileBytes: file.bytes, fileType: FILE_TYPES[file.format] });
  await mesh.initialized;
  mesh.applyMatrix4(file.objectFromFile);
  const spark = new SparkRenderer({ renderer, onDirty: dirty });
  scene.add(spark, mesh);
  return {
    object: mesh,
    dispose: () => {
      scene.remove(spark, mesh);
      mesh.dispose();
      spark.dispose();
    },
  };
}

/** The splats of a file as Spark reads them, in the file's own axes. */
export async function readSplats(file: SplatFile): Promise<PlainSplat[]> {
  const packed = new PackedSplats({ fileBytes: new Uint8Array(file.bytes), fileType: FILE_TYPES[file.format] });
  await packed.initialized;
  const splats: PlainSplat[] = [];
  packed.forEachSplat((_, { x, y, z }, scales, __, opacity, colour) => {
    splats.push({ x, y, z, red: colour.r, green: colour.g, blue: colour.b, opacity, scale: (scales.x + scales.y + scales.z) / 3 });
  });
  packed.dispose();
  return splats;
}
