/** A binary mask and the operations on it; each returns the rectangle it touched. Pure, no canvas. */

export interface Rect { x: number; y: number; width: number; height: number }

export class Mask {
  readonly data: Uint8Array;

  constructor(readonly width: number, readonly height: number, data?: Uint8Array) {
    if (data && data.length !== width * height) throw new RangeError(`A ${width} x ${height} mask has ${width * height} cells, not ${data.length}.`);
    this.data = data ?? new Uint8Array(width * height);
  }

  has = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < this.width && y < this.height && this.data[y * this.width + x] === 1;

  get bounds(): Rect { return { x: 0, y: 0, width: this.width, height: this.height }; }

  count(): number {
    let sum = 0;
    for (const cell of this.data) sum += cell;
    return sum;
  }

  /** How many cells of ``rect`` are set. */
  countIn(rect: Rect): number {
    let sum = 0;
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      for (let i = y * this.width + rect.x; i < y * this.width + rect.x + rect.width; i++) sum += this.data[i] as number;
    }
    return sum;
  }

  /** The smallest rectangle around the mask, or null when it is empty. */
  box(): Rect | null {
    let left = this.width, top = this.height, right = -1, bottom = -1;
    for (let y = 0; y < this.height; y++) {
      const row = this.data.subarray(y * this.width, (y + 1) * this.width);
      const first = row.indexOf(1);
      if (first < 0) continue;
      left = Math.min(left, first);
      right = Math.max(right, row.lastIndexOf(1));
      top = Math.min(top, y);
      bottom = y;
    }
    return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  }

  /** A copy of the cells in ``rect``, for undo. */
  cut(rect: Rect): Uint8Array {
    const cells = new Uint8Array(rect.width * rect.height);
    for (let y = 0; y < rect.height; y++) {
      const from = (rect.y + y) * this.width + rect.x;
      cells.set(this.data.subarray(from, from + rect.width), y * rect.width);
    }
    return cells;
  }

  paste(rect: Rect, cells: Uint8Array): void {
    for (let y = 0; y < rect.height; y++) this.data.set(cells.subarray(y * rect.width, (y + 1) * rect.width), (rect.y + y) * this.width + rect.x);
  }
}

/** The part of ``rect`` that lies in the mask, on whole cells; null when there is none. */
export function clip(rect: Rect, mask: { width: number; height: number }): Rect | null {
  const left = Math.max(0, Math.floor(rect.x)), top = Math.max(0, Math.floor(rect.y));
  const right = Math.min(mask.width, Math.ceil(rect.x + rect.width)), bottom = Math.min(mask.height, Math.ceil(rect.y + rect.height));
  return right > left && bottom > top ? { x: left, y: top, width: right - left, height: bottom - top } : null;
}

export function union(a: Rect | null, b: Rect | null): Rect | null {
  if (!a || !b) return a ?? b;
  const x = Math.min(a.x, b.x), y = Math.min(a.y, b.y);
  return { x, y, width: Math.max(a.x + a.width, b.x + b.width) - x, height: Math.max(a.y + a.height, b.y + b.height) - y };
}

/** The cells that a stroke may touch; null when it lies outside. */
export function strokeReach(mask: { width: number; height: number }, a: [number, number], b: [number, number], radius: number): Rect | null {
  const r = Math.max(0.5, radius);
  return clip({ x: Math.min(a[0], b[0]) - r, y: Math.min(a[1], b[1]) - r, width: Math.abs(a[0] - b[0]) + 2 * r, height: Math.abs(a[1] - b[1]) + 2 * r }, mask);
}

/** Sets every cell whose centre is within ``radius`` of the segment from a to b. */
export function stroke(mask: Mask, a: [number, number], b: [number, number], radius: number, value: 0 | 1): Rect | null {
  const r = Math.max(0.5, radius);
  const rect = strokeReach(mask, a, b, radius);
  if (!rect) return null;
  const dx = b[0] - a[0], dy = b[1] - a[1];
  const lengthSq = dx * dx + dy * dy;
  for (let y = rect.y; y < rect.y + rect.height; y++) {
    for (let x = rect.x; x < rect.x + rect.width; x++) {
      const px = x + 0.5 - a[0], py = y + 0.5 - a[1];
      const along = lengthSq > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / lengthSq)) : 0;
      const ex = px - along * dx, ey = py - along * dy;
      if (ex * ex + ey * ey <= r * r) mask.data[y * mask.width + x] = value;
    }
  }
  return rect;
}

export function fillRect(mask: Mask, rect: Rect, value: 0 | 1): Rect | null {
  const part = clip(rect, mask);
  if (part) for (let y = part.y; y < part.y + part.height; y++) mask.data.fill(value, y * mask.width + part.x, y * mask.width + part.x + part.width);
  return part;
}

/** Sets the cells whose centres lie inside a polygon, by the even-odd rule. */
export function fillPolygon(mask: Mask, points: readonly [number, number][], value: 0 | 1): Rect | null {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const left = Math.min(...xs), top = Math.min(...ys);
  const rect = points.length < 3 ? null : clip({ x: left, y: top, width: Math.max(...xs) - left, height: Math.max(...ys) - top }, mask);
  if (!rect) return null;
  for (let y = rect.y; y < rect.y + rect.height; y++) {
    const crossings = rowCrossings(points, y + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(rect.x, Math.ceil((crossings[i] as number) - 0.5));
      const to = Math.min(rect.x + rect.width, Math.ceil((crossings[i + 1] as number) - 0.5));
      if (to > from) mask.data.fill(value, y * mask.width + from, y * mask.width + to);
    }
  }
  return rect;
}

function rowCrossings(points: readonly [number, number][], y: number): number[] {
  const crossings: number[] = [];
  points.forEach(([x1, y1], i) => {
    const [x2, y2] = points[(i + 1) % points.length] as [number, number];
    if (y1 <= y !== y2 <= y) crossings.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
  });
  return crossings.sort((a, b) => a - b);
}

/** Fills every hole: cells that no path of empty cells joins to the mask's edge. */
export function fillHoles(mask: Mask): Rect {
  const { width, height, data } = mask;
  const outside = new Uint8Array(data.length);
  const stack: number[] = [];
  const visit = (i: number): void => {
    if (data[i] === 0 && outside[i] === 0) {
      outside[i] = 1;
      stack.push(i);
    }
  };
  for (let x = 0; x < width; x++) { visit(x); visit((height - 1) * width + x); }
  for (let y = 0; y < height; y++) { visit(y * width); visit(y * width + width - 1); }
  for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
    const x = i % width;
    if (x > 0) visit(i - 1);
    if (x < width - 1) visit(i + 1);
    if (i >= width) visit(i - width);
    if (i < data.length - width) visit(i + width);
  }
  for (let i = 0; i < data.length; i++) data[i] = outside[i] === 1 ? 0 : 1;
  return mask.bounds;
}

export function invert(mask: Mask): Rect {
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = mask.data[i] === 1 ? 0 : 1;
  return mask.bounds;
}

/** The smallest rectangle that holds every cell in which two masks of one size differ; null when they are equal. */
export function difference(a: Mask, b: Mask): Rect | null {
  let left = a.width, top = a.height, right = -1, bottom = -1;
  for (let y = 0; y < a.height; y++) {
    const start = y * a.width;
    let first = 0, last = a.width - 1;
    while (first <= last && a.data[start + first] === b.data[start + first]) first++;
    if (first > last) continue;
    while (a.data[start + last] === b.data[start + last]) last--;
    left = Math.min(left, first);
    right = Math.max(right, last);
    top = Math.min(top, y);
    bottom = y;
  }
  return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

/** Puts the person's strokes into a mask that came from elsewhere: what they painted is in, what they erased is out. */
export function keepStrokes(mask: Mask, painted: Mask | null, erased: Mask | null): void {
  for (let i = 0; i < mask.data.length; i++) {
    if (painted?.data[i] === 1) mask.data[i] = 1;
    if (erased?.data[i] === 1) mask.data[i] = 0;
  }
}

/** Nearest-neighbour copy at another size. */
export function resize(mask: Mask, width: number, height: number): Mask {
  if (width === mask.width && height === mask.height) return mask;
  const result = new Mask(width, height);
  const columns = Int32Array.from({ length: width }, (_, x) => Math.min(mask.width - 1, Math.floor(((x + 0.5) * mask.width) / width)));
  for (let y = 0; y < height; y++) {
    const from = Math.min(mask.height - 1, Math.floor(((y + 0.5) * mask.height) / height)) * mask.width;
    for (let x = 0; x < width; x++) result.data[y * width + x] = mask.data[from + (columns[x] as number)] as number;
  }
  return result;
}

/** Is this cell of the mask within ``thickness`` cells of the outside? Looked up along eight directions. */
export function isEdge(mask: Mask, x: number, y: number, thickness: number): boolean {
  const d = Math.max(1, Math.round(thickness * 0.7));
  const t = Math.max(1, Math.round(thickness));
  return !(
    mask.has(x - t, y) && mask.has(x + t, y) && mask.has(x, y - t) && mask.has(x, y + t) &&
    mask.has(x - d, y - d) && mask.has(x + d, y - d) && mask.has(x - d, y + d) && mask.has(x + d, y + d)
  );
}

/** Intersection over union; 1 for two empty masks. */
export function iou(a: Uint8Array, b: Uint8Array): number {
  let both = 0, either = 0;
  for (let i = 0; i < a.length; i++) {
    both += (a[i] as number) & (b[i] as number);
    either += (a[i] as number) | (b[i] as number);
  }
  return either === 0 ? 1 : both / either;
}

/** The size of a mask for a photo, at most ``longest`` on its long side. */
export function workingSize(width: number, height: number, longest: number): { width: number; height: number } {
  const part = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * part)), height: Math.max(1, Math.round(height * part)) };
}
