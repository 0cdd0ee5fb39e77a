/** Fetches splat files and tells their formats apart: 3DGS .ply in its own frame, .spz in the axes of GLB files. */
import { Matrix4 } from "three";
import { t } from "../core/language";
import { objectFromGlb } from "./frames";

const LOAD_TIMEOUT_MS = 30_000;
const GZIP_MAGIC = 0x8b1f;

export interface SplatFile {
  bytes: ArrayBuffer;
  format: "ply" | "spz";
  /** T_object_file: what takes the file's axes into the object frame. */
  objectFromFile: Matrix4;
}

/** Raises an Error fit for people when the file cannot be had in time. */
export async function fetchSplatFile(url: string): Promise<SplatFile> {
  const response = await fetch(url, { signal: AbortSignal.timeout(LOAD_TIMEOUT_MS) });
  if (!response.ok) throw new Error(t("A splat file could not be loaded (HTTP {status}).", { status: response.status }));
  const bytes = await response.arrayBuffer();
  const isSpz = bytes.byteLength > 2 && new DataView(bytes).getUint16(0, true) === GZIP_MAGIC;
  return isSpz ? { bytes, format: "spz", objectFromFile: objectFromGlb() } : { bytes, format: "ply", objectFromFile: new Matrix4() };
}
