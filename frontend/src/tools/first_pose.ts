/** A first pose for a shape that nobody has proposed one for: upright, in the middle of its mask. Pure. */
import type { Intrinsics, PoseJson, TargetRef, Unit } from "../net/contract";
import { uprightFacingCamera } from "../viewer/frames";
import type { Mask } from "./mask";

/** Without points the depth is free; this one keeps numbers pleasant. */
const FREE_DEPTH = 2;

export function firstPose(k: Intrinsics, bbox: TargetRef["bbox"], mask: Mask, positions: Float32Array | null, unit: Unit): PoseJson {
  const depth = (positions && maskedDepth(k, mask, positions)) ?? FREE_DEPTH;
  const u = bbox[0] + bbox[2] / 2, v = bbox[1] + bbox[3] / 2;
  return {
    rotation_wxyz: uprightFacingCamera(),
    translation: [((u - k.cx) / k.fx) * depth, ((v - k.cy) / k.fy) * depth, depth],
    scale: (Math.max(bbox[2] / k.fx, bbox[3] / k.fy) * depth),
    unit,
  };
}

/** The median depth of the points that fall into the mask. */
function maskedDepth(k: Intrinsics, mask: Mask, positions: Float32Array): number | null {
  const depths: number[] = [];
  for (let i = 0; i < positions.length; i += 3) {
    const z = positions[i + 2] as number;
    if (!(z > 0)) continue;
    const u = (k.fx * (positions[i] as number)) / z + k.cx, v = (k.fy * (positions[i + 1] as number)) / z + k.cy;
    if (mask.has(Math.floor((u * mask.width) / k.width), Math.floor((v * mask.height) / k.height))) depths.push(z);
  }
  depths.sort((a, b) => a - b);
  return depths[depths.length >> 1] ?? null;
}

/** A camera of ordinary field of view, for photos of which nobody knows the camera. */
export function assumedIntrinsics(width: number, height: number): Intrinsics {
  const f = 1.2 * Math.max(width, height);
  return { fx: f, fy: f, cx: width / 2, cy: height / 2, width, height };
}
