/** Intelligent scissors: the cheapest path over a photo runs along its edges. Dijkstra with buckets, in a window that grows. Pure. */
import { clip } from "./mask";
import type { Rect } from "./mask";

type Cell = [x: number, y: number];

/** Cheap along edges; integers, so that buckets can hold them. */
const STRAIGHT = 5, DIAGONAL = 7;
const DEAREST = 24;
const NUM_BUCKETS = DEAREST * DIAGONAL + 1;
const FIRST_REACH = 160;
const STEPS = [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [1, -1], [-1, 1], [-1, -1]] as const;

/** What it costs to stand on each pixel: 1 on the strongest edges, DEAREST where nothing changes. ``rgba`` is the photo. */
export function edgeCosts(rgba: Uint8ClampedArray, width: number, height: number): Uint8Array {
  const grey = new Float32Array(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = 0.3 * (rgba[4 * i] as number) + 0.59 * (rgba[4 * i + 1] as number) + 0.11 * (rgba[4 * i + 2] as number);
  const strength = new Float32Array(grey.length);
  const histogram = new Uint32Array(512);
  for (let y = 0; y < height; y++) {
    const above = Math.max(0, y - 1) * width, here = y * width, below = Math.min(height - 1, y + 1) * width;
    for (let x = 0; x < width; x++) {
      const left = Math.max(0, x - 1), right = Math.min(width - 1, x + 1);
      const across = (grey[above + right] as number) + 2 * (grey[here + right] as number) + (grey[below + right] as number) - (grey[above + left] as number) - 2 * (grey[here + left] as number) - (grey[below + left] as number);
      const down = (grey[below + left] as number) + 2 * (grey[below + x] as number) + (grey[below + right] as number) - (grey[above + left] as number) - 2 * (grey[above + x] as number) - (grey[above + right] as number);
      const value = Math.hypot(across, down) / 4;
      strength[here + x] = value;
      const bin = Math.min(511, Math.floor(value));
      histogram[bin] = (histogram[bin] as number) + 1;
    }
  }
  const strong = Math.max(8, quantile(histogram, 0.97));
  return Uint8Array.from(strength, (value) => Math.max(1, Math.round(DEAREST * (1 - Math.min(1, value / strong)))));
}

function quantile(histogram: Uint32Array, share: number): number {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  return histogram.findIndex((count) => (seen += count) >= share * total);
}

/** Paths from one seed to wherever one points. */
export class LiveWire {
  private seed: Cell = [0, 0];
  private reach = FIRST_REACH;
  private window: Rect | null = null;
  private distance = new Int32Array(0);
  private from = new Int8Array(0);

  constructor(private readonly costs: Uint8Array, private readonly width: number, private readonly height: number) {}

  start(seed: Cell): void {
    this.seed = this.inside(seed);
    this.reach = FIRST_REACH;
    this.window = null;
  }

  /** The cells from the seed to ``target``, both with. */
  pathTo(target: Cell): Cell[] {
    const end = this.inside(target);
    const away = Math.max(Math.abs(end[0] - this.seed[0]), Math.abs(end[1] - this.seed[1]));
    if (!this.window || away > this.reach * 0.8) {
      while (away > this.reach * 0.8) this.reach *= 2;
      this.spread();
    }
    const path: Cell[] = [];
    let [x, y] = end;
    while (x !== this.seed[0] || y !== this.seed[1]) {
      path.push([x, y]);
      const step = STEPS[this.from[this.at(x, y)] as number] as readonly [number, number];
      x -= step[0];
      y -= step[1];
    }
    return [...path, [x, y] as Cell].reverse();
  }

  /** What the path to ``target`` costs; for tests. */
  costTo(target: Cell): number {
    this.pathTo(target);
    return this.distance[this.at(...this.inside(target))] as number;
  }

  private inside([x, y]: Cell): Cell {
    return [Math.min(this.width - 1, Math.max(0, Math.floor(x))), Math.min(this.height - 1, Math.max(0, Math.floor(y)))];
  }

  private at(x: number, y: number): number {
    const window = this.window as Rect;
    return (y - window.y) * window.width + x - window.x;
  }

  private spread(): void {
    const [sx, sy] = this.seed;
    const window = clip({ x: sx - this.reach, y: sy - this.reach, width: 2 * this.reach + 1, height: 2 * this.reach + 1 }, { width: this.width, height: this.height }) as Rect;
    this.window = window;
    const size = window.width * window.height;
    const distance = (this.distance = new Int32Array(size).fill(0x7fffffff));
    const from = (this.from = new Int8Array(size));
    // A cell that was reached again more cheaply stands in two buckets; the dear one is passed over.
    const buckets: number[][] = Array.from({ length: NUM_BUCKETS }, () => []);
    const start = this.at(sx, sy);
    distance[start] = 0;
    (buckets[0] as number[]).push(start);
    let waiting = 1;
    for (let cost = 0; waiting > 0; cost++) {
      const bucket = buckets[cost % NUM_BUCKETS] as number[];
      for (let cell = bucket.pop(); cell !== undefined; cell = bucket.pop()) {
        waiting -= 1;
        if (distance[cell] !== cost) continue;
        const x = cell % window.width, y = (cell - x) / window.width;
        for (let i = 0; i < STEPS.length; i++) {
          const nx = x + (STEPS[i] as readonly [number, number])[0], ny = y + (STEPS[i] as readonly [number, number])[1];
          if (nx < 0 || ny < 0 || nx >= window.width || ny >= window.height) continue;
          const next = ny * window.width + nx;
          const total = cost + (this.costs[(ny + window.y) * this.width + nx + window.x] as number) * (i < 4 ? STRAIGHT : DIAGONAL);
          if (total >= (distance[next] as number)) continue;
          distance[next] = total;
          from[next] = i;
          (buckets[total % NUM_BUCKETS] as number[]).push(next);
          waiting += 1;
        }
      }
    }
  }
}
