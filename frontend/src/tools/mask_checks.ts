/** What may be wrong with a mask: warnings, never walls. Pure. */
import type { Mask, Rect } from "./mask";

export type Warning =
  | { code: "parts"; count: number }
  | { code: "border" }
  | { code: "small"; side: number }
  | { code: "large"; share: number }
  | { code: "overlap"; label: string; share: number };

export interface TakenObject { label: string; mask: Mask }

const SMALL_SHARE = 0.0005; // of the photo
const SMALL_SIDE_PX = 16; // pixels of the photo, of the object's longer side
const LARGE_SHARE = 0.9;
const OVERLAP_SHARE = 0.1; // of the smaller of the two

/** The warnings about a mask in a photo that is ``photoWidth`` wide, the gravest kinds first; none about an empty mask. */
export function checkMask(mask: Mask, photoWidth: number, taken: readonly TakenObject[]): Warning[] {
  const box = mask.box();
  if (!box) return [];
  const area = mask.countIn(box);
  const warnings: Warning[] = [];
  const share = area / mask.data.length;
  const side = Math.round((Math.max(box.width, box.height) * photoWidth) / mask.width);
  if (share < SMALL_SHARE || side < SMALL_SIDE_PX) warnings.push({ code: "small", side });
  if (share > LARGE_SHARE) warnings.push({ code: "large", share });
  const count = numParts(mask, box);
  if (count > 1) warnings.push({ code: "parts", count });
  if (box.x === 0 || box.y === 0 || box.x + box.width === mask.width || box.y + box.height === mask.height) warnings.push({ code: "border" });
  for (const { label, mask: other } of taken) {
    const both = common(mask, other, box);
    const part = both === 0 ? 0 : both / Math.min(area, other.count());
    if (part > OVERLAP_SHARE) warnings.push({ code: "overlap", label, share: part });
  }
  return warnings;
}

function common(a: Mask, b: Mask, rect: Rect): number {
  let sum = 0;
  for (let y = rect.y; y < rect.y + rect.height; y++) {
    for (let i = y * a.width + rect.x; i < y * a.width + rect.x + rect.width; i++) sum += (a.data[i] as number) & (b.data[i] as number);
  }
  return sum;
}

/** In how many pieces the mask falls, corners joined; runs of rows are joined, so that a large mask is counted quickly. */
export function numParts(mask: Mask, box: Rect | null = mask.box()): number {
  if (!box) return 0;
  const parent: number[] = [];
  const root = (i: number): number => {
    let top = i;
    while (parent[top] !== top) top = parent[top] as number;
    while (parent[i] !== top) [parent[i], i] = [top, parent[i] as number];
    return top;
  };
  let before: [from: number, to: number, part: number][] = [];
  for (let y = box.y; y < box.y + box.height; y++) {
    const row = mask.data.subarray(y * mask.width, (y + 1) * mask.width);
    const runs: typeof before = [];
    for (let from = row.indexOf(1); from >= 0; ) {
      const end = row.indexOf(0, from);
      const to = end < 0 ? mask.width : end;
      const part = parent.length;
      parent.push(part);
      for (const [otherFrom, otherTo, other] of before) if (otherFrom <= to && otherTo >= from) parent[root(other)] = root(part);
      runs.push([from, to, part]);
      from = end < 0 ? -1 : row.indexOf(1, to);
    }
    before = runs;
  }
  return parent.filter((top, i) => top === i).length;
}
