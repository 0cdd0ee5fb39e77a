/** How a person looks at candidates before judging them: what is in view for how long, and how often it is turned. Pure. */
import type { AttentionJson } from "../net/contract";

/** Turns by held or repeated keys within this time are one turn. */
const SAME_TURN_MS = 700;
const DAY_MS = 86_400_000;

/** Adds up how long each of some names has been running. */
class Stopwatch {
  private running: readonly string[] = [];
  private since = 0;

  constructor(private readonly now: () => number, private readonly total: Map<string, number>) {}

  run(names: readonly string[]): void {
    this.settle();
    this.running = names;
  }

  totals(): Record<string, number> {
    this.settle();
    return Object.fromEntries([...this.total].map(([name, ms]) => [name, Math.min(DAY_MS, Math.round(ms))]));
  }

  private settle(): void {
    const now = this.now();
    for (const name of this.running) this.total.set(name, (this.total.get(name) ?? 0) + now - this.since);
    this.since = now;
  }
}

const counted = (stored: Record<string, number> | undefined) => new Map(Object.entries(stored ?? {}));

/** What is looked at now; nothing of it counts while the page is out of sight. */
export interface Looking { candidates: readonly number[]; large: number | null; look: string; isPhotoCamera: boolean }

export class Attention {
  private readonly dwell: Stopwatch;
  private readonly looks: Stopwatch;
  private readonly photo: Stopwatch;
  private readonly large: Stopwatch;
  private readonly orbits: Map<string, number>;
  private orbitsOfAll: number;
  private flickers: number;
  private lastTurn = -Infinity;
  private looking: Looking | null = null;
  private isSeen = true;

  /** Goes on from what was kept of this task. */
  constructor(stored: Partial<AttentionJson> = {}, inspected: Record<string, number> = {}, private readonly now: () => number = () => performance.now()) {
    this.dwell = new Stopwatch(now, counted(stored.dwell));
    this.looks = new Stopwatch(now, counted(stored.looks));
    this.photo = new Stopwatch(now, counted({ photo: stored.photo_camera ?? 0 }));
    this.large = new Stopwatch(now, counted(inspected));
    this.orbits = counted(stored.orbits);
    this.orbitsOfAll = stored.orbits_of_all ?? 0;
    this.flickers = stored.flickers ?? 0;
  }

  look(looking: Looking | null): void {
    this.looking = looking;
    this.run();
  }

  setSeen(isSeen: boolean): void {
    this.isSeen = isSeen;
    this.run();
  }

  /** The camera was turned over these candidates; over none in particular when there are none. */
  turned(candidates: readonly number[]): void {
    const now = this.now();
    const isSame = now - this.lastTurn < SAME_TURN_MS;
    this.lastTurn = now;
    if (isSame) return;
    if (candidates.length === 0) this.orbitsOfAll += 1;
    for (const id of candidates) this.orbits.set(String(id), (this.orbits.get(String(id)) ?? 0) + 1);
  }

  flickered(): void {
    this.flickers += 1;
  }

  /** Milliseconds that each candidate was looked at large, one at a time. */
  inspected(): Record<string, number> {
    return this.large.totals();
  }

  report(): AttentionJson {
    return {
      dwell: this.dwell.totals(), orbits: Object.fromEntries(this.orbits), orbits_of_all: this.orbitsOfAll, looks: this.looks.totals(),
      photo_camera: this.photo.totals()["photo"] ?? 0, flickers: this.flickers,
    };
  }

  private run(): void {
    const looking = this.isSeen ? this.looking : null;
    this.dwell.run((looking?.candidates ?? []).map(String));
    this.looks.run(looking ? [looking.look] : []);
    this.photo.run(looking?.isPhotoCamera ? ["photo"] : []);
    this.large.run(looking && looking.large !== null ? [String(looking.large)] : []);
  }
}
