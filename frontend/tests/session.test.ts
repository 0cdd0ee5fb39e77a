/** One person's work against a server that answers when the test says so: what is sent, in which order, and what never. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Api } from "../src/net/api";
import type { Claim, PickResult } from "../src/net/contract";
import { Session } from "../src/net/session";

interface Sent { method: string; path: string; body: Record<string, unknown>; answer: (status: number, body?: object) => void; isAborted: () => boolean }

/** Stands where fetch stands: keeps each request until the test answers it. */
class Line {
  readonly sent: Sent[] = [];

  fetch = (url: string, init: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      this.sent.push({
        method: String(init.method),
        path: url.replace("/api", ""),
        body: JSON.parse(String(init.body ?? "{}")) as Record<string, unknown>,
        answer: (status, body) => resolve(new Response(body ? JSON.stringify(body) : null, { status })),
        isAborted: () => init.signal?.aborted ?? false,
      });
    });

  get verbs(): string[] {
    return this.sent.map(({ path }) => path.split("/").at(-1) ?? "");
  }

  last(verb: string): Sent {
    const found = this.sent.findLast(({ path }) => path.endsWith(`/${verb}`));
    if (!found) throw new Error(`nothing was sent to ${verb}, only to ${this.verbs.join(", ")}`);
    return found;
  }
}

const LEASE_S = 300;
const PICK: PickResult = { winner: 3, mode: "grid", shape_rating: 4, texture_rating: 4, comparisons: [], inspected: {} };

const claimOf = (assignment: string, more: Partial<Claim> = {}): Claim => ({
  assignment, lease_token: `token-${assignment}`, expires_at: new Date(Date.now() + LEASE_S * 1000).toISOString(), lease_seconds: LEASE_S,
  stage: "pick", draft: null, draft_version: 0, task: { kind: "pick" } as Claim["task"], ...more,
});

const passes = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

describe("a session", () => {
  let line: Line;
  let session: Session;
  let refused: unknown[];

  beforeEach(() => {
    vi.useFakeTimers();
    line = new Line();
    refused = [];
    const nothing = () => undefined;
    vi.stubGlobal("fetch", line.fetch);
    vi.stubGlobal("window", globalThis);
    vi.stubGlobal("addEventListener", nothing);
    vi.stubGlobal("removeEventListener", nothing);
    vi.stubGlobal("document", { visibilityState: "visible", addEventListener: nothing, removeEventListener: nothing });
    session = new Session(new Api("/api", "csrf"), 1, "pick", { task: async () => undefined, over: nothing, refused: (error) => refused.push(error) });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const begins = async (claim: Claim) => {
    void session.next();
    await passes();
    line.last("claims").answer(200, claim);
    await passes();
    expect(session.state.get().phase).toBe("working");
  };

  it("lets a draft that is under way arrive before the result", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    await passes(2000);
    void session.submit(async () => PICK);
    await passes();
    expect(line.verbs).toEqual(["claims", "draft"]);
    line.last("draft").answer(200, { draft_version: 1 });
    await passes();
    expect(line.verbs).toEqual(["claims", "draft", "submit"]);
  });

  it("gives up a draft that does not come through, rather than the result", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    await passes(2000);
    void session.submit(async () => PICK);
    await passes(1500);
    expect(line.last("draft").isAborted()).toBe(true);
    expect(line.verbs).toEqual(["claims", "draft", "submit"]);
  });

  it("sends no draft and no heartbeat once a result has begun", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    void session.submit(async () => PICK);
    await passes(LEASE_S * 500);
    expect(line.verbs).toEqual(["claims", "submit"]);
    line.last("submit").answer(200, {});
    await passes(10_000);
    expect(line.verbs).toEqual(["claims", "submit", "claims"]);
  });

  it("saves drafts again after a result was refused", async () => {
    await begins(claimOf("a"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(400, { code: "bad_request", detail: "The winner must be one of the candidates shown." });
    await passes();
    expect(session.state.get().phase).toBe("working");
    expect(refused).toHaveLength(1);
    session.changed(async () => ({ step: 2 }));
    await passes(2000);
    expect(line.verbs).toEqual(["claims", "submit", "draft"]);
  });

  it("never sends one task's result to the next task", async () => {
    await begins(claimOf("a"));
    void session.submit(async () => PICK);
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(200, {});
    await passes();
    line.last("claims").answer(200, claimOf("b"));
    await passes(1000);
    expect(line.verbs).toEqual(["claims", "submit", "claims"]);
    expect(session.state.get().phase).toBe("working");
  });

  it("keeps the next task when news of the one before come late", async () => {
    await begins(claimOf("a"));
    await passes(60_000);
    const beat = line.last("heartbeat");
    void session.submit(async () => PICK);
    await passes(1500);
    line.last("submit").answer(200, {});
    await passes();
    line.last("claims").answer(200, claimOf("b"));
    await passes();
    beat.answer(409, { code: "lease_lost" });
    await passes();
    expect(session.claim?.assignment).toBe("b");
    expect(session.state.get().phase).toBe("working");
  });

  it("takes one task however often it is woken", async () => {
    void session.next();
    await passes();
    line.last("claims").answer(204);
    await passes();
    session.wake();
    session.wake();
    await passes();
    line.last("claims").answer(200, claimOf("a"));
    await passes();
    expect(line.verbs).toEqual(["claims", "claims"]);
  });
});
