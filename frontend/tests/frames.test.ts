/** The golden cases that the Python frames pass too. */
import { Matrix4, Vector3 } from "three";
import { describe, expect, it } from "vitest";
import golden from "../../fixtures/golden/frames.json";
import type { Vec3, Wxyz } from "../src/net/contract";
import {
  angleBetween, glbFromObject, matrixFromPose, objectFromGlb, photoCameraInObject, photoCameraInScene, poseFromMatrix, project,
  projectionFromIntrinsics, quaternionFromWxyz, wxyzFromQuaternion,
} from "../src/viewer/frames";

const close = (actual: readonly number[], expected: readonly number[], tolerance = golden.conventions.tolerance) =>
  expected.forEach((value, i) => expect(Math.abs((actual[i] as number) - value)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(value))));
const apply = (matrix: Matrix4, point: readonly number[]) => new Vector3(...(point as Vec3)).applyMatrix4(matrix).toArray();

describe("frames", () => {
  it.each(golden.quaternion_to_matrix)("turns the quaternion of $name into the golden matrix and back", (item) => {
    const quaternion = quaternionFromWxyz(item.rotation_wxyz as Wxyz);
    const e = new Matrix4().makeRotationFromQuaternion(quaternion).transpose().elements;
    item.matrix.forEach((row, i) => close(e.slice(4 * i, 4 * i + 3), row));
    expect(angleBetween(wxyzFromQuaternion(quaternion), item.canonical_wxyz as Wxyz)).toBeLessThan(1e-4);
    expect(wxyzFromQuaternion(quaternion)[0]).toBeGreaterThanOrEqual(0);
  });

  it.each(golden.camera_from_object)("maps the points of $name into the camera frame", (item) => {
    const pose = { rotation_wxyz: item.rotation_wxyz as Wxyz, translation: item.translation as Vec3, scale: item.scale };
    const matrix = matrixFromPose(pose);
    item.points_object.forEach((point, i) => close(apply(matrix, point), item.points_camera[i] as number[]));
    const back = poseFromMatrix(matrix, "m");
    expect(Math.abs(back.scale - item.scale)).toBeLessThan(1e-6 * item.scale);
    close(back.translation, item.translation);
    expect(angleBetween(back.rotation_wxyz, pose.rotation_wxyz)).toBeLessThan(1e-4);
  });

  it.each(golden.glb_from_object)("maps object axes to GLB axes and back", (item) => {
    close(apply(glbFromObject(), item.object), item.glb);
    close(apply(objectFromGlb(), item.glb), item.object);
  });

  it.each(golden.projection)("projects camera points to the golden pixels, also through a WebGL camera", (item) => {
    const k = item.intrinsics;
    const whole = { x: 0, y: 0, width: k.width, height: k.height };
    const clip = projectionFromIntrinsics(k, whole, 0.01, 100).multiply(photoCameraInScene().invert());
    item.points_camera.forEach((point, i) => {
      const pixel = item.pixels[i] as number[];
      close(project(point as Vec3, k), pixel);
      const [x, y] = apply(clip, point) as Vec3;
      close([((x + 1) / 2) * k.width, ((1 - y) / 2) * k.height], pixel, 1e-5);
    });
  });

  it.each(golden.compose)("composes poses as matrices do: $name", (item) => {
    const read = (p: typeof item.a) => matrixFromPose({ rotation_wxyz: p.rotation_wxyz as Wxyz, translation: p.translation as Vec3, scale: p.scale });
    const pose = poseFromMatrix(read(item.a).multiply(read(item.b)), "m");
    expect(angleBetween(pose.rotation_wxyz, item.expected.rotation_wxyz as Wxyz)).toBeLessThan(1e-4);
    close(pose.translation, item.expected.translation);
    close([pose.scale], [item.expected.scale]);
  });

  it("shows an object through the photo's camera where projecting it says", () => {
    const k = { fx: 400, fy: 420, cx: 310, cy: 250, width: 640, height: 480 };
    const shown = { x: 100, y: 50, width: 300, height: 200 };
    const pose = { rotation_wxyz: [0.9, 0.1, -0.3, 0.2] as Wxyz, translation: [0.2, -0.1, 2.5] as Vec3, scale: 0.7, unit: "m" as const };
    const clip = projectionFromIntrinsics(k, shown, 0.01, 100).multiply(photoCameraInObject(pose).invert());
    const point: Vec3 = [0.3, -0.2, 0.4];
    const [u, v] = project(apply(matrixFromPose(pose), point) as Vec3, k);
    const [x, y] = apply(clip, point) as Vec3;
    close([shown.x + ((x + 1) / 2) * shown.width, shown.y + ((1 - y) / 2) * shown.height], [u, v], 1e-5);
  });

  it("refuses a quaternion of length zero", () => {
    expect(() => quaternionFromWxyz([0, 0, 0, 0])).toThrow(RangeError);
  });
});
