/** Splats drawn as plain points, for machines without a GPU, where sorting and blending them takes seconds a frame. */
import { BufferAttribute, BufferGeometry, Points, PointsMaterial } from "three";
import type { Scene } from "three";
import { fetchSplatFile } from "./splat_file";
import type { SplatFile } from "./splat_file";
import type { Splats } from "./splats";

/** The zeroth spherical harmonic: colour = 0.5 + C0 * f_dc. */
const C0 = 0.28209479177387814;
const FAINTEST_OPACITY = 0.2;
/** Points this large, that many of them, close the surface of a shape in the unit cube. */
const CUBE_SURFACE = 5;

interface SplatPoints { positions: Float32Array; colours: Float32Array; meanScale: number }

export async function addSplatPoints(url: string, scene: Scene): Promise<Splats> {
  const file = await fetchSplatFile(url);
  const { positions, colours, meanScale } = file.format === "ply" ? parseSplatPly(file.bytes) : await readSpz(file);
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(positions, 3));
  geometry.setAttribute("color", new BufferAttribute(colours, 3));
  const points = new Points(geometry, new PointsMaterial({ size: Math.max(2.2 * meanScale, Math.sqrt(CUBE_SURFACE / Math.max(1, positions.length / 3))), vertexColors: true }));
  points.applyMatrix4(file.objectFromFile);
  scene.add(points);
  return {
    object: points,
    dispose: () => {
      scene.remove(points);
      geometry.dispose();
      points.material.dispose();
    },
  };
}

/** Centres and linear colours of the splats of a binary 3DGS .ply that are not nearly invisible. Raises RangeError on another file. */
export function parseSplatPly(buffer: ArrayBuffer): SplatPoints {
  const head = new TextDecoder("ascii").decode(buffer.slice(0, 4096));
  const end = head.indexOf("end_header\n");
  const count = Number(/element vertex (\d+)/.exec(head)?.[1]);
  const names = [...head.slice(0, end).matchAll(/^property (\w+) (\w+)/gm)];
  if (end < 0 || !count || !head.includes("binary_little_endian") || names.some(([, type]) => type !== "float")) {
    throw new RangeError("This is not a binary 3DGS .ply of floats.");
  }
  const start = end + "end_header\n".length, stride = names.length;
  if (buffer.byteLength < start + count * stride * 4) throw new RangeError("The splat file is cut short.");
  const rows = new Float32Array(buffer.slice(start, start + count * stride * 4));
  const column = (name: string) => names.findIndex(([, , found]) => found === name);
  const [x, red, opacity, scale] = [column("x"), column("f_dc_0"), column("opacity"), column("scale_0")];
  const positions: number[] = [], colours: number[] = [];
  let scales = 0;
  for (let at = 0; at < rows.length; at += stride) {
    if (opacity >= 0 && 1 / (1 + Math.exp(-(rows[at + opacity] as number))) < FAINTEST_OPACITY) continue;
    for (let i = 0; i < 3; i++) {
      positions.push(rows[at + x + i] as number);
      colours.push(linear(0.5 + C0 * (rows[at + red + i] as number)));
    }
    scales += scale >= 0 ? Math.exp(rows[at + scale] as number) : 0;
  }
  return { positions: Float32Array.from(positions), colours: Float32Array.from(colours), meanScale: (scales * 3) / Math.max(1, positions.length) };
}

/** The compressed format is unpacked by the splat renderer's own reader. */
async function readSpz(file: SplatFile): Promise<SplatPoints> {
  const splats = (await (await import("./splats")).readSplats(file)).filter(({ opacity }) => opacity >= FAINTEST_OPACITY);
  return {
    positions: Float32Array.from(splats.flatMap(({ x, y, z }) => [x, y, z])),
    colours: Float32Array.from(splats.flatMap(({ red, green, blue }) => [linear(red), linear(green), linear(blue)])),
    meanScale: splats.reduce((sum, { scale }) => sum + scale, 0) / Math.max(1, splats.length),
  };
}

function linear(srgb: number): number {
  const v = Math.min(1, Math.max(0, srgb));
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}
