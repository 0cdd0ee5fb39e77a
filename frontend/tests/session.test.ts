/** One person's work against a server that answers when the test says so: what is sent, in which order, and what never. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Api } from "../src/net/api";
import type { Claim, Ended, PickResult } from "../src/net/contract";
import { Session } from "../src/net/session";

interface Sent { method: string; path: string; body: Record<string, unknown>; answer: (status: number, body?: object, headers?: Record<string, string>) => void; isAborted: () => boolean }

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
        answer: (status, body, headers = {}) => resolve(new Response(body ? JSON.stringify(body) : null, { status, headers })),
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
  stage: "pick", draft: null, draft_version: 0, question: null, task: { kind: "pick" } as Claim["task"], ...more,
});

const passes = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

describe("a session", () => {
  let line: Line;
  let session: Session;
  let refused: unknown[];
  let over: (answer: Ended | null) => Promise<void>;

  beforeEach(() => {
    vi.useFakeTimers();
    line = new Line();
    refused = [];
    over = async () => undefined;
    const nothing = () => undefined;
    vi.stubGlobal("fetch", line.fetch);
    vi.stubGlobal("window", globalThis);
    vi.stubGlobal("addEventListener", nothing);
    vi.stubGlobal("removeEventListener", nothing);
    vi.stubGlobal("document", { visibilityState: "visible", addEventListener: nothing, removeEventListener: nothing });
    session = new Session(new Api("/api", "csrf"), 1, "pick", { task: async () => undefined, over: (answer) => over(answer), refused: (error) => refused.push(error) });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  /** The session works on the claim, with ``next`` leased ahead if there is one; what was sent for that is forgotten. */
  const begins = async (claim: Claim, next: Claim | null = null) => {
    void session.next();
    await passes();
    line.last("claims").answer(200, claim);
    await passes();
    expect(session.state.get().phase).toBe("working");
    expect(line.last("claims").body).toEqual({ stage: "pick", prefetch: true });
    next ? line.last("claims").answer(200, next) : line.last("claims").answer(204);
    await passes();
    line.sent.length = 0;
  };

  it("says of a task that it hands over how long it took and what was looked at", async () => {
    await begins(claimOf("one"));
    await passes(4000);
    void session.escalate("none_good", "no handle", { inspected: { 3: 900 } });
    await passes();
    expect(line.last("escalate").body).toEqual({ lease_token: "token-one", reason: "none_good", note: "no handle", seconds: 4, inspected: { 3: 900 } });
  });

  it("lets a draft that is under way arrive before the result", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    await passes(2000);
    void session.submit(async () => PICK);
    await passes();
    expect(line.verbs).toEqual(["draft"]);
    line.last("draft").answer(200, { draft_version: 1 });
    await passes();
    expect(line.verbs).toEqual(["draft", "submit"]);
  });

  it("gives up a draft that does not come through, rather than the result", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    await passes(2000);
    void session.submit(async () => PICK);
    await passes(1500);
    expect(line.last("draft").isAborted()).toBe(true);
    expect(line.verbs).toEqual(["draft", "submit"]);
  });

  it("sends no draft and no heartbeat once a result has begun", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 1 }));
    void session.submit(async () => PICK);
    await passes(LEASE_S * 500);
    expect(line.verbs).toEqual(["submit"]);
    line.last("submit").answer(200, {});
    await passes(10_000);
    expect(line.verbs).toEqual(["submit", "claims"]);
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
    expect(line.verbs).toEqual(["submit", "claims", "draft"]);
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
    expect(line.verbs).toEqual(["submit", "claims", "claims"]);
    expect(line.last("claims").body).toMatchObject({ prefetch: true });
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
    expect(line.sent.map(({ body: { prefetch } }) => prefetch ?? false)).toEqual([false, false, true]);
  });

  it("keeps the task ahead leased while the person works on this one", async () => {
    await begins(claimOf("a"), claimOf("b"));
    await passes(60_000);
    expect(line.sent.map(({ path, body }) => [path, body["lease_token"]])).toEqual([
      ["/assignments/a/heartbeat", "token-a"],
      ["/assignments/b/heartbeat", "token-b"],
    ]);
  });

  it("leaves the lease of the task ahead to the next claim, and beats for it no more", async () => {
    await begins(claimOf("a"), claimOf("b"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(200, {});
    await passes(120_000);
    expect(line.verbs).toEqual(["submit", "claims"]);
  });

  it("gives the task ahead back when the lease is lost, so that the same task can be taken again", async () => {
    await begins(claimOf("a"), claimOf("b"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(409, { code: "lease_lost" });
    await passes();
    expect(session.state.get().phase).toBe("lost");
    expect(line.last("release")).toMatchObject({ path: "/assignments/b/release", body: { lease_token: "token-b" } });
    void session.next();
    await passes();
    expect(line.verbs).toEqual(["submit", "release"]);
    line.last("release").answer(200, {});
    await passes();
    expect(line.last("claims").body).toEqual({ stage: "pick", again: "a" });
  });

  it("takes the last answer back, in order after the draft of the task in hand, and works on what comes", async () => {
    await begins(claimOf("a"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(200, {});
    await passes();
    expect(session.state.get().lastAnswer).toMatchObject({ assignment: "a", verb: "submit" });
    line.last("claims").answer(200, claimOf("b"));
    await passes();
    line.last("claims").answer(204);
    await passes();
    line.sent.length = 0;
    session.changed(async () => ({ step: 7 }));
    void session.undo();
    await passes();
    expect(line.verbs).toEqual(["draft"]);
    line.last("draft").answer(200, { draft_version: 1 });
    await passes();
    expect(line.last("undo").path).toBe("/assignments/a/undo");
    line.last("undo").answer(200, claimOf("a2", { draft: { taken_back: PICK } }));
    await passes();
    expect(session.claim?.assignment).toBe("a2");
    expect(session.state.get()).toMatchObject({ phase: "working", lastAnswer: null });
    expect(line.verbs).toEqual(["draft", "undo", "claims"]);
  });

  it("goes on with the task in hand when an answer must stand", async () => {
    await begins(claimOf("b"));
    void session.undo("a");
    await passes();
    line.last("undo").answer(409, { code: "undo_built_on", detail: "Somebody has begun to place the shape." });
    await passes();
    expect(refused).toHaveLength(1);
    expect(session.claim?.assignment).toBe("b");
    expect(session.state.get().phase).toBe("working");
    session.changed(async () => ({ step: 1 }));
    await passes(2000);
    expect(line.verbs).toEqual(["undo", "claims", "draft"]);
  });

  it("lets go of both tasks for a break, sends nothing during it, and asks for the same task afterwards", async () => {
    await begins(claimOf("a"), claimOf("b"));
    void session.pause();
    await passes();
    line.last("release").answer(200, {});
    await passes();
    line.last("release").answer(200, {});
    await passes();
    expect(line.sent.map(({ path }) => path)).toEqual(["/assignments/b/release", "/assignments/a/release"]);
    expect(session.state.get().phase).toBe("paused");
    await passes(3_600_000);
    expect(line.verbs).toEqual(["release", "release"]);
    void session.resume();
    await passes();
    expect(line.last("claims").body).toEqual({ stage: "pick", again: "a" });
  });

  it("saves and stops when another tab goes on, and leaves the lease to that tab", async () => {
    await begins(claimOf("a"));
    session.changed(async () => ({ step: 3 }));
    void session.yield();
    await passes();
    expect(line.last("draft").body).toMatchObject({ draft: { step: 3 } });
    line.last("draft").answer(200, { draft_version: 1 });
    await passes(60_000);
    expect(line.verbs).toEqual(["draft"]);
    expect(session.state.get().phase).toBe("elsewhere");
  });

  it.each([401, 403])("stops with everything kept when the server does not know the person any more (%s)", async (status) => {
    await begins(claimOf("a"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(status, { code: status === 401 ? "not_authenticated" : "csrf_failed" });
    await passes(60_000);
    expect(session.state.get().phase).toBe("loggedout");
    expect(line.verbs).toEqual(["submit"]);
  });

  it("shows the next task from the files that were fetched ahead, whatever their new signatures", async () => {
    const photo = (signature: number) => ({ kind: "pick", photo: { url: `https://store/aa/photo.jpg?signature=${signature}`, thumbnail_url: `https://store/aa/thumb.jpg?signature=${signature}` } }) as Claim["task"];
    await begins(claimOf("a"), claimOf("b", { task: photo(1) }));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(200, {});
    await passes();
    line.last("claims").answer(200, claimOf("b", { task: photo(2) }));
    await passes();
    expect(session.claim?.task).toEqual({ kind: "pick", photo: { url: "https://store/aa/photo.jpg?signature=1", thumbnail_url: "https://store/aa/thumb.jpg?signature=2" } });
  });

  it("asks again for work by itself, but not while it is the person's turn to read or to be examined", async () => {
    for (const reason of ["guidelines_changed", "quiz_needed"]) {
      void session.next();
      await passes();
      line.last("claims").answer(204, undefined, { "X-Candid8-Reason": reason, "Retry-After": "5" });
      await passes();
      expect(session.state.get()).toMatchObject({ phase: "empty", emptyReason: reason });
      line.sent.length = 0;
      session.wake();
      await passes(60_000);
      expect(line.verbs).toEqual([]);
    }
    void session.next();
    await passes();
    line.last("claims").answer(204, undefined, { "X-Candid8-Reason": "empty", "Retry-After": "5" });
    await passes();
    line.sent.length = 0;
    await passes(5000);
    expect(line.verbs).toEqual(["claims"]);
  });

  it("takes questions of the quiz when it is told to, and the next one only after the mark was seen", async () => {
    const seen: (Ended | null)[] = [];
    let goOn = () => undefined as void;
    over = (answer) => new Promise((resolve) => { seen.push(answer); goOn = resolve; });
    session.takeQuestions(true);
    await begins(claimOf("q"));
    void session.submit(async () => PICK);
    await passes();
    line.last("submit").answer(200, { assignment: "q", status: "SUBMITTED", quiz: { is_right: true } });
    await passes(10_000);
    expect(seen).toMatchObject([{ quiz: { is_right: true } }]);
    expect(line.verbs).toEqual(["submit"]);
    goOn();
    await passes();
    expect(line.last("claims").body).toEqual({ stage: "pick", quiz: true });
  });
});
