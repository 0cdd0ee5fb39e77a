/** Moves, turns and scales a pose by keys, numbers and gestures, within bounds. Pure. */
import { Euler, MathUtils, Quaternion, Vector3 } from "three";
import type { PoseJson, Vec3 } from "../net/contract";
import { quaternionFromWxyz, wxyzFromQuaternion } from "../viewer/frames";

export type Mode = "translate" | "rotate" | "scale";
export type NudgeKey = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown" | "PageUp" | "PageDown";
/** ``turnStep_deg`` replaces the step of a turn where it is not fine. */
export interface NudgeStyle { inObjectAxes: boolean; size: "coarse" | "normal" | "fine"; turnStep_deg?: number }
type Point = readonly [x: number, y: number];

/** Turning in steps, by the gizmo and by keys. */
export const TURN_STEP_DEG = 15;

const SMALLEST_FACTOR = 0.05;
const LARGEST_FACTOR = 20;
const MIDDLE_PX = 14;
const FACTOR = { coarse: 5, normal: 1, fine: 0.2 };
/** A plain nudge moves by this part of the object's size, turns by so many degrees, scales by this part. */
const STEP = { translate: 0.02, rotate_deg: 2, scale: 0.02 };

/** A scale kept within [0.05, 20] times the one we started with; not a number means the start. */
export function clampScale(scale: number, start: number): number {
  if (!Number.isFinite(scale)) return start;
  return MathUtils.clamp(scale, start * SMALLEST_FACTOR, start * LARGEST_FACTOR);
}

/** One scale from a drag of so many pixels: a hundred pixels are a factor of about two. */
export function dragScale(before: number, pixels: number, start: number): number {
  return clampScale(before * Math.exp(pixels * 0.007), start);
}

/** Pixels by which a drag leads away from the middle of what is dragged; from the middle itself, right and up are away. */
export function outwardPixels(middle: Point, pressed: Point, pointer: Point): number {
  const [x, y] = [pressed[0] - middle[0], pressed[1] - middle[1]], distance = Math.hypot(x, y);
  const [dx, dy] = distance > MIDDLE_PX ? [x / distance, y / distance] : [Math.SQRT1_2, -Math.SQRT1_2];
  return (pointer[0] - pressed[0]) * dx + (pointer[1] - pressed[1]) * dy;
}

const AXIS: Record<NudgeKey, Vec3> = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1],
};
/** In object axes the keys mean left and right (x), up and down (z), and back and forth (y). */
const OBJECT_AXIS: Record<NudgeKey, Vec3> = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 0, 1], ArrowDown: [0, 0, -1], PageUp: [0, 1, 0], PageDown: [0, -1, 0],
};

export function nudge(pose: PoseJson, mode: Mode, key: NudgeKey, style: NudgeStyle, startScale: number): PoseJson {
  const factor = FACTOR[style.size];
  const rotation = quaternionFromWxyz(pose.rotation_wxyz);
  const axis = style.inObjectAxes ? new Vector3(...OBJECT_AXIS[key]).applyQuaternion(rotation) : new Vector3(...AXIS[key]);
  if (mode === "scale") {
    const grows = key === "ArrowUp" || key === "ArrowRight" || key === "PageUp";
    return { ...pose, scale: clampScale(pose.scale * (1 + STEP.scale * factor) ** (grows ? 1 : -1), startScale) };
  }
  if (mode === "translate") {
    const moved = new Vector3(...pose.translation).addScaledVector(axis, STEP.translate * factor * pose.scale);
    return { ...pose, translation: moved.toArray() as Vec3 };
  }
  const turn = new Quaternion().setFromAxisAngle(turnAxis(axis, key, style), MathUtils.degToRad(turnOf(style)));
  return { ...pose, rotation_wxyz: wxyzFromQuaternion(turn.multiply(rotation)) };
}

const turnOf = ({ size, turnStep_deg }: NudgeStyle): number => (turnStep_deg && size !== "fine" ? turnStep_deg : STEP.rotate_deg * FACTOR[size]);

/** Turning follows the finger: the right arrow swings the front to the right, which is a turn about the upright axis. */
function turnAxis(direction: Vector3, key: NudgeKey, style: NudgeStyle): Vector3 {
  if (style.inObjectAxes || key.startsWith("Page")) return direction.clone().normalize();
  const [x, y] = AXIS[key];
  return new Vector3(y, -x, 0).normalize();
}

/** Rotation as three angles in degrees, for the number fields. */
export function degreesOf(pose: PoseJson): Vec3 {
  const euler = new Euler().setFromQuaternion(quaternionFromWxyz(pose.rotation_wxyz), "XYZ");
  return [euler.x, euler.y, euler.z].map(MathUtils.radToDeg) as Vec3;
}

export function withDegrees(pose: PoseJson, [x, y, z]: Vec3): PoseJson {
  const euler = new Euler(MathUtils.degToRad(x), MathUtils.degToRad(y), MathUtils.degToRad(z), "XYZ");
  return { ...pose, rotation_wxyz: wxyzFromQuaternion(new Quaternion().setFromEuler(euler)) };
}
