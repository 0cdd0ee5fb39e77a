/** Finds the turns about a shape's upright axis that leave it nearly as it is, and measures turns regardless of them. Pure. */
import { MathUtils, Quaternion, Vector3 } from "three";
import type { PoseJson, Vec3, Wxyz } from "../net/contract";
import { angleBetween, OBJECT_UP, quaternionFromWxyz, wxyzFromQuaternion } from "../viewer/frames";

/** Equal headings: 1 when the heading matters, ANY when it looks the same from every side. */
export type Symmetry = 0 | 1 | 2 | 3 | 4 | 5 | 6;
export const ANY: Symmetry = 0;
export const SYMMETRIES: readonly Symmetry[] = [1, 2, 3, 4, 5, 6, ANY];

/** What the finding needs of a shape: points of its surface in the object frame, and where its upright axis passes. */
export interface SurfaceSample { dense: Float32Array; few: Float32Array; centre: Vec3 }

const DENSE = 24_000, FEW = 1_200;
/** Of the shape's width: so far may its points miss it on the whole, and all but a fiftieth of them. */
const MEAN_PART = 0.012, MOST_PART = 0.05, QUANTILE = 0.98;
/** Turns that no small symmetry has in common: only a body of revolution bears them all. */
const ODD_TURNS_DEG = [17, 41, 67, 103, 149];
const CELLS = 40;

/** Points spread evenly over triangles (nine numbers each), the same ones each time. */
export function sampleSurface(triangles: Float32Array): SurfaceSample {
  const random = generator(7);
  const areas = new Float64Array(triangles.length / 9);
  let total = 0;
  for (let i = 0; i < areas.length; i++) areas[i] = total += areaOf(triangles, i * 9);
  const draw = (count: number) => {
    const points = new Float32Array(count * 3);
    for (let i = 0; i < count; i++) pointIn(triangles, 9 * firstAbove(areas, random() * total), random(), random(), points, 3 * i);
    return points;
  };
  const dense = draw(total > 0 ? DENSE : 0), few = draw(total > 0 ? FEW : 0);
  const centre: Vec3 = [0, 0, 0];
  for (let i = 0; i < dense.length; i++) (centre[i % 3] as number) += (dense[i] as number) / (dense.length / 3);
  return { dense, few, centre };
}

/** The most equal headings that the shape has; ``pause`` is awaited between the turns tried. */
export async function headingSymmetry(sample: SurfaceSample, pause: () => Promise<unknown>): Promise<Symmetry> {
  if (!sample.few.length) return 1;
  const grid = new NearestGrid(sample.dense), width = widthOf(sample), still = missOf(sample, grid, 0);
  const looksSame = async (degrees: number) => {
    await pause();
    const miss = missOf(sample, grid, degrees);
    return miss.mean < still.mean + MEAN_PART * width && miss.most < still.most + MOST_PART * width;
  };
  const all = async (turns: readonly number[]) => {
    for (const turn of turns) if (!(await looksSame(turn))) return false;
    return true;
  };
  if (await all(ODD_TURNS_DEG)) return ANY;
  for (const fold of [6, 5, 4, 3, 2] as const) if (await all([360 / fold])) return fold;
  return 1;
}

/** The pose turned about the shape's upright axis through ``centre``. */
export function turnedHeading(pose: PoseJson, degrees: number, centre: Vec3): PoseJson {
  const turn = new Quaternion().setFromAxisAngle(OBJECT_UP, MathUtils.degToRad(degrees)), rotation = quaternionFromWxyz(pose.rotation_wxyz);
  const middle = new Vector3(...centre), moved = middle.clone().sub(middle.clone().applyQuaternion(turn));
  const translation = new Vector3(...pose.translation).addScaledVector(moved.applyQuaternion(rotation), pose.scale);
  return { ...pose, rotation_wxyz: wxyzFromQuaternion(rotation.clone().multiply(turn)), translation: translation.toArray() as Vec3 };
}

/** Degrees between two rotations where headings that look the same are the same. */
export function angleUpTo(symmetry: Symmetry, a: Wxyz, b: Wxyz): number {
  const upright = (wxyz: Wxyz) => OBJECT_UP.clone().applyQuaternion(quaternionFromWxyz(wxyz));
  if (symmetry === ANY) return MathUtils.radToDeg(upright(a).angleTo(upright(b)));
  const turns = Array.from({ length: symmetry }, (_, i) => new Quaternion().setFromAxisAngle(OBJECT_UP, (2 * Math.PI * i) / symmetry));
  return Math.min(...turns.map((turn) => angleBetween(a, wxyzFromQuaternion(quaternionFromWxyz(b).multiply(turn)))));
}

function missOf({ few, centre }: SurfaceSample, grid: NearestGrid, degrees: number): { mean: number; most: number } {
  const c = Math.cos(MathUtils.degToRad(degrees)), s = Math.sin(MathUtils.degToRad(degrees));
  const misses = new Float64Array(few.length / 3);
  for (let i = 0; i < misses.length; i++) {
    const x = (few[3 * i] as number) - centre[0], y = (few[3 * i + 1] as number) - centre[1];
    misses[i] = grid.distance(centre[0] + c * x - s * y, centre[1] + s * x + c * y, few[3 * i + 2] as number);
  }
  misses.sort();
  return { mean: misses.reduce((sum, miss) => sum + miss, 0) / misses.length, most: misses[Math.floor(QUANTILE * (misses.length - 1))] as number };
}

function widthOf({ dense, centre }: SurfaceSample): number {
  let radius = 0;
  for (let i = 0; i < dense.length; i += 3) radius = Math.max(radius, Math.hypot((dense[i] as number) - centre[0], (dense[i + 1] as number) - centre[1]));
  return 2 * radius;
}

/** Distances to the nearest of some points, by a grid of cells; beyond a few cells it only says "far". */
class NearestGrid {
  private readonly cells = new Map<number, number[]>();
  private readonly low: number;
  private readonly size: number;

  constructor(private readonly points: Float32Array) {
    const low = points.reduce((least, v) => Math.min(least, v), Infinity), high = points.reduce((most, v) => Math.max(most, v), -Infinity);
    this.low = low;
    this.size = Math.max(1e-9, (high - low) / CELLS);
    for (let i = 0; i < points.length; i += 3) {
      const key = this.key(this.cell(points[i] as number), this.cell(points[i + 1] as number), this.cell(points[i + 2] as number));
      const held = this.cells.get(key);
      if (held) held.push(i);
      else this.cells.set(key, [i]);
    }
  }

  distance(x: number, y: number, z: number): number {
    const [cx, cy, cz] = [this.cell(x), this.cell(y), this.cell(z)];
    for (let reach = 1; reach <= 3; reach++) {
      const found = this.nearestWithin(x, y, z, cx, cy, cz, reach);
      if (found <= reach * this.size) return found;
    }
    return 4 * this.size;
  }

  private nearestWithin(x: number, y: number, z: number, cx: number, cy: number, cz: number, reach: number): number {
    const { points } = this;
    let best = Infinity;
    for (let i = cx - reach; i <= cx + reach; i++) for (let j = cy - reach; j <= cy + reach; j++) for (let k = cz - reach; k <= cz + reach; k++) {
      for (const at of this.cells.get(this.key(i, j, k)) ?? []) best = Math.min(best, Math.hypot((points[at] as number) - x, (points[at + 1] as number) - y, (points[at + 2] as number) - z));
    }
    return best;
  }

  private cell = (v: number): number => Math.floor((v - this.low) / this.size);

  private key = (i: number, j: number, k: number): number => ((i + 512) * 1024 + (j + 512)) * 1024 + (k + 512);
}

function areaOf(t: Float32Array, at: number): number {
  const edge = (to: number) => new Vector3((t[at + to] as number) - (t[at] as number), (t[at + to + 1] as number) - (t[at + 1] as number), (t[at + to + 2] as number) - (t[at + 2] as number));
  return edge(3).cross(edge(6)).length() / 2;
}

function pointIn(t: Float32Array, at: number, u: number, v: number, out: Float32Array, to: number): void {
  const root = Math.sqrt(u), a = 1 - root, b = root * (1 - v), c = root * v;
  for (let k = 0; k < 3; k++) out[to + k] = a * (t[at + k] as number) + b * (t[at + 3 + k] as number) + c * (t[at + 6 + k] as number);
}

function firstAbove(sums: Float64Array, value: number): number {
  let low = 0, high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sums[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Even numbers in [0, 1), the same ones for a seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
