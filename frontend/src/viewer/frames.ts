/** The only TypeScript file that knows axes and quaternion order; modelzoo/frames.py passes the same golden cases. */
import { Matrix4, Quaternion, Vector3 } from "three";
import type { Intrinsics, PoseJson, Unit, Vec3, Wxyz } from "../net/contract";

/*
 * Object frame: canonical unit cube [-0.5, 0.5]^3, Z-up, front towards -Y. Camera frame: OpenCV (x right, y down,
 * z forward); our scenes use it as their world. GLB: Y-up. WebGL cameras look along -z with y up.
 * T_a_b maps points of frame b into frame a, column vectors.
 */

export const OBJECT_UP = new Vector3(0, 0, 1);
export const OBJECT_FRONT = new Vector3(0, -1, 0);
/** "Up" in the OpenCV camera frame, for cameras that orbit a scene in it. */
export const CAMERA_UP = new Vector3(0, -1, 0);
/** From the OpenCV camera out into the scene. */
export const CAMERA_FORWARD = new Vector3(0, 0, 1);

/** T_object_glb: (X, Y, Z) -> (X, -Z, Y). */
export const objectFromGlb = (): Matrix4 => new Matrix4().set(1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1);

export const glbFromObject = (): Matrix4 => objectFromGlb().transpose();

/** T_opencv_webgl, its own inverse: an OpenCV camera's axes as a WebGL camera's. */
export const opencvFromWebgl = (): Matrix4 => new Matrix4().makeScale(1, -1, -1);

/** three's quaternion (x, y, z, w) of ours (w, x, y, z), normalised. Raises on a zero one. */
export function quaternionFromWxyz([w, x, y, z]: Wxyz): Quaternion {
  const length = Math.hypot(w, x, y, z);
  if (!(length > 1e-12)) throw new RangeError("A quaternion of length zero is no rotation.");
  return new Quaternion(x / length, y / length, z / length, w / length);
}

/** (w, x, y, z) with w >= 0. */
export function wxyzFromQuaternion(quaternion: Quaternion): Wxyz {
  const q = quaternion.clone().normalize();
  const sign = q.w < 0 ? -1 : 1;
  return [sign * q.w, sign * q.x, sign * q.y, sign * q.z];
}

/** T_camera_object: x_camera = R (scale * x_object) + translation. */
export function matrixFromPose(pose: Pick<PoseJson, "rotation_wxyz" | "translation" | "scale">): Matrix4 {
  const scale = new Vector3(pose.scale, pose.scale, pose.scale);
  return new Matrix4().compose(new Vector3(...pose.translation), quaternionFromWxyz(pose.rotation_wxyz), scale);
}

export function poseFromMatrix(matrix: Matrix4, unit: Unit): PoseJson {
  const position = new Vector3();
  const rotation = new Quaternion();
  const scale = new Vector3();
  matrix.decompose(position, rotation, scale);
  return { rotation_wxyz: wxyzFromQuaternion(rotation), translation: position.toArray() as Vec3, scale: Math.cbrt(scale.x * scale.y * scale.z), unit };
}

/** Degrees between two rotations. */
export function angleBetween(a: Wxyz, b: Wxyz): number {
  return (quaternionFromWxyz(a).angleTo(quaternionFromWxyz(b)) * 180) / Math.PI;
}

/** Pixels of a camera point; (0, 0) is the photo's top left corner, pixel centres at +0.5. NaN behind the camera. */
export function project([x, y, z]: Vec3, k: Intrinsics): [number, number] {
  if (!(z > 0)) return [NaN, NaN];
  return [(k.fx * x) / z + k.cx, (k.fy * y) / z + k.cy];
}

/** The part of a photo that a view shows, in photo pixels. */
export interface PixelWindow { x: number; y: number; width: number; height: number }

/** A WebGL projection that puts exactly ``shown`` of the photo into the viewport. */
export function projectionFromIntrinsics(k: Intrinsics, shown: PixelWindow, near: number, far: number): Matrix4 {
  const { fx, fy } = k;
  const cx = k.cx - shown.x;
  const cy = k.cy - shown.y;
  // prettier-ignore
  return new Matrix4().set(
    (2 * fx) / shown.width, 0, 1 - (2 * cx) / shown.width, 0,
    0, (2 * fy) / shown.height, (2 * cy) / shown.height - 1, 0,
    0, 0, -(far + near) / (far - near), (-2 * far * near) / (far - near),
    0, 0, -1, 0,
  );
}

/** Where the photo's camera stands in the object frame, as a WebGL camera's world matrix; scale is folded in. */
export function photoCameraInObject(pose: PoseJson): Matrix4 {
  return matrixFromPose(pose).invert().multiply(opencvFromWebgl());
}

/** The photo's camera in the scene whose world is the OpenCV camera frame. */
export const photoCameraInScene = (): Matrix4 => opencvFromWebgl();

/** Unit vector, in the object frame, from the object towards the photo's camera. */
export function towardsPhotoCamera(pose: PoseJson): Vector3 {
  const eye = new Vector3().setFromMatrixPosition(matrixFromPose(pose).invert());
  return eye.lengthSq() > 1e-12 ? eye.normalize() : OBJECT_FRONT.clone();
}

/** Upright and with its front towards the photo's camera: where a shape stands when nobody has proposed anything. */
export const uprightFacingCamera = (): Wxyz => [Math.SQRT1_2, Math.SQRT1_2, 0, 0];

/** A direction in the object frame lifted into a pleasant height above the floor; its azimuth stays. */
export function aboveFloor(direction: Vector3, lowest_deg: number, highest_deg: number): Vector3 {
  const level = Math.hypot(direction.x, direction.y);
  const height = Math.atan2(direction.z, level);
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const lifted = Math.min(radians(highest_deg), Math.max(radians(lowest_deg), height));
  const [x, y] = level > 1e-6 ? [direction.x / level, direction.y / level] : [OBJECT_FRONT.x, OBJECT_FRONT.y];
  return new Vector3(x * Math.cos(lifted), y * Math.cos(lifted), Math.sin(lifted));
}
