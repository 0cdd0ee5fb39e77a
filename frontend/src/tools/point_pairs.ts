/** The similarity that carries points of a shape onto points of the scene, by Umeyama's method. Pure. */
import { Quaternion, Vector3 } from "three";
import type { PoseJson, Unit, Vec3 } from "../net/contract";
import { wxyzFromQuaternion } from "../viewer/frames";

/** ``onShape`` in the object frame, ``inScene`` in the camera frame. */
export interface PointPair { onShape: Vec3; inScene: Vec3 }

/** ``rms``: how far the carried points stay from their partners, in the scene's unit. */
export interface PairFit { pose: PoseJson; rms: number }

/** Why pairs tell no pose: too near to one another, all on a line, or a pose behind the camera. */
export type Degenerate = "too_few" | "coincident" | "collinear" | "behind";

export const PAIRS_NEEDED = 3;
/** Of the largest distance between two of the points. */
const NEAREST_PART = 0.03, FLATTEST_PART = 0.06;

export function fitPairs(pairs: readonly PointPair[], unit: Unit): PairFit | Degenerate {
  if (pairs.length < PAIRS_NEEDED) return "too_few";
  const onShape = pairs.map((pair) => new Vector3(...pair.onShape)), inScene = pairs.map((pair) => new Vector3(...pair.inScene));
  const fault = faultOf(onShape) ?? faultOf(inScene);
  if (fault) return fault;
  const from = centred(onShape), to = centred(inScene);
  const rotation = bestRotation(from.points, to.points);
  const turned = from.points.map((point) => point.clone().applyQuaternion(rotation));
  const scale = sum(turned.map((point, i) => point.dot(to.points[i] as Vector3))) / sum(from.points.map((point) => point.lengthSq()));
  if (!(scale > 0)) return "collinear";
  const translation = to.mean.clone().addScaledVector(from.mean.clone().applyQuaternion(rotation), -scale);
  if (!(translation.z > 0)) return "behind";
  const misses = turned.map((point, i) => point.multiplyScalar(scale).distanceToSquared(to.points[i] as Vector3));
  return {
    pose: { rotation_wxyz: wxyzFromQuaternion(rotation), translation: translation.toArray() as Vec3, scale, unit },
    rms: Math.sqrt(sum(misses) / misses.length),
  };
}

function faultOf(points: readonly Vector3[]): Degenerate | null {
  let nearest = Infinity, longest = 0, a = points[0] as Vector3, b = a;
  points.forEach((p, i) => points.slice(i + 1).forEach((q) => {
    const distance = p.distanceTo(q);
    nearest = Math.min(nearest, distance);
    if (distance > longest) [longest, a, b] = [distance, p, q];
  }));
  if (!(longest > 0) || nearest < NEAREST_PART * longest) return "coincident";
  const along = b.clone().sub(a).normalize();
  const height = Math.max(...points.map((point) => point.clone().sub(a).cross(along).length()));
  return height < FLATTEST_PART * longest ? "collinear" : null;
}

function centred(points: readonly Vector3[]): { mean: Vector3; points: Vector3[] } {
  const mean = points.reduce((total, point) => total.add(point), new Vector3()).divideScalar(points.length);
  return { mean, points: points.map((point) => point.clone().sub(mean)) };
}

/** Horn's closed form: the quaternion is the eigenvector of the largest eigenvalue, so that it is never a reflection. */
function bestRotation(from: readonly Vector3[], to: readonly Vector3[]): Quaternion {
  const s = (i: 0 | 1 | 2, j: 0 | 1 | 2) => sum(from.map((point, k) => point.getComponent(i) * (to[k] as Vector3).getComponent(j)));
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = [s(0, 0), s(0, 1), s(0, 2), s(1, 0), s(1, 1), s(1, 2), s(2, 0), s(2, 1), s(2, 2)];
  const [w, x, y, z] = largestEigenvector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ]);
  return new Quaternion(x, y, z, w).normalize();
}

/** Of a symmetric 4 x 4 matrix, by Jacobi's rotations. */
function largestEigenvector(matrix: number[][]): [number, number, number, number] {
  const a = matrix.map((row) => [...row]);
  const v = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  const at = (m: number[][], i: number, j: number) => (m[i] as number[])[j] as number;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < 3; p++) {
      for (let q = p + 1; q < 4; q++) {
        if (Math.abs(at(a, p, q)) < 1e-300) continue;
        const angle = 0.5 * Math.atan2(2 * at(a, p, q), at(a, q, q) - at(a, p, p));
        const c = Math.cos(angle), sn = Math.sin(angle);
        for (const m of [a, v]) for (const row of m) [row[p], row[q]] = [c * (row[p] as number) - sn * (row[q] as number), sn * (row[p] as number) + c * (row[q] as number)];
        const [rp, rq] = [a[p] as number[], a[q] as number[]];
        for (let k = 0; k < 4; k++) [rp[k], rq[k]] = [c * (rp[k] as number) - sn * (rq[k] as number), sn * (rp[k] as number) + c * (rq[k] as number)];
      }
    }
  }
  const best = [0, 1, 2, 3].reduce((most, i) => (at(a, i, i) > at(a, most, most) ? i : most), 0);
  return [0, 1, 2, 3].map((row) => at(v, row, best)) as [number, number, number, number];
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
