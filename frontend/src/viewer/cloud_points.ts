/** A scene's points on the screen: round, as large as the gaps between them, fewer while the view moves, occluders dimmed. */
import { BufferAttribute, BufferGeometry, Color, MathUtils, Points, ShaderMaterial } from "three";
import type { PerspectiveCamera } from "three";
import type { Intrinsics, Vec3 } from "../net/contract";
import type { Mask } from "../tools/mask";
import { token } from "../ui/theme";
import type { PointCloud } from "./point_cloud_file";

/** How many points are drawn of so many: all when still, as many as turn smoothly while moving. */
export function pointsShown(total: number, isMoving: boolean, isSoftware: boolean): number {
  return Math.min(total, isMoving ? (isSoftware ? 60_000 : 300_000) : isSoftware ? 400_000 : 1_000_000);
}

/** What a point is to the target: on it; in front of it or close around it; or elsewhere. */
const ON = 255, NEAR = 0, ELSEWHERE = 128;
const LARGEST_PX = 26;
/** A little more than the gap, so that slanted surfaces close too. */
const OVERLAP = 1.5;
const PICK_PX = 6, PICK_REACH_PX = 18;

export class CloudPoints {
  readonly object: Points<BufferGeometry, ShaderMaterial>;
  readonly total: number;
  private readonly positions: Float32Array;
  private readonly gap: number;
  private isMoving = false;

  constructor(cloud: PointCloud, mask: Mask, intrinsics: Intrinsics, private readonly isSoftware: boolean) {
    this.total = cloud.positions.length / 3;
    const { positions, colours } = shuffled(cloud);
    this.positions = positions;
    this.gap = gapOf(positions);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(positions, 3));
    geometry.setAttribute("color", new BufferAttribute(linearColours(colours), 3, true));
    geometry.setAttribute("role", new BufferAttribute(rolesOf(positions, mask, intrinsics), 1, true));
    this.object = new Points(geometry, pointMaterial());
    this.object.frustumCulled = false;
    this.setMoving(false);
    this.refreshColours();
  }

  get shown(): number {
    return this.object.geometry.drawRange.count;
  }

  setMoving(isMoving: boolean): void {
    this.isMoving = isMoving;
    this.object.geometry.setDrawRange(0, pointsShown(this.total, this.isMoving, this.isSoftware));
  }

  set isDimmed(isDimmed: boolean) {
    this.uniform("dim").value = isDimmed ? 1 : 0;
  }

  /** Only the points themselves are wanted now: the shape is what is to be clicked, or they are. */
  set isFaint(isFaint: boolean) {
    this.uniform("faint").value = isFaint ? 1 : 0;
  }

  /** Before each frame: points are as large on the screen as they are apart in the scene. */
  fit(camera: PerspectiveCamera, height: number, pixelRatio: number): void {
    const perUnit = (height * pixelRatio) / (2 * Math.tan(MathUtils.degToRad(camera.fov) / 2));
    // Fewer points stand farther apart.
    this.uniform("size").value = this.gap * OVERLAP * perUnit * Math.sqrt(this.total / Math.max(1, this.shown));
    this.uniform("largest").value = LARGEST_PX * pixelRatio;
    this.uniform("smallest").value = 1.6 * pixelRatio;
  }

  /** The point that is seen at ``at``, where ``toScreen`` puts points as x, y and depth; null when none is near. */
  pick(toScreen: (x: number, y: number, z: number) => readonly [x: number, y: number, depth: number], at: readonly [number, number]): Vec3 | null {
    let front = Infinity, inFront = -1, closest = PICK_REACH_PX, closestAt = -1;
    for (let i = 0; i < this.positions.length; i += 3) {
      const [x, y, depth] = toScreen(this.positions[i] as number, this.positions[i + 1] as number, this.positions[i + 2] as number);
      if (!(depth > 0)) continue;
      const distance = Math.hypot(x - at[0], y - at[1]);
      if (distance < PICK_PX && depth < front) [front, inFront] = [depth, i];
      if (distance < closest) [closest, closestAt] = [distance, i];
    }
    const found = inFront >= 0 ? inFront : closestAt;
    return found < 0 ? null : [...this.positions.subarray(found, found + 3)] as Vec3;
  }

  refreshColours(): void {
    (this.uniform("ground").value as Color).set(token("--scene-bottom"));
  }

  dispose(): void {
    this.object.removeFromParent();
    this.object.geometry.dispose();
    this.object.material.dispose();
  }

  private uniform(name: string): { value: unknown } {
    return this.object.material.uniforms[name] as { value: unknown };
  }
}

/** In an order in which the first so many are an even choice of all; the same order each time. */
function shuffled({ positions, colours }: PointCloud): { positions: Float32Array; colours: Uint8Array } {
  const count = positions.length / 3;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = 1;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1)), held = order[i] as number;
    order[i] = order[j] as number;
    order[j] = held;
  }
  const xyz = new Float32Array(positions.length), rgb = new Uint8Array(colours.length);
  for (let i = 0; i < count; i++) {
    const from = 3 * (order[i] as number);
    for (let k = 0; k < 3; k++) {
      xyz[3 * i + k] = positions[from + k] as number;
      rgb[3 * i + k] = colours[from + k] as number;
    }
  }
  return { positions: xyz, colours: rgb };
}

/** Between neighbours, as a part of their depth: the photo's directions are covered evenly. */
function gapOf(positions: Float32Array): number {
  let left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
  for (let i = 0; i < positions.length; i += 3) {
    const z = positions[i + 2] as number, x = (positions[i] as number) / z, y = (positions[i + 1] as number) / z;
    left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  const area = Math.max(1e-9, (right - left) * (bottom - top));
  return Math.sqrt(area / Math.max(1, positions.length / 3));
}

function rolesOf(positions: Float32Array, mask: Mask, k: Intrinsics): Uint8Array {
  const roles = new Uint8Array(positions.length / 3).fill(ELSEWHERE);
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < roles.length; i++) {
    const [x, y, z] = positions.subarray(3 * i, 3 * i + 3) as unknown as Vec3;
    const u = Math.floor((((k.fx * x) / z + k.cx) * mask.width) / k.width), v = Math.floor((((k.fy * y) / z + k.cy) * mask.height) / k.height);
    if (!(z > 0) || !mask.has(u, v)) continue;
    roles[i] = ON;
    [x, y, z].forEach((value, axis) => { low[axis] = Math.min(low[axis] as number, value); high[axis] = Math.max(high[axis] as number, value); });
  }
  const margin = high.map((value, axis) => (value - (low[axis] as number)) / 2);
  for (let i = 0; i < roles.length; i++) {
    if (roles[i] === ON) continue;
    const point = positions.subarray(3 * i, 3 * i + 3);
    const isAround = point.every((value, axis) => value > (low[axis] as number) - (margin[axis] as number) && value < (high[axis] as number) + (margin[axis] as number));
    if (isAround || (point[2] as number) < (low[2] as number)) roles[i] = NEAR;
  }
  return roles;
}

function pointMaterial(): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { size: { value: 1 }, smallest: { value: 1.6 }, largest: { value: LARGEST_PX }, dim: { value: 0 }, faint: { value: 0 }, ground: { value: new Color() } },
    vertexShader: `
      uniform float size, smallest, largest, dim, faint; uniform vec3 ground; attribute vec3 color; attribute float role; varying vec3 shown;
      void main() {
        vec4 view = modelViewMatrix * vec4(position, 1.0);
        gl_Position = projectionMatrix * view;
        // The world is the photo's camera frame, so z is the depth at which the photo saw the point.
        gl_PointSize = clamp(size * position.z / max(-view.z, 1e-6), smallest, largest);
        float away = dim * (role < 0.25 ? 1.0 : role < 0.75 ? 0.6 : 0.0);
        shown = mix(color, ground, max(away * 0.75, faint * 0.6));
        // What hides or crowds the target thins out, and does not only grow pale.
        float part = fract(float(gl_VertexID) * 0.61803398875);
        if (part < away * 0.8 || (faint > 0.5 && part < 0.6)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
        gl_PointSize *= 1.0 - 0.4 * away;
      }`,
    fragmentShader: `
      varying vec3 shown;
      void main() {
        vec2 from = gl_PointCoord - 0.5;
        if (dot(from, from) > 0.25) discard;
        gl_FragColor = vec4(shown, 1.0);
        #include <colorspace_fragment>
      }`,
  });
}

/** Photo bytes (sRGB) as linear values, sixteen bits each so that dark ones are not banded. */
function linearColours(bytes: Uint8Array): Uint16Array {
  const table = Uint16Array.from({ length: 256 }, (_, i) => {
    const v = i / 255;
    return Math.round(65535 * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  });
  return Uint16Array.from(bytes, (byte) => table[byte] as number);
}
