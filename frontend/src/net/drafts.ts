/** Saves the work in hand: to the server every two seconds when it changed, and in the browser while that is out of reach. */
import { Problem, Unreachable } from "./api";
import type { Api } from "./api";
import type { Claim } from "./contract";
import { forgetLocally, keepLocally, localDraft } from "./offline";
import type { Writes } from "./writes";

export type SaveState = "saved" | "unsaved" | "saving" | "local";

const SAVE_EVERY_MS = 2000;

export class DraftKeeper {
  private produce: (() => Promise<object>) | null = null;
  private version: number;
  private isSaving = false;
  private readonly timer: number;

  constructor(
    private readonly api: Api,
    private readonly writes: Writes,
    private readonly projectId: number,
    private readonly claim: Claim,
    private readonly onState: (state: SaveState) => void,
    private readonly onLeaseLost: () => void,
  ) {
    this.version = claim.draft_version;
    this.timer = window.setInterval(() => void this.save(), SAVE_EVERY_MS);
  }

  /** The draft to go on with: the browser's own copy is newer, because it goes as soon as the server has it. */
  async latest(): Promise<object | null> {
    const local = await localDraft(this.claim.assignment).catch(() => undefined);
    return local?.draft ?? this.claim.draft;
  }

  /** The work changed; ``produce`` is asked for the draft when it is time to save. */
  changed(produce: () => Promise<object>): void {
    this.produce = produce;
    this.onState("unsaved");
  }

  /** Saves now if anything changed. */
  async save(): Promise<void> {
    if (!this.produce || this.isSaving) return;
    this.isSaving = true;
    try {
      await this.writes.add((signal) => this.saveOnce(signal));
    } finally {
      this.isSaving = false;
    }
  }

  async end(options: { forget: boolean }): Promise<void> {
    clearInterval(this.timer);
    this.produce = null;
    if (options.forget) await forgetLocally(this.claim.assignment).catch(() => undefined);
  }

  private async saveOnce(signal: AbortSignal): Promise<void> {
    const { produce } = this;
    if (!produce) return;
    this.produce = null;
    this.onState("saving");
    const draft = await produce();
    try {
      await this.put(draft, signal);
      await forgetLocally(this.claim.assignment).catch(() => undefined);
      this.onState(this.produce ? "unsaved" : "saved");
    } catch (error) {
      await keepLocally({ assignment: this.claim.assignment, draft, savedAt: Date.now() }).catch(() => undefined);
      this.onState("local");
      if (error instanceof Problem && error.code === "lease_lost") this.onLeaseLost();
      // Out of reach: the same draft is tried again at the next tick unless a newer one came.
      else if (error instanceof Unreachable) this.produce ??= produce;
      else if (!(error instanceof Problem)) throw error;
    }
  }

  private async put(draft: object, signal: AbortSignal): Promise<void> {
    const path = `/assignments/${this.claim.assignment}/draft`;
    const body = { lease_token: this.claim.lease_token, draft };
    const send = () => this.api.send<{ draft_version: number }>("PUT", path, body, { headers: { "If-Match": `"${this.version}"` }, signal });
    try {
      this.version = (await send()).body.draft_version;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "draft_conflict") throw error;
      // Another page of the same person saved: what is on this screen is what the person sees, so it wins.
      const again = await this.api.post<Claim>(`/projects/${this.projectId}/claims`, { stage: this.claim.stage, ...(this.claim.question && { quiz: true }) }, { signal });
      this.version = again.draft_version;
      this.version = (await send()).body.draft_version;
    }
  }
}
