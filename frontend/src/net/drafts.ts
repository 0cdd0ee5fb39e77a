/** Saves the work in hand: to the server every two seconds when it changed and when the page is left; in the browser while that is out of reach. */
import { Problem, Unreachable, isLoggedOut } from "./api";
import type { Api } from "./api";
import type { Claim } from "./contract";
import { forgetLocally, keepLocally, localDraft } from "./offline";
import { saysTheSame } from "./same_draft";
import type { Writes } from "./writes";

export type SaveState = "saved" | "unsaved" | "saving" | "local";

/** The draft to go on with, and one that says something else and must not be lost either. */
export interface Drafts { draft: object | null; other: object | null }

export interface DraftListener {
  state: (state: SaveState) => void;
  leaseLost: () => void;
  loggedOut: () => void;
  /** Another page of the same person saved ``other``; what is on this screen went over it. */
  conflict: (other: object) => void;
}

const SAVE_EVERY_MS = 2000;

export class DraftKeeper {
  private produce: (() => Promise<object>) | null = null;
  private lastProduce: (() => Promise<object>) | null = null;
  private version: number;
  private isSaving = false;
  private readonly timer: number;
  private readonly onHidden = () => { if (document.visibilityState === "hidden") void this.save({ outliving: true }); };
  private readonly onLeave = () => void this.save({ outliving: true });

  constructor(
    private readonly api: Api,
    private readonly writes: Writes,
    private readonly projectId: number,
    private readonly claim: Claim,
    private readonly listener: DraftListener,
  ) {
    this.version = claim.draft_version;
    this.timer = window.setInterval(() => void this.save(), SAVE_EVERY_MS);
    document.addEventListener("visibilitychange", this.onHidden);
    addEventListener("blur", this.onLeave);
    addEventListener("pagehide", this.onLeave);
  }

  /** The browser's own copy goes as soon as the server has it, so it is newer, unless another device went on meanwhile. */
  async latest(): Promise<Drafts> {
    const { draft, assignment, draft_version } = this.claim;
    const local = await localDraft(assignment).catch(() => undefined);
    if (!local) return { draft, other: null };
    if (saysTheSame(local.draft, draft)) {
      await forgetLocally(assignment).catch(() => undefined);
      return { draft, other: null };
    }
    const isNewer = local.version >= draft_version || draft === null;
    return isNewer ? { draft: local.draft, other: null } : { draft, other: local.draft };
  }

  /** The work changed; ``produce`` is asked for the draft when it is time to save. */
  changed(produce: () => Promise<object>): void {
    this.produce = this.lastProduce = produce;
    this.listener.state("unsaved");
  }

  /** Saves now if anything changed; ``outliving`` also when the page is being closed. */
  async save({ outliving = false } = {}): Promise<void> {
    if (!this.produce || this.isSaving) return;
    this.isSaving = true;
    try {
      await this.writes.add((signal) => this.saveOnce(signal, outliving));
    } finally {
      this.isSaving = false;
    }
  }

  /** Puts what is on the screen into the browser's database, because the server will not take it now. */
  async keepHere(more: object = {}): Promise<void> {
    const produce = this.produce ?? this.lastProduce;
    const draft = produce ? await produce() : (this.claim.draft ?? {});
    await this.keep({ ...draft, ...more });
  }

  async end(options: { forget: boolean }): Promise<void> {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.onHidden);
    removeEventListener("blur", this.onLeave);
    removeEventListener("pagehide", this.onLeave);
    this.produce = null;
    if (options.forget) await forgetLocally(this.claim.assignment).catch(() => undefined);
  }

  private keep = (draft: object): Promise<void> =>
    keepLocally({ assignment: this.claim.assignment, draft, version: this.version, savedAt: Date.now() }).catch(() => undefined);

  private async saveOnce(signal: AbortSignal, outliving: boolean): Promise<void> {
    const { produce } = this;
    if (!produce) return;
    this.produce = null;
    this.listener.state("saving");
    const draft = await produce();
    // A page that is being closed may not live to hear the answer.
    if (outliving) await this.keep(draft);
    try {
      await this.put(draft, signal, outliving);
      await forgetLocally(this.claim.assignment).catch(() => undefined);
      this.listener.state(this.produce ? "unsaved" : "saved");
    } catch (error) {
      await this.keep(draft);
      this.listener.state("local");
      if (isLoggedOut(error)) this.listener.loggedOut();
      else if (error instanceof Problem && error.code === "lease_lost") this.listener.leaseLost();
      // Out of reach: the same draft is tried again at the next tick unless a newer one came.
      else if (error instanceof Unreachable) this.produce ??= produce;
      else if (!(error instanceof Problem)) throw error;
    }
  }

  private async put(draft: object, signal: AbortSignal, outliving: boolean): Promise<void> {
    const path = `/assignments/${this.claim.assignment}/draft`;
    const send = (kept: object) => this.api.send<{ draft_version: number }>("PUT", path, { lease_token: this.claim.lease_token, draft: kept }, { headers: { "If-Match": `"${this.version}"` }, signal, outliving });
    try {
      this.version = (await send(draft)).body.draft_version;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "draft_conflict") throw error;
      // Another page of the same person saved: what is on this screen is what the person sees, so it wins; the other is kept beside it.
      const again = await this.api.post<Claim>(`/projects/${this.projectId}/claims`, { stage: this.claim.stage, ...(this.claim.question && { quiz: true }) }, { signal });
      this.version = again.draft_version;
      const other = again.draft && !saysTheSame(again.draft, draft) ? again.draft : null;
      this.version = (await send(other ? { ...draft, other_draft: other } : draft)).body.draft_version;
      if (other) this.listener.conflict(other);
    }
  }
}
