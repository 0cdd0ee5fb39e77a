/** The clock of a lease: beats while the page is seen and the person works, and says when the lease has gone. */
import { Problem, Unreachable, isLoggedOut } from "./api";
import type { Api } from "./api";
import type { Claim } from "./contract";
import type { Writes } from "./writes";

export class Lease {
  private expiresAt: number;
  private lastActivity = Date.now();
  private readonly timers: number[];
  private readonly onActivity = () => { this.lastActivity = Date.now(); };
  private readonly onVisible = () => { if (document.visibilityState === "visible") void this.beat(); };

  constructor(
    private readonly api: Api,
    private readonly writes: Writes,
    private readonly claim: Claim,
    private readonly listener: { left: (milliseconds: number) => void; lost: () => void; loggedOut?: () => void },
  ) {
    this.expiresAt = Date.parse(claim.expires_at);
    const every_ms = Math.max(5_000, Math.min(60_000, (claim.lease_seconds * 1000) / 3));
    this.timers = [window.setInterval(() => void this.beat(), every_ms), window.setInterval(() => this.tick(), 1000)];
    for (const type of ["pointerdown", "pointermove", "keydown", "wheel"]) addEventListener(type, this.onActivity, { passive: true });
    document.addEventListener("visibilitychange", this.onVisible);
    this.tick();
  }

  end(): void {
    this.timers.forEach(clearInterval);
    for (const type of ["pointerdown", "pointermove", "keydown", "wheel"]) removeEventListener(type, this.onActivity);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  async beat(): Promise<void> {
    // Nobody has touched the page for a whole lease: let it run out, someone else may want the task.
    const isIdle = Date.now() - this.lastActivity > this.claim.lease_seconds * 1000;
    if (document.visibilityState !== "visible" || isIdle) return;
    try {
      const beaten = await this.writes.add((signal) => this.api.post<{ expires_at: string }>(
        `/assignments/${this.claim.assignment}/heartbeat`, { lease_token: this.claim.lease_token }, { signal },
      ));
      if (!beaten) return;
      this.expiresAt = Date.parse(beaten.expires_at);
      this.tick();
    } catch (error) {
      if (isLoggedOut(error)) this.listener.loggedOut?.();
      else if (error instanceof Problem && (error.code === "lease_lost" || error.status === 404)) this.listener.lost();
      else if (!(error instanceof Unreachable) && !(error instanceof Problem)) throw error;
    }
  }

  private tick(): void {
    const left = this.expiresAt - this.api.now();
    this.listener.left(left);
    if (left < -2000) this.listener.lost();
  }
}
