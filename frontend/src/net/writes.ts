/** The writes of one assignment, one after the other: its result is the last of them, and nothing follows that. */
import { Queue } from "../core/queue";

/** What a draft or a heartbeat on its way gets before a result goes ahead of it. */
const PATIENCE_MS = 1000;

export class Writes {
  private readonly queue = new Queue();
  private underWay = new AbortController();
  private isClosed = false;

  /** Runs ``write`` after those before it; does nothing and gives undefined when a result went first. */
  add<T>(write: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    return this.queue.add(async () => (this.isClosed ? undefined : write(this.underWay.signal)));
  }

  /** Lets nothing more begin; resolves when what is under way has ended, by force if it takes long. */
  async close(): Promise<void> {
    const { underWay } = this;
    this.isClosed = true;
    const patience = setTimeout(() => underWay.abort(), PATIENCE_MS);
    await this.queue.add(async () => undefined);
    clearTimeout(patience);
  }

  /** The result was refused: the work goes on. */
  open(): void {
    this.isClosed = false;
    this.underWay = new AbortController();
  }
}
