/** The task after the one in hand: leased ahead, kept leased while the person works, its files fetched in good time. */
import { Problem, Unreachable } from "./api";
import type { Api } from "./api";
import type { Claim, Stage, Task } from "./contract";
import { Lease } from "./lease";
import { Writes } from "./writes";

/** Shown on demand, or small: not worth a fetch before anybody asks. A grid begins with previews. */
const LEFT_FOR_LATER: Record<Stage, readonly string[]> = {
  object: ["thumbnail_url"],
  pick: ["splat_url", "thumbnail_url", "mesh_url"],
  pose: ["splat_url", "thumbnail_url", "preview_url"],
};

/** Within this a signed address is as good as new. */
const FRESH_MS = 3_600_000;

export class Ahead {
  private readonly ending = new AbortController();
  private readonly fetched = new Map<string, string>();
  private readonly since = Date.now();
  private claim: Claim | null = null;
  private lease: Lease | null = null;

  constructor(private readonly api: Api, private readonly projectId: number, private readonly stage: Stage) {}

  /** Leases a task if there is one; when that does not work the work in hand goes on without. */
  async take(): Promise<void> {
    const { signal } = this.ending;
    if (signal.aborted) return;
    try {
      const claim = await this.api.post<Claim | null>(`/projects/${this.projectId}/claims`, { stage: this.stage, prefetch: true }, { signal });
      if (!claim || signal.aborted) return;
      this.claim = claim;
      this.lease = new Lease(this.api, new Writes(), claim, { left: () => undefined, lost: () => this.end() });
      for (const url of urlsOf(claim.task)) this.fetch(url);
    } catch (error) {
      if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    }
  }

  /** The next claim gets its lease. */
  end(): void {
    this.ending.abort();
    this.lease?.end();
  }

  /** Gives its lease back, so that the next claim gets what comes first in the queue. */
  async release(): Promise<void> {
    this.end();
    if (!this.claim) return;
    const { assignment, lease_token } = this.claim;
    await this.api.post(`/assignments/${assignment}/release`, { lease_token }).catch(() => undefined);
  }

  /** The task with the addresses under which its files lie in the browser's cache already. */
  withFetchedFiles(task: Task): Task {
    if (Date.now() - this.since > FRESH_MS) return task;
    return JSON.parse(JSON.stringify(task), (_, value: unknown) => (isUrl(value) ? (this.fetched.get(fileOf(value)) ?? value) : value)) as Task;
  }

  /** Files are named by their content: the same path is the same file, whatever the signature after it. */
  private fetch(url: string): void {
    this.fetched.set(fileOf(url), url);
    // What does not come now is fetched when it is shown.
    fetch(url, { credentials: "omit", priority: "low" }).then((response) => response.arrayBuffer()).catch(() => undefined);
  }
}

const isUrl = (value: unknown): value is string => typeof value === "string" && /^https?:\/\//.test(value);

const fileOf = (url: string): string => new URL(url).origin + new URL(url).pathname;

function urlsOf(task: Task): string[] {
  const urls: string[] = [];
  JSON.stringify(task, (name, value: unknown) => {
    if (isUrl(value) && !LEFT_FOR_LATER[task.kind].includes(name)) urls.push(value);
    return value;
  });
  return urls;
}
