/** Which pointer may do what: a pen draws and makes the hand beside it silent, one finger draws, two move the picture. Pure. */

export type Role = "draw" | "pan" | "pinch" | "ignore";
export interface Touch { id: number; type: string; button: number; x: number; y: number }
/** How two fingers moved the picture: a factor around a point, then a shift. */
export interface Pinch { factor: number; at: [number, number]; dx: number; dy: number }

/** A palm comes down shortly before the pen or stays after it. */
const PEN_LINGERS_MS = 1000;
const LIGHTEST = 0.35, HEAVIEST = 1.65;

export class Fingers {
  private readonly touches = new Map<number, [number, number]>();
  private readonly palms = new Set<number>();
  private isPinching = false;
  private isPenDown = false;
  private penSeenAt = -Infinity;

  constructor(private readonly now: () => number = () => performance.now()) {}

  down(touch: Touch, isPanHeld: boolean): Role {
    if (touch.type === "pen") {
      this.isPenDown = true;
      this.penSeenAt = this.now();
      for (const id of this.touches.keys()) this.palms.add(id);
      this.touches.clear();
    } else if (touch.type === "touch") return this.fingerDown(touch);
    if (touch.button === 1 || isPanHeld) return "pan";
    return "draw";
  }

  /** The pen is near the glass, though it does not touch it. */
  penNear(): void {
    this.penSeenAt = this.now();
  }

  /** A finger of a pinch moved; null when it is none of one. */
  pinch(id: number, x: number, y: number): Pinch | null {
    const before = this.touches.get(id);
    if (!this.isPinching || !before || this.touches.size !== 2) return null;
    const other = [...this.touches].find(([each]) => each !== id)![1];
    this.touches.set(id, [x, y]);
    const spread = (a: [number, number]) => Math.hypot(a[0] - other[0], a[1] - other[1]);
    return {
      factor: spread([x, y]) / Math.max(1, spread(before)),
      at: [(before[0] + other[0]) / 2, (before[1] + other[1]) / 2],
      dx: (x - before[0]) / 2, dy: (y - before[1]) / 2,
    };
  }

  up(id: number, type: string): void {
    if (type === "pen") {
      this.isPenDown = false;
      this.penSeenAt = this.now();
    }
    this.palms.delete(id);
    this.touches.delete(id);
    // The finger that is left over from a pinch must not begin to draw.
    if (this.touches.size === 0) this.isPinching = false;
  }

  /** Is this the hand that holds the pen, or the leftover of a pinch? */
  isSilent(id: number): boolean {
    return this.palms.has(id) || (this.isPinching && this.touches.has(id));
  }

  private fingerDown(touch: Touch): Role {
    if (this.isPenDown || this.now() - this.penSeenAt < PEN_LINGERS_MS) {
      this.palms.add(touch.id);
      return "ignore";
    }
    if (this.touches.size >= 2) return "ignore";
    this.touches.set(touch.id, [touch.x, touch.y]);
    if (this.touches.size < 2) return this.isPinching ? "ignore" : "draw";
    this.isPinching = true;
    return "pinch";
  }
}

/** The brush's radius under a pen's pressure; a mouse and a finger press neither more nor less. */
export function pressedRadius(radius: number, type: string, pressure: number): number {
  if (type !== "pen" || pressure <= 0) return radius;
  return radius * Math.min(HEAVIEST, Math.max(LIGHTEST, 2 * pressure));
}
