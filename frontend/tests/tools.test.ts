/** Masks, their PNGs, pose edits and the point cloud file. */
import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { PoseJson } from "../src/net/contract";
import { fillHoles, fillPolygon, fillRect, invert, iou, isEdge, Mask, resize, stroke, workingSize } from "../src/tools/mask";
import { bytesFromBase64, maskPng, maskPngBase64, packedRows } from "../src/tools/mask_png";
import { clampScale, degreesOf, dragScale, nudge, withDegrees } from "../src/tools/pose_edit";
import { readReport } from "../src/ui/report";
import { angleBetween } from "../src/viewer/frames";
import { parseSplatPly } from "../src/viewer/splat_points";
import { parsePointCloud } from "../src/viewer/point_cloud_file";

const drawn = (mask: Mask) => Array.from({ length: mask.height }, (_, y) => [...mask.data.subarray(y * mask.width, (y + 1) * mask.width)].map((c) => (c ? "#" : ".")).join(""));

describe("masks", () => {
  it("fill a polygon where cell centres are inside", () => {
    const mask = new Mask(6, 4);
    fillPolygon(mask, [[1, 1], [5, 1], [5, 3], [1, 3]], 1);
    expect(drawn(mask)).toEqual(["......", ".####.", ".####.", "......"]);
  });

  it("take strokes that leave the picture and report only what they touched inside", () => {
    const mask = new Mask(8, 8);
    expect(stroke(mask, [-5, -5], [1, 1], 1.2, 1)).toEqual({ x: 0, y: 0, width: 3, height: 3 });
    expect(mask.has(0, 0)).toBe(true);
    expect(stroke(mask, [-9, -9], [-5, -5], 1, 1)).toBeNull();
  });

  it("give undo back exactly what a stroke changed", () => {
    const mask = new Mask(20, 20);
    fillRect(mask, { x: 2, y: 2, width: 9, height: 9 }, 1);
    const before = mask.data.slice();
    const rect = { x: 0, y: 0, width: 20, height: 20 };
    const old = mask.cut(rect);
    stroke(mask, [3, 3], [15, 15], 2, 0);
    expect([...mask.data]).not.toEqual([...before]);
    mask.paste(rect, old);
    expect([...mask.data]).toEqual([...before]);
  });

  it("lose their holes and keep their bays when filled", () => {
    const mask = new Mask(7, 5);
    fillRect(mask, { x: 0, y: 0, width: 5, height: 5 }, 1);
    fillRect(mask, { x: 1, y: 1, width: 2, height: 2 }, 0);
    fillRect(mask, { x: 4, y: 2, width: 1, height: 1 }, 0);
    fillHoles(mask);
    expect(drawn(mask)).toEqual(["#####..", "#####..", "####...", "#####..", "#####.."]);
  });

  it("are themselves again after two inversions, and know their box", () => {
    const mask = new Mask(9, 9);
    expect(mask.box()).toBeNull();
    fillRect(mask, { x: 2, y: 3, width: 4, height: 2 }, 1);
    expect(mask.box()).toEqual({ x: 2, y: 3, width: 4, height: 2 });
    invert(mask); invert(mask);
    expect(mask.count()).toBe(8);
  });

  it("keep their area when enlarged by a whole factor", () => {
    const mask = new Mask(10, 8);
    stroke(mask, [4, 4], [6, 5], 2, 1);
    expect(resize(mask, 30, 24).count()).toBe(mask.count() * 9);
    expect(workingSize(4000, 3000, 2048)).toEqual({ width: 2048, height: 1536 });
    expect(workingSize(640, 480, 2048)).toEqual({ width: 640, height: 480 });
  });

  it("tell edges from the inside, also at the picture's border", () => {
    const mask = new Mask(9, 9);
    fillRect(mask, mask.bounds, 1);
    expect(isEdge(mask, 4, 4, 2)).toBe(false);
    expect(isEdge(mask, 1, 4, 2)).toBe(true);
  });

  it("compare by intersection over union", () => {
    expect(iou(Uint8Array.of(1, 1, 0, 0), Uint8Array.of(0, 1, 1, 0))).toBeCloseTo(1 / 3);
    expect(iou(new Uint8Array(4), new Uint8Array(4))).toBe(1);
  });
});

it("a mask's PNG has one bit per pixel, and its rows come back", async () => {
  const mask = new Mask(11, 3);
  mask.data[0] = 1; mask.data[10] = 1; mask.data[22] = 1;
  const png = await maskPng(mask);
  expect([...png.subarray(1, 4)].map((b) => String.fromCharCode(b)).join("")).toBe("PNG");
  expect([png[24], png[25]]).toEqual([1, 0]);
  const view = new DataView(png.buffer);
  const rows = inflateSync(png.subarray(41, 41 + view.getUint32(33)));
  expect([...rows]).toEqual([...packedRows(mask)]);
  expect([...rows]).toEqual([0, 0x80, 0x20, 0, 0, 0, 0, 0x80, 0]);
  expect([...bytesFromBase64(await maskPngBase64(mask))]).toEqual([...png]);
});

describe("pose edits", () => {
  const pose: PoseJson = { rotation_wxyz: [1, 0, 0, 0], translation: [0, 0, 2], scale: 0.5, unit: "m" };
  const normal = { inObjectAxes: false, size: "normal" } as const;

  it("never let the scale explode or vanish", () => {
    expect(clampScale(2449595, 0.38)).toBeCloseTo(7.6);
    expect(clampScale(0, 1)).toBe(0.05);
    expect(clampScale(NaN, 0.4)).toBe(0.4);
    expect(clampScale(Infinity, 0.4)).toBe(0.4);
  });

  it("double with a drag of a hundred pixels, and stay in bounds for a wild one", () => {
    expect(dragScale(0.38, 100, 0.38) / 0.38).toBeCloseTo(2, 1);
    expect(dragScale(0.38, 9000, 0.38)).toBeCloseTo(7.6);
  });

  it("nudge along the camera's axes: right is +x, up is -y, away is +z", () => {
    expect(nudge(pose, "translate", "ArrowRight", normal, 0.5).translation[0]).toBeGreaterThan(0);
    expect(nudge(pose, "translate", "ArrowUp", normal, 0.5).translation[1]).toBeLessThan(0);
    expect(nudge(pose, "translate", "PageUp", normal, 0.5).translation[2]).toBeGreaterThan(2);
  });

  it("come back after a nudge there and one back, in all modes", () => {
    for (const mode of ["translate", "rotate", "scale"] as const) {
      const there = nudge(pose, mode, "ArrowRight", { inObjectAxes: true, size: "coarse" }, 0.5);
      const back = nudge(there, mode, "ArrowLeft", { inObjectAxes: true, size: "coarse" }, 0.5);
      expect(angleBetween(back.rotation_wxyz, pose.rotation_wxyz)).toBeLessThan(1e-4);
      expect(back.scale).toBeCloseTo(pose.scale);
      back.translation.forEach((v, i) => expect(v).toBeCloseTo(pose.translation[i] as number));
    }
  });

  it("read and write angles in degrees without turning anything", () => {
    const turned = withDegrees(pose, [20, -35, 50]);
    degreesOf(turned).forEach((v, i) => expect(v).toBeCloseTo([20, -35, 50][i] as number));
  });
});

describe("point cloud files", () => {
  const file = (count: number, bytes = 40 + count * 9) => {
    const buffer = new ArrayBuffer(bytes);
    const view = new DataView(buffer);
    [..."C8PC"].forEach((c, i) => view.setUint8(i, c.charCodeAt(0)));
    view.setUint32(4, 1, true);
    view.setUint32(8, count, true);
    view.setUint32(12, 1, true);
    [-1, -2, 0.5].forEach((v, i) => view.setFloat32(16 + 4 * i, v, true));
    [0.5, 0.25, 0.125].forEach((v, i) => view.setFloat32(28 + 4 * i, v, true));
    return { buffer, view };
  };

  it("give points by origin and step, colours and the approximate flag", () => {
    const { buffer, view } = file(2);
    [0, 0, 0, 2, 4, 8].forEach((q, i) => view.setUint16(40 + 2 * i, q, true));
    view.setUint8(40 + 12 + 3, 200);
    const cloud = parsePointCloud(buffer);
    expect([...cloud.positions]).toEqual([-1, -2, 0.5, 0, -1, 1.5]);
    expect(cloud.colours[3]).toBe(200);
    expect(cloud.isApproximate).toBe(true);
  });

  it("are refused when cut short or foreign", () => {
    expect(() => parsePointCloud(file(3, 60).buffer)).toThrow("67 bytes");
    expect(() => parsePointCloud(new ArrayBuffer(50))).toThrow("C8PC");
    expect(() => parsePointCloud(new ArrayBuffer(5))).toThrow("header");
  });
});

it("reports read as people write: rounded, in one line, yes and no", () => {
  const { sentences, figures } = readReport({ extent: [1.3499999, 0.9000033], watertight: true, num_faces: 2304, scale_into_cube: 0.6962963, problems: ["It has holes."], none: null });
  expect(sentences).toEqual(["It has holes."]);
  expect(figures).toEqual([["extent", "1.35 × 0.9"], ["watertight", "yes"], ["num faces", "2304"], ["scale into cube", "0.696"]]);
});

describe("splat files", () => {
  it("give centres and colours of the splats that can be seen", () => {
    const names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0"];
    const head = `ply\nformat binary_little_endian 1.0\nelement vertex 2\n${names.map((n) => `property float ${n}\n`).join("")}end_header\n`;
    const rows = Float32Array.of(0.1, 0.2, 0.3, 0, 10, -10, 3, Math.log(0.01), 9, 9, 9, 0, 0, 0, -8, 0);
    const file = new Uint8Array([...new TextEncoder().encode(head), ...new Uint8Array(rows.buffer)]);
    const { positions, colours, meanScale } = parseSplatPly(file.buffer);
    expect(positions).toHaveLength(3);
    expect(positions[1]).toBeCloseTo(0.2);
    expect([colours[1], colours[2]]).toEqual([1, 0]);
    expect(colours[0]).toBeCloseTo(0.214, 2);
    expect(meanScale).toBeCloseTo(0.01);
  });

  it("are refused when they are something else", () => expect(() => parseSplatPly(new ArrayBuffer(100))).toThrow(RangeError));
});
