/** One person's work on one stage: claim, draft, submit, next, take back, pause; and every way in which that can fail. */
import { Store } from "../core/store";
import { Queue } from "../core/queue";
import { Problem, Unreachable, isLoggedOut } from "./api";
import type { Api } from "./api";
import type { Claim, Ended, NoWorkReason, Result, Stage } from "./contract";
import { DraftKeeper } from "./drafts";
import type { Drafts, SaveState } from "./drafts";
import { Ahead } from "./ahead";
import { Lease } from "./lease";
import { asUnsent } from "./unsent";
import { Writes } from "./writes";

/** "elsewhere": another tab works on this stage; "loggedout": the server does not know the person any more. */
export type Phase = "loading" | "working" | "sending" | "empty" | "lost" | "paused" | "elsewhere" | "loggedout" | "error";

export interface SessionState {
  phase: Phase;
  online: boolean;
  save: SaveState;
  leaseLeft_ms: number;
  leaseTotal_ms: number;
  emptyReason: NoWorkReason;
  retryAt: number;
  failure: unknown;
  /** The last answer of this page, which can be taken back. */
  lastAnswer: Answer | null;
}

export interface Answer { assignment: string; verb: string; seconds: number }

export interface SessionListener {
  /** A task is there to be shown. */
  task: (claim: Claim, drafts: Drafts) => Promise<void>;
  /** The task on the screen is over; the next one is taken when this resolves. ``answer`` is what the server said. */
  over: (answer: Ended | null) => Promise<void>;
  /** Something was refused that the person can mend; the task stays on the screen. */
  refused: (error: unknown) => void;
  /** The server has the answer. */
  answered?: (answer: Answer) => void;
  /** Another page saved the same task differently. */
  conflict?: (other: object) => void;
}

const RETRY_SEND_MS = 3000;
/** Why there is no work until the person has done something: looking again by oneself changes nothing. */
const FOR_THE_PERSON: ReadonlySet<NoWorkReason> = new Set(["guidelines_changed", "quiz_needed"]);
const DEFAULT_RETRY_AFTER_S = 15;

export class Session {
  readonly state = new Store<SessionState>({
    phase: "loading", online: true, save: "saved", leaseLeft_ms: 0, leaseTotal_ms: 1, emptyReason: "empty", retryAt: 0, failure: null, lastAnswer: null,
  });
  claim: Claim | null = null;
  private drafts: DraftKeeper | null = null;
  private lease: Lease | null = null;
  private writes = new Writes();
  private ahead: Ahead;
  private idempotencyKey = "";
  private startedAt = 0;
  private isInQuiz = false;
  private retryTimer = 0;
  /** The assignment that was let go or lost, to be taken up again before others. */
  private again: string | null = null;
  private readonly queue = new Queue();

  constructor(private readonly api: Api, private readonly projectId: number, private readonly stage: Stage, private readonly listener: SessionListener) {
    this.ahead = new Ahead(api, projectId, stage);
  }

  /** Takes the next task, or says why there is none; a task in hand stays. */
  next = (): Promise<void> => this.queue.add(async () => { if (!this.claim) await this.take(); });

  /** Looks again now if we were waiting for work; called when a queue has changed. */
  wake(): void {
    const { phase, emptyReason } = this.state.get();
    if (phase === "empty" && !FOR_THE_PERSON.has(emptyReason)) void this.next();
  }

  /** Whether the next tasks may be questions of the entry quiz. */
  takeQuestions(isOn: boolean): void {
    this.isInQuiz = isOn;
  }

  changed(produce: () => Promise<object>): void {
    this.drafts?.changed(produce);
  }

  saveNow = async (): Promise<void> => this.drafts?.save();

  submit(result: () => Promise<Result>): Promise<void> {
    const seconds = this.secondsSoFar();
    return this.finish("submit", async () => ({ seconds, result: await result() }));
  }

  skip = (reason: string): Promise<void> => this.finish("skip", async () => ({ reason }));

  /** Hands the task over; ``looked`` is how the person looked at what they were shown. */
  escalate(reason: string, note: string, looked: object): Promise<void> {
    const seconds = this.secondsSoFar();
    return this.finish("escalate", async () => ({ reason, note, seconds, ...looked }));
  }

  /** Takes an answer back, the last one unless another is named: its task comes again, the one in hand waits its turn. */
  undo(assignment = this.state.get().lastAnswer?.assignment): Promise<void> {
    if (!assignment) return Promise.resolve();
    this.ahead.end();
    return this.queue.add(async () => {
      const { claim, writes } = this;
      const { phase } = this.state.get();
      if (phase !== "working" && phase !== "empty") return;
      this.state.set({ phase: "loading" });
      let back: Claim;
      try {
        await this.drafts?.save();
        await writes.close();
        back = await this.api.post<Claim>(`/assignments/${assignment}/undo`);
      } catch (error) {
        writes.open();
        if (isLoggedOut(error)) await this.logOut();
        else {
          this.state.set({ phase, ...(error instanceof Unreachable ? {} : { lastAnswer: null }) });
          if (claim) this.lookAhead();
          this.listener.refused(error);
        }
        return;
      }
      clearTimeout(this.retryTimer);
      this.end(false);
      if (claim) void this.listener.over(null);
      this.state.set({ lastAnswer: null });
      await this.show(back);
    });
  }

  /** A break: the task goes back to the queue with its draft, clocks and heartbeats stop, and nothing happens until resume(). */
  pause(): Promise<void> {
    return this.stop("paused", async (claim) => {
      await this.ahead.release();
      this.again = claim.assignment;
      await this.api.post(`/assignments/${claim.assignment}/release`, { lease_token: claim.lease_token });
    });
  }

  resume = (): Promise<void> => this.next();

  /** Another tab goes on with this stage: saves and stops, and leaves the lease to that tab. */
  yield(): Promise<void> {
    return this.stop("elsewhere", async () => undefined);
  }

  /** Any other write of the task in hand, in order with drafts and heartbeats; undefined when the task ended first. */
  async write<T>(verb: string, body: object): Promise<T | undefined> {
    const { claim, writes } = this;
    if (!claim) return undefined;
    return writes.add((signal) => this.api.post<T>(`/assignments/${claim.assignment}/${verb}`, { lease_token: claim.lease_token, ...body }, { signal }));
  }

  setOnline(online: boolean): void {
    if (online !== this.state.get().online) this.state.set({ online });
  }

  private secondsSoFar = (): number => Math.round((performance.now() - this.startedAt) / 100) / 10;

  private async take(): Promise<void> {
    clearTimeout(this.retryTimer);
    this.state.set({ phase: "loading", failure: null });
    try {
      const again = this.again ? { again: this.again } : {};
      const reply = await this.api.send<Claim | null>("POST", `/projects/${this.projectId}/claims`, { stage: this.stage, ...again, ...(this.isInQuiz && { quiz: true }) });
      this.again = null;
      this.setOnline(true);
      if (reply.status === 204 || !reply.body) this.waitForWork(reply.headers);
      else await this.begin({ ...reply.body, task: this.ahead.withFetchedFiles(reply.body.task) });
    } catch (error) {
      await this.fail(error);
    }
  }

  /** Shows a task that came by another way than a claim. */
  private async show(claim: Claim): Promise<void> {
    try {
      await this.begin(claim);
    } catch (error) {
      await this.fail(error);
    }
  }

  private async fail(error: unknown): Promise<void> {
    if (isLoggedOut(error)) return this.logOut();
    this.end(false);
    this.state.set({ phase: "error", failure: error, online: !(error instanceof Unreachable) });
    if (error instanceof Unreachable) this.retryTimer = window.setTimeout(() => void this.next(), RETRY_SEND_MS * 2);
  }

  private waitForWork(headers: Headers): void {
    const seconds = Number(headers.get("Retry-After")) || DEFAULT_RETRY_AFTER_S;
    const emptyReason = (headers.get("X-Candid8-Reason") ?? "empty") as NoWorkReason;
    this.state.set({ phase: "empty", emptyReason, retryAt: Date.now() + seconds * 1000 });
    if (!FOR_THE_PERSON.has(emptyReason)) this.retryTimer = window.setTimeout(() => void this.next(), seconds * 1000);
  }

  private async begin(claim: Claim): Promise<void> {
    this.claim = claim;
    this.idempotencyKey = crypto.randomUUID();
    this.startedAt = performance.now();
    this.writes = new Writes();
    this.drafts = new DraftKeeper(this.api, this.writes, this.projectId, claim, {
      state: (save) => this.state.set({ save }),
      leaseLost: () => this.loseLease(claim),
      loggedOut: () => void this.logOut(),
      conflict: (other) => this.listener.conflict?.(other),
    });
    this.lease = new Lease(this.api, this.writes, claim, {
      left: (leaseLeft_ms) => this.state.set({ leaseLeft_ms }),
      lost: () => this.loseLease(claim),
      loggedOut: () => void this.logOut(),
    });
    this.state.set({ save: "saved", leaseTotal_ms: claim.lease_seconds * 1000 });
    const drafts = await this.drafts.latest();
    await this.listener.task(claim, drafts);
    if (this.claim !== claim) return;
    this.state.set({ phase: "working" });
    this.lookAhead();
  }

  private lookAhead(): void {
    const ahead = new Ahead(this.api, this.projectId, this.stage);
    this.ahead = ahead;
    void this.queue.add(() => ahead.take());
  }

  /** Ends the task in hand; what was meant for it never goes to the next one. */
  private finish(verb: string, body: () => Promise<object>): Promise<void> {
    const { claim, writes, ahead } = this;
    if (this.state.get().phase === "working") ahead.end();
    const seconds = this.secondsSoFar();
    return this.queue.add(async () => {
      if (!claim || this.claim !== claim || this.state.get().phase !== "working") return;
      this.state.set({ phase: "sending" });
      let sent: object = {};
      let reply: Ended | null;
      try {
        await writes.close();
        sent = await body();
        reply = await this.sendUntilHeard(`/assignments/${claim.assignment}/${verb}`, { lease_token: claim.lease_token, ...sent });
      } catch (error) {
        if (isLoggedOut(error)) await this.logOut(sent);
        else if (error instanceof Problem && (error.code === "lease_lost" || error.code === "stale_transition")) this.loseLease(claim);
        else {
          writes.open();
          this.state.set({ phase: "working" });
          this.lookAhead();
          this.listener.refused(error);
        }
        return;
      }
      const answer = { assignment: claim.assignment, verb, seconds };
      this.end(true);
      await this.listener.over(reply);
      if (!claim.question) {
        this.state.set({ lastAnswer: answer });
        this.listener.answered?.(answer);
      }
      await this.take();
    });
  }

  /** Saves and lets go of what is in hand, in the order of all that was asked before, and stays in ``phase``. */
  private stop(phase: "paused" | "elsewhere", letGo: (claim: Claim) => Promise<void>): Promise<void> {
    this.ahead.end();
    return this.queue.add(async () => {
      clearTimeout(this.retryTimer);
      const { claim, writes } = this;
      if (claim) {
        try {
          await this.drafts?.save({ outliving: true });
          await writes.close();
          await letGo(claim);
        } catch (error) {
          // Its lease ends by itself; the draft is kept here.
          if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
        }
        this.end(false);
        await this.listener.over(null);
      }
      this.state.set({ phase });
    });
  }

  /** Repeats while the server is out of reach; the idempotency key makes the repeats harmless. */
  private async sendUntilHeard(path: string, body: object): Promise<Ended | null> {
    for (;;) {
      try {
        const answer = await this.api.post<Ended | null>(path, body, { headers: { "Idempotency-Key": this.idempotencyKey } });
        this.setOnline(true);
        return answer;
      } catch (error) {
        if (!(error instanceof Unreachable)) {
          // A refused body is not the body that comes after it has been mended.
          this.idempotencyKey = crypto.randomUUID();
          throw error;
        }
        this.setOnline(false);
        await new Promise((resolve) => setTimeout(resolve, RETRY_SEND_MS));
      }
    }
  }

  private loseLease(claim: Claim): void {
    if (this.claim !== claim) return;
    const { drafts, ahead } = this;
    this.again = claim.assignment;
    // Or "take it again" would give the next task and not this one.
    void this.queue.add(() => ahead.release());
    void drafts?.save().then(() => drafts.end({ forget: false }));
    this.drafts = null;
    this.end(false);
    this.state.set({ phase: "lost" });
  }

  /** Keeps the work, and the answer that was being ``sent``, in this browser until the person has logged in again. */
  private async logOut(sent: { result?: Result; reason?: string; note?: string } = {}): Promise<void> {
    const { drafts } = this;
    if (this.state.get().phase === "loggedout") return;
    this.state.set({ phase: "loggedout" });
    this.ahead.end();
    await drafts?.keepHere(sent.result ? asUnsent(sent.result) : {}).catch(() => undefined);
    this.end(false);
  }

  private end(forget: boolean): void {
    this.lease?.end();
    this.lease = null;
    void this.drafts?.end({ forget });
    this.drafts = null;
    this.claim = null;
  }
}
