/** Gaussian splats, by Spark, in a chunk of its own that is only loaded when somebody wants to see splats. */
import { SparkRenderer, SplatFileType, SplatMesh } from "@sparkjsdev/spark";
import type { Object3D, Scene, WebGLRenderer } from "three";

const LOAD_TIMEOUT_MS = 30_000;

export interface Splats { object: Object3D; dispose: () => void }

/** Adds the splats of a 3DGS .ply (object frame) to a scene; ``dirty`` is called when a new sorting wants to be drawn. */
export async function addSplats(url: string, scene: Scene, renderer: WebGLRenderer, dirty: () => void): Promise<Splats> {
  const response = await fetch(url, { signal: AbortSignal.timeout(LOAD_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`A splat file could not be loaded (HTTP ${response.status}).`);
  const mesh = new SplatMesh({ fileBytes: await response.arrayBuffer(), fileType: SplatFileType.PLY });
  await mesh.initialized;
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
