/** Stage 1 without a screen: scissors, checks, who may draw, what a stroke costs, and edits that come back. */
import { describe, expect, it } from "vitest";
import { History } from "../src/core/history";
import { RecentLabels } from "../src/stages/recent_labels";
import { Fingers, pressedRadius } from "../src/tools/fingers";
import { edgeCosts, LiveWire } from "../src/tools/live_wire";
import { difference, fillRect, keepStrokes, Mask, stroke, strokeReach, workingSize } from "../src/tools/mask";
import type { Rect } from "../src/tools/mask";
import { checkMask, numParts } from "../src/tools/mask_checks";
import { MaskEditor } from "../src/tools/mask_editor";
import type { Point, Tool } from "../src/tools/mask_editor";
import { paintCells, painted } from "../src/tools/mask_paint";
import type { Ink } from "../src/tools/mask_paint";
import { fit, realPixels, reveal, toPicture, visible, zoom } from "../src/tools/view_window";
import { leastFound } from "../src/stages/refinement";

/** Numbers that look random and are the same every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("scissors", () => {
  /** The slow plain twin: relaxes every step until nothing changes. */
  function cheapest(costs: Uint8Array, width: number, height: number, seed: Point): number[] {
    const total = new Array<number>(costs.length).fill(Infinity);
    total[seed[1] * width + seed[0]] = 0;
    for (let isChanging = true; isChanging; ) {
      isChanging = false;
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [1, -1], [-1, 1], [-1, -1]] as const) {
          const nx = x + dx, ny = y + dy;
          if (nx < 0 || ny < 0 || nx >= width || ny >= height) continue;
          const over = (total[y * width + x] as number) + (costs[ny * width + nx] as number) * (dx && dy ? 7 : 5);
          if (over < (total[ny * width + nx] as number)) {
            total[ny * width + nx] = over;
            isChanging = true;
          }
        }
      }
    }
    return total;
  }

  it("find paths as cheap as the slow twin's, and the paths are joined", () => {
    const next = random(7), width = 23, height = 17;
    for (let round = 0; round < 5; round++) {
      const costs = Uint8Array.from({ length: width * height }, () => 1 + Math.floor(next() * 24));
      const seed: Point = [Math.floor(next() * width), Math.floor(next() * height)];
      const twin = cheapest(costs, width, height, seed);
      const wire = new LiveWire(costs, width, height);
      wire.start(seed);
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) expect(wire.costTo([x, y])).toBe(twin[y * width + x]);
      const path = wire.pathTo([width - 1, 0]);
      expect([path[0], path.at(-1)]).toEqual([seed, [width - 1, 0]]);
      path.slice(1).forEach(([x, y], i) => expect(Math.max(Math.abs(x - (path[i] as Point)[0]), Math.abs(y - (path[i] as Point)[1]))).toBe(1));
    }
  });

  it("follow the edge of a square round its corner", () => {
    const width = 60, height = 60, rgba = new Uint8ClampedArray(4 * width * height);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgba.fill(x >= 20 && x < 40 && y >= 20 && y < 40 ? 220 : 30, 4 * (y * width + x), 4 * (y * width + x) + 4);
    const wire = new LiveWire(edgeCosts(rgba, width, height), width, height);
    wire.start([20, 38]);
    const path = wire.pathTo([38, 20]);
    // The straight way leads through the square's middle; the cheap one keeps to two of its sides.
    expect(path.every(([x, y]) => Math.abs(x - 20) <= 2 || Math.abs(y - 20) <= 2)).toBe(true);
  });

  it("reach places far outside the first window", () => {
    const wire = new LiveWire(new Uint8Array(900 * 4).fill(3), 900, 4);
    wire.start([2, 2]);
    expect(wire.pathTo([895, 2])).toHaveLength(894);
    expect(wire.pathTo([5000, -7]).at(-1)).toEqual([899, 0]);
  });
});

describe("checks warn", () => {
  const drawn = (...rects: Rect[]) => {
    const mask = new Mask(100, 80);
    for (const rect of rects) fillRect(mask, rect, 1);
    return mask;
  };
  const codes = (mask: Mask, taken: { label: string; mask: Mask }[] = []) => checkMask(mask, 1000, taken).map((warning) => warning.code);

  it("of nothing about a sound mask, and of nothing about none", () => {
    expect(codes(drawn({ x: 20, y: 20, width: 30, height: 30 }))).toEqual([]);
    expect(codes(drawn())).toEqual([]);
  });

  it("of parts, which touch at corners at most", () => {
    expect(codes(drawn({ x: 10, y: 10, width: 20, height: 20 }, { x: 50, y: 10, width: 20, height: 20 }))).toEqual(["parts"]);
    expect(numParts(drawn({ x: 10, y: 10, width: 5, height: 5 }, { x: 15, y: 15, width: 5, height: 5 }))).toBe(1);
    // A U: two arms that meet only at the bottom are one part.
    expect(numParts(drawn({ x: 10, y: 10, width: 5, height: 30 }, { x: 30, y: 10, width: 5, height: 30 }, { x: 10, y: 35, width: 25, height: 5 }))).toBe(1);
  });

  it("of each border, of the very small and the very large", () => {
    for (const rect of [{ x: 0, y: 20, width: 30, height: 30 }, { x: 70, y: 20, width: 30, height: 30 }, { x: 20, y: 0, width: 30, height: 30 }, { x: 20, y: 50, width: 30, height: 30 }]) expect(codes(drawn(rect))).toEqual(["border"]);
    expect(codes(drawn({ x: 20, y: 20, width: 1, height: 1 }))).toEqual(["small"]);
    expect(codes(drawn({ x: 0, y: 0, width: 100, height: 78 }))).toEqual(["large", "border"]);
  });

  it("of an object that is taken already, by its name and share", () => {
    const taken = [{ label: "cup", mask: drawn({ x: 20, y: 20, width: 20, height: 20 }) }, { label: "far", mask: drawn({ x: 80, y: 60, width: 10, height: 10 }) }];
    expect(checkMask(drawn({ x: 30, y: 20, width: 20, height: 20 }), 1000, taken)).toEqual([{ code: "overlap", label: "cup", share: 0.5 }]);
  });
});

describe("of pen, fingers and mouse", () => {
  const touch = (id: number, x = 0, y = 0) => ({ id, type: "touch", button: 0, x, y });
  const pen = (id: number) => ({ id, type: "pen", button: 0, x: 0, y: 0 });

  it("one finger draws and two move the picture, until both are gone", () => {
    const fingers = new Fingers(() => 0);
    expect(fingers.down(touch(1, 100, 100), false)).toBe("draw");
    expect(fingers.down(touch(2, 200, 100), false)).toBe("pinch");
    expect(fingers.pinch(2, 300, 100)).toEqual({ factor: 2, at: [150, 100], dx: 50, dy: 0 });
    fingers.up(2, "touch");
    expect(fingers.isSilent(1)).toBe(true);
    expect(fingers.down(touch(3), false)).toBe("pinch");
    fingers.up(1, "touch"); fingers.up(3, "touch");
    expect(fingers.down(touch(4), false)).toBe("draw");
  });

  it("the palm beside a pen draws nothing, nor the one that came before it", () => {
    let now = 0;
    const fingers = new Fingers(() => now);
    expect(fingers.down(touch(1), false)).toBe("draw");
    expect(fingers.down(pen(2), false)).toBe("draw");
    expect(fingers.isSilent(1)).toBe(true);
    expect(fingers.down(touch(3), false)).toBe("ignore");
    fingers.up(2, "pen");
    now = 900;
    expect(fingers.down(touch(4), false)).toBe("ignore");
    now = 1100;
    fingers.up(1, "touch"); fingers.up(3, "touch"); fingers.up(4, "touch");
    expect(fingers.down(touch(5), false)).toBe("draw");
  });

  it("the middle button and a held Space pan", () => {
    const fingers = new Fingers(() => 0);
    expect(fingers.down({ id: 1, type: "mouse", button: 1, x: 0, y: 0 }, false)).toBe("pan");
    expect(fingers.down({ id: 1, type: "mouse", button: 0, x: 0, y: 0 }, true)).toBe("pan");
    expect(fingers.down({ id: 1, type: "mouse", button: 0, x: 0, y: 0 }, false)).toBe("draw");
  });

  it("a pen's pressure sets the brush, a mouse's does not", () => {
    expect(pressedRadius(10, "mouse", 0.5)).toBe(10);
    expect(pressedRadius(10, "pen", 0.5)).toBe(10);
    expect(pressedRadius(10, "pen", 0.05)).toBe(3.5);
    expect(pressedRadius(10, "pen", 1)).toBe(16.5);
  });
});

describe("on a photo of twelve megapixels", () => {
  const size = workingSize(4000, 3000, 2048);
  const ink: Ink = { colour: [0, 200, 255], thickness: 3, tintAlpha: 77, edgeAlpha: 255, line: 2 };

  it("a dab paints its own rectangle and no more, in the mask and on the screen", () => {
    const mask = new Mask(size.width, size.height);
    let numCells = 0;
    for (let i = 0; i < 40; i++) {
      const a: Point = [600 + 5 * i, 700], b: Point = [605 + 5 * i, 702];
      const reach = stroke(mask, a, b, 20, 1) as Rect;
      const dirty = painted(mask, reach, ink) as Rect;
      const looked = paintCells(mask, dirty, ink, new Uint8ClampedArray(4 * dirty.width * dirty.height));
      expect(looked).toBe(dirty.width * dirty.height);
      numCells += looked;
    }
    // 40 dabs of 40 cells with their margins: a thousandth of the photo each.
    expect(numCells).toBeLessThan(40 * 0.0015 * mask.data.length);
  });

  it("painting piece by piece looks like painting everything at once", () => {
    const mask = new Mask(60, 40), screen = new Uint8ClampedArray(4 * 60 * 40);
    const paint = (rect: Rect) => {
      const dirty = painted(mask, rect, ink) as Rect;
      const part = new Uint8ClampedArray(4 * dirty.width * dirty.height);
      paintCells(mask, dirty, ink, part);
      for (let y = 0; y < dirty.height; y++) screen.set(part.subarray(4 * y * dirty.width, 4 * (y + 1) * dirty.width), 4 * ((dirty.y + y) * 60 + dirty.x));
    };
    const next = random(3);
    for (let i = 0; i < 30; i++) {
      const at: Point = [next() * 60, next() * 40], to: Point = [next() * 60, next() * 40];
      const reach = stroke(mask, at, to, 1 + next() * 4, i % 3 === 2 ? 0 : 1);
      if (reach) paint(reach);
    }
    const whole = new Uint8ClampedArray(screen.length);
    paintCells(mask, mask.bounds, ink, whole);
    expect([...screen]).toEqual([...whole]);
  });

  it("the outline carries a white and a black line beside its colour", () => {
    const mask = new Mask(40, 40);
    fillRect(mask, { x: 10, y: 10, width: 20, height: 20 }, 1);
    const rgba = new Uint8ClampedArray(4 * 40 * 40);
    paintCells(mask, mask.bounds, { ...ink, thickness: 2, line: 1 }, rgba);
    const at = (x: number, y: number) => [...rgba.subarray(4 * (y * 40 + x), 4 * (y * 40 + x) + 4)];
    expect(at(5, 20)).toEqual([0, 0, 0, 0]);
    expect(at(9, 20)).toEqual([0, 0, 0, 190]);
    expect(at(10, 20)).toEqual([0, 200, 255, 255]);
    expect(at(12, 20)).toEqual([255, 255, 255, 215]);
    expect(at(20, 20)).toEqual([0, 200, 255, 77]);
  });
});

describe("the editor", () => {
  function editing(width = 200, height = 100) {
    const history = new History(() => 0);
    const repainted: Rect[] = [];
    let asked = 0;
    const editor = new MaskEditor({ edited: (edit) => history.push(edit), changed: () => undefined, repaint: (rect) => repainted.push(rect), pointed: () => { asked += 1; } }, () => null);
    editor.load(width, height);
    repainted.length = 0;
    const draw = (tool: Tool, points: Point[], radius = 4) => {
      editor.tool = tool;
      const press = { radius, erases: false, isBackground: false };
      editor.press(points[0] as Point, press);
      for (const point of points.slice(1)) editor.moveTo(point, radius);
      editor.release();
    };
    return { editor, history, repainted, draw, numAsked: () => asked };
  }

  it("counts what is set without counting the whole mask, through every kind of edit and back", () => {
    const { editor, history, draw } = editing();
    const areas = [editor.area];
    const check = () => { expect(editor.area).toBe(editor.mask.count()); areas.push(editor.area); };
    draw("box", [[20, 20], [120, 80]]); check();
    draw("brush", [[100, 50], [150, 50], [160, 90]]); check();
    draw("eraser", [[30, 30], [90, 40]]); check();
    editor.tool = "polygon";
    for (const at of [[150, 10], [190, 10], [190, 40]] as Point[]) editor.press(at, { radius: 0, erases: false, isBackground: false });
    editor.finishOutline(); check();
    editor.clearMask("Clear"); check();
    for (const area of areas.slice(0, -1).reverse()) { history.undo(); expect([editor.area, editor.mask.count()]).toEqual([area, area]); }
    for (const area of areas.slice(1)) { history.redo(); expect(editor.area).toBe(area); }
  });

  it("repaints a stroke's rectangle only, while drawing and on undo", () => {
    const { editor, history, repainted, draw } = editing(2048, 1536);
    draw("brush", [[300, 300], [320, 300]], 10);
    history.undo();
    expect(editor.area).toBe(0);
    for (const rect of repainted) expect(rect.width * rect.height).toBeLessThanOrEqual(strokeReach(editor.mask, [300, 300], [320, 300], 10)!.width * 22);
  });

  it("keeps strokes to the pixel in whatever the refinement answers, the later stroke on top", () => {
    const { editor, draw } = editing();
    draw("box", [[20, 20], [120, 80]]);
    draw("brush", [[130, 50], [150, 50]]);
    draw("eraser", [[140, 50], [170, 50]]);
    const painted = editor.hintMask(1) as Mask, erased = editor.hintMask(0) as Mask;
    expect(painted.data.some((cell, i) => cell && erased.data[i])).toBe(false);
    const answer = new Mask(200, 100);
    fillRect(answer, { x: 0, y: 0, width: 200, height: 60 }, 1);
    keepStrokes(answer, painted, erased);
    editor.replaceMask("Refine", answer);
    painted.data.forEach((cell, i) => { if (cell) expect(editor.mask.data[i]).toBe(1); });
    erased.data.forEach((cell, i) => { if (cell) expect(editor.mask.data[i]).toBe(0); });
    expect(editor.mask.has(130, 50)).toBe(true);
    expect(editor.guides.hints).toHaveLength(2);
  });

  it("asks for a refinement after each point, and undo takes the point back", () => {
    const { editor, history, numAsked } = editing();
    editor.tool = "point";
    editor.press([50, 50], { radius: 1, erases: false, isBackground: false });
    editor.press([150, 50], { radius: 1, erases: false, isBackground: true });
    editor.press([-5, 50], { radius: 1, erases: false, isBackground: false });
    expect(editor.guides.points).toEqual([{ at: [50, 50], isObject: true }, { at: [150, 50], isObject: false }]);
    expect(numAsked()).toBe(2);
    history.undo();
    expect(editor.guides.points).toHaveLength(1);
  });

  it("forgets a stroke that a second finger broke off", () => {
    const { editor, history } = editing();
    editor.tool = "brush";
    editor.press([50, 50], { radius: 8, erases: false, isBackground: false });
    editor.moveTo([90, 50], 8);
    editor.abort();
    expect([editor.area, editor.mask.count(), history.undoLabel]).toEqual([0, 0, undefined]);
  });

  it("takes corners back one by one and drops an outline that was left", () => {
    const { editor } = editing();
    editor.tool = "polygon";
    for (const at of [[10, 10], [50, 10], [50, 50]] as Point[]) editor.press(at, { radius: 0, erases: false, isBackground: false });
    editor.takeCornerBack();
    expect(editor.cornerPoints()).toEqual([[10, 10], [50, 10]]);
    expect(editor.isOutlining).toBe(true);
    editor.dropOutline();
    expect([editor.isOutlining, editor.area]).toEqual([false, 0]);
  });

  it("finds the least rectangle in which two masks differ", () => {
    const a = new Mask(30, 20), b = new Mask(30, 20);
    expect(difference(a, b)).toBeNull();
    b.data[5 * 30 + 7] = 1; b.data[9 * 30 + 3] = 1;
    expect(difference(a, b)).toEqual({ x: 3, y: 5, width: 5, height: 5 });
  });
});

describe("views of odd photos", () => {
  const screen = { width: 968, height: 716 };

  it("fit, zoom and show something at every size", () => {
    for (const [width, height] of [[3000, 1], [1, 3000], [16, 16], [4000, 3000], [3000, 32], [32, 16384]] as const) {
      const picture = workingSize(width, height, 2048);
      const view = fit(picture, screen, 144);
      expect(view.scale).toBeGreaterThan(0);
      for (const at of [[500, 300], [200, 700]] as Point[]) {
        const before = toPicture(view, at);
        toPicture(zoom(view, 1.7, at, view.scale), at).forEach((value, i) => expect(value).toBeCloseTo(before[i] as number, 6));
      }
      const seen = visible(view, picture, screen);
      expect(seen.width * seen.height).toBeGreaterThan(0);
    }
  });

  it("show one pixel of the photo on one pixel of the screen, around the same place", () => {
    const picture = workingSize(4000, 3000, 2048), at: Point = [500, 300];
    const view = fit(picture, screen, 144);
    const real = realPixels(view, picture, 4000, 2, at);
    expect((real.scale * picture.width * 2) / 4000).toBeCloseTo(1);
    toPicture(real, at).forEach((value, i) => expect(value).toBeCloseTo(toPicture(view, at)[i] as number, 6));
  });

  it("follow the crosshair just as far as it must", () => {
    const view = { scale: 2, x: 0, y: 0 };
    expect(reveal(view, [200, 100], screen, 144, 48)).toEqual(view);
    const moved = reveal(view, [600, 100], screen, 144, 48);
    expect(moved.x + 600 * 2).toBe(968 - 48);
    expect(moved.y).toBe(0);
  });
});

it("names given last come first, once each, and survive what others wrote", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  const recent = new RecentLabels(3, storage);
  for (const label of ["cup", "toy", "cup", "", "a", "b", "c", "d", "e"]) recent.add(label);
  expect(recent.list()).toEqual(["e", "d", "c", "b", "a", "cup"]);
  expect(new RecentLabels(4, storage).list()).toEqual([]);
  kept.set("candid8.recentLabels.3", "{broken");
  expect(recent.list()).toEqual([]);
});

it("a few pixels of a large guess are no object, a small object of a small guess is one", () => {
  expect([leastFound(0), leastFound(9), leastFound(1000), leastFound(40_000)]).toEqual([1, 9, 16, 200]);
});
