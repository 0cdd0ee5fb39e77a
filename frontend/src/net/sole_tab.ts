/** One tab works on a stage at a time: two would take the same lease and write over each other's drafts. */

/** How long the other tab gets to save its draft; one that does not answer is dead or asleep. */
const PATIENCE_MS = 4000;

export class SoleTab {
  private readonly channel: BroadcastChannel | null;
  private letGo: (() => void) | null = null;

  /** ``yieldWork`` saves what is in hand and stops; it is called when another tab is to go on. */
  constructor(private readonly name: string, private readonly yieldWork: () => Promise<void>) {
    this.channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(name) : null;
    this.channel?.addEventListener("message", () => void this.give());
  }

  /** Whether this tab may work. Where the browser has no locks (plain http on a network) every tab may. */
  take(): Promise<boolean> {
    if (!navigator.locks) return Promise.resolve(true);
    return new Promise((resolve) => {
      void navigator.locks
        .request(this.name, { ifAvailable: true }, (lock) => {
          resolve(lock !== null);
          return lock && this.hold();
        })
        .catch(() => this.robbed());
    });
  }

  /** Asks the tab that works to stop; resolves when this one may. */
  takeOver(): Promise<void> {
    if (!navigator.locks || this.letGo) return Promise.resolve();
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
    return new Promise((resolve) => {
      const held = () => {
        clearTimeout(timer);
        resolve();
        return this.hold();
      };
      this.channel?.postMessage("work goes on elsewhere");
      navigator.locks.request(this.name, { signal: patience.signal }, held).catch(() =>
        patience.signal.aborted && !this.letGo ? navigator.locks.request(this.name, { steal: true }, held).catch(() => this.robbed()) : this.robbed());
    });
  }

  private hold(): Promise<void> {
    return new Promise((resolve) => { this.letGo = resolve; });
  }

  private async give(): Promise<void> {
    const { letGo } = this;
    if (!letGo) return;
    await this.yieldWork();
    this.letGo = null;
    letGo();
  }

  private async robbed(): Promise<void> {
    this.letGo = null;
    await this.yieldWork();
  }
}
