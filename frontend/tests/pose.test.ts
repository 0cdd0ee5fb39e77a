/** Stage 3's arithmetic: scale by dragging, turns in steps, point pairs, symmetry, fit hints, points on the screen. */
import { Quaternion, Vector3 } from "three";
import { describe, expect, it } from "vitest";
import type { PoseJson, Vec3 } from "../src/net/contract";
import { worseThanProposal } from "../src/tools/fit_hint";
import { ANY, angleUpTo, headingSymmetry, sampleSurface, turnedHeading } from "../src/tools/heading_symmetry";
import { fitPairs } from "../src/tools/point_pairs";
import { dragScale, nudge, outwardPixels, TURN_STEP_DEG } from "../src/tools/pose_edit";
import { pointsShown } from "../src/viewer/cloud_points";
import { angleBetween, matrixFromPose, wxyzFromQuaternion } from "../src/viewer/frames";
import { parsePointCloud } from "../src/viewer/point_cloud_file";

const pose: PoseJson = { rotation_wxyz: wxyzFromQuaternion(new Quaternion(0.3, -0.2, 0.5, 0.8).normalize()), translation: [0.2, -0.1, 1.8], scale: 0.4, unit: "m" };
const placed = (at: Vec3, by: PoseJson = pose): Vec3 => new Vector3(...at).applyMatrix4(matrixFromPose(by)).toArray() as Vec3;

describe("scaling by the gizmo", () => {
  const middle = [100, 100] as const;

  it("grows outwards and shrinks inwards, whatever handle was taken", () => {
    expect(outwardPixels(middle, [180, 100], [230, 100])).toBeCloseTo(50);
    expect(outwardPixels(middle, [100, 20], [100, -30])).toBeCloseTo(50);
    expect(outwardPixels(middle, [20, 100], [70, 100])).toBeCloseTo(-50);
  });

  it("never passes zero, turns over or runs away, however far a handle is dragged through the middle", () => {
    let last = Infinity;
    for (let x = 180; x > -4000; x -= 20) {
      const scale = dragScale(0.38, outwardPixels(middle, [180, 100], [x, 100]), 0.38);
      expect(scale).toBeGreaterThanOrEqual(0.38 * 0.05);
      expect(scale).toBeLessThanOrEqual(last);
      last = scale;
    }
    expect(dragScale(0.38, outwardPixels(middle, middle, [9000, -9000]), 0.38)).toBeCloseTo(7.6);
    expect(dragScale(0.38, outwardPixels(middle, middle, middle), 0.38)).toBe(0.38);
  });
});

describe("turns in steps", () => {
  it("are of fifteen degrees by plain and coarse keys, and small by fine ones", () => {
    const by = (size: "coarse" | "normal" | "fine") => angleBetween(pose.rotation_wxyz, nudge(pose, "rotate", "ArrowLeft", { inObjectAxes: false, size, turnStep_deg: TURN_STEP_DEG }, 0.4).rotation_wxyz);
    expect(by("normal")).toBeCloseTo(15);
    expect(by("coarse")).toBeCloseTo(15);
    expect(by("fine")).toBeCloseTo(0.4);
  });
});

describe("point pairs", () => {
  const corners: Vec3[] = [[0.4, -0.3, 0.2], [-0.35, 0.1, 0.45], [0.1, 0.4, -0.4], [-0.2, -0.4, -0.1]];
  const pairs = (shape: readonly Vec3[], by = pose) => shape.map((onShape) => ({ onShape, inScene: placed(onShape, by) }));

  it("give back the pose that carried them", () => {
    for (const count of [3, 4]) {
      const fit = fitPairs(pairs(corners.slice(0, count)), "m");
      if (typeof fit === "string") throw new Error(fit);
      expect(fit.rms).toBeLessThan(1e-9);
      expect(fit.pose.scale).toBeCloseTo(pose.scale, 9);
      expect(angleBetween(fit.pose.rotation_wxyz, pose.rotation_wxyz)).toBeLessThan(1e-4);
      fit.pose.translation.forEach((v, i) => expect(v).toBeCloseTo(pose.translation[i] as number, 9));
    }
  });

  it("are a rotation and no reflection even where a mirror image would fit better", () => {
    const mirrored = corners.map((onShape) => ({ onShape, inScene: placed([-onShape[0], onShape[1], onShape[2]]) }));
    const fit = fitPairs(mirrored, "m");
    if (typeof fit === "string") throw new Error(fit);
    expect(fit.pose.scale).toBeGreaterThan(0);
    expect(fit.rms).toBeGreaterThan(0.01);
    expect(matrixFromPose(fit.pose).determinant()).toBeGreaterThan(0);
  });

  it("leave the least sum of squares: any small change of the pose misses by more", () => {
    const noisy = pairs(corners).map(({ onShape, inScene }, i) => ({ onShape, inScene: inScene.map((v, k) => v + 0.02 * Math.sin(7 * i + 3 * k)) as Vec3 }));
    const fit = fitPairs(noisy, "m");
    if (typeof fit === "string") throw new Error(fit);
    const miss = (by: PoseJson) => Math.sqrt(noisy.reduce((sum, pair) => sum + new Vector3(...placed(pair.onShape, by)).distanceToSquared(new Vector3(...pair.inScene)), 0) / noisy.length);
    expect(miss(fit.pose)).toBeCloseTo(fit.rms, 9);
    const changed = [{ ...fit.pose, scale: fit.pose.scale * 1.01 }, { ...fit.pose, scale: fit.pose.scale * 0.99 }, ...["ArrowLeft", "ArrowUp", "PageUp"].flatMap((key) =>
      (["translate", "rotate"] as const).map((mode) => nudge(fit.pose, mode, key as "ArrowUp", { inObjectAxes: false, size: "fine" }, 0.4)))];
    for (const other of changed) expect(miss(other)).toBeGreaterThan(fit.rms);
  });

  it("are refused where they leave the pose open", () => {
    const line: Vec3[] = [[-0.4, 0, 0], [0, 0.005, 0], [0.4, 0, 0]];
    expect(fitPairs(pairs(line), "m")).toBe("collinear");
    expect(fitPairs(pairs([corners[0] as Vec3, corners[0] as Vec3, corners[1] as Vec3]), "m")).toBe("coincident");
    expect(fitPairs(pairs(corners.slice(0, 2)), "m")).toBe("too_few");
    expect(fitPairs(pairs(corners, { ...pose, translation: [0, 0, -1] }), "m")).toBe("behind");
    expect(fitPairs(corners.slice(0, 3).map((onShape) => ({ onShape, inScene: [0, 0, 1] as Vec3 })), "m")).toBe("coincident");
  });
});

/** The walls of an upright prism over a polygon, and a lid. */
function prism(outline: readonly [number, number][]): Float32Array {
  const corners: number[] = [];
  outline.forEach(([x, y], i) => {
    const [u, v] = outline[(i + 1) % outline.length] as [number, number];
    corners.push(x, y, -0.3, u, v, -0.3, u, v, 0.3, x, y, -0.3, u, v, 0.3, x, y, 0.3, 0, 0, 0.3, x, y, 0.3, u, v, 0.3);
  });
  return Float32Array.from(corners);
}
const regular = (sides: number, radius = 0.4): [number, number][] => Array.from({ length: sides }, (_, i) => [radius * Math.cos((2 * Math.PI * i) / sides), radius * Math.sin((2 * Math.PI * i) / sides)]);
const symmetryOf = (triangles: Float32Array) => headingSymmetry(sampleSurface(triangles), () => Promise.resolve());

describe("equal headings", () => {
  it("are counted for bodies of two, three, four, five and six sides, and endless for round ones", async () => {
    expect(await symmetryOf(prism([[0.45, 0.2], [-0.45, 0.2], [-0.45, -0.2], [0.45, -0.2]]))).toBe(2);
    for (const sides of [3, 4, 5, 6] as const) expect(await symmetryOf(prism(regular(sides)))).toBe(sides);
    expect(await symmetryOf(prism(regular(72)))).toBe(ANY);
  });

  it("are one for a mug, whose handle tells its headings apart, and for a shape without triangles", async () => {
    const handle = prism([[0.4, 0.05], [0.62, 0.05], [0.62, -0.05], [0.4, -0.05]]);
    expect(await symmetryOf(Float32Array.from([...prism(regular(48)), ...handle]))).toBe(1);
    expect(await symmetryOf(new Float32Array())).toBe(1);
  });

  it("turn the shape in place: the points on its axis stay where they are", () => {
    const turned = turnedHeading(pose, 90, [0.1, 0.05, 0]);
    placed([0.1, 0.05, 0.4], turned).forEach((v, i) => expect(v).toBeCloseTo(placed([0.1, 0.05, 0.4])[i] as number, 9));
    expect(angleBetween(turned.rotation_wxyz, pose.rotation_wxyz)).toBeCloseTo(90);
    expect(turnedHeading(turned, 270, [0.1, 0.05, 0]).translation[0]).toBeCloseTo(pose.translation[0], 9);
  });

  it("do not count as turned, and what goes beyond them does", () => {
    const quarter = turnedHeading(pose, 95, [0, 0, 0]).rotation_wxyz;
    expect(angleUpTo(1, pose.rotation_wxyz, quarter)).toBeCloseTo(95);
    expect(angleUpTo(4, pose.rotation_wxyz, quarter)).toBeCloseTo(5);
    expect(angleUpTo(ANY, pose.rotation_wxyz, quarter)).toBeCloseTo(0, 4);
    const tipped = nudge(pose, "rotate", "ArrowUp", { inObjectAxes: true, size: "coarse" }, 0.4);
    expect(angleUpTo(ANY, pose.rotation_wxyz, tipped.rotation_wxyz)).toBeLessThanOrEqual(10.0001);
  });
});

describe("hints about the fit", () => {
  const cm = (v: number) => `${v * 100} cm`;

  it("say what got worse than the proposal, and nothing of what did not", () => {
    expect(worseThanProposal({ iou: 0.61, residual: 0.01 }, { iou: 0.82, residual: 0.01 }, cm)).toBe("Worse than the proposal: the mask overlap fell from 0.82 to 0.61.");
    expect(worseThanProposal({ iou: 0.5, residual: 0.03 }, { iou: 0.8, residual: 0.01 }, cm)).toContain("the distance to the points grew from 1 cm to 3 cm");
    expect(worseThanProposal({ iou: 0.81, residual: 0.0105 }, { iou: 0.82, residual: 0.01 }, cm)).toBeNull();
    expect(worseThanProposal({ iou: 0.9, residual: null }, { iou: 0.2, residual: 0.01 }, cm)).toBeNull();
  });
});

describe("a scene of a million points", () => {
  it("is read whole, drawn whole on a graphics card when still, and in part while it moves", () => {
    const count = 1_000_000, buffer = new ArrayBuffer(40 + 9 * count), view = new DataView(buffer);
    [0x43, 0x38, 0x50, 0x43].forEach((byte, i) => view.setUint8(i, byte));
    view.setUint32(4, 1, true);
    view.setUint32(8, count, true);
    for (const at of [28, 32, 36]) view.setFloat32(at, 1e-4, true);
    expect(parsePointCloud(buffer).positions.length).toBe(3 * count);
    expect(pointsShown(count, false, false)).toBe(count);
    expect(pointsShown(count, true, false)).toBe(300_000);
    expect(pointsShown(count, false, true)).toBe(400_000);
    expect(pointsShown(count, true, true)).toBe(60_000);
    expect(pointsShown(5_000, true, true)).toBe(5_000);
  });
});
