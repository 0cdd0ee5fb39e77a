/** What keeps the page true to the server: the live picture, and drafts that meet. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Project, ServerEvent } from "../src/net/contract";
import { LivePicture } from "../src/net/live";
import { saysTheSame } from "../src/net/same_draft";
import { asUnsent, keeping, keptIn, takenBack } from "../src/net/unsent";
import type { Claim } from "../src/net/contract";

const projectOf = (round_number: number | null, open: number) => ({ round_number, queues: { object: { open, leased: 0 } } }) as unknown as Project;

describe("the live picture", () => {
  let server: Project;
  let shown: Project[];
  let told: unknown[];
  let fetched: number;
  let live: LivePicture;

  beforeEach(async () => {
    vi.useFakeTimers();
    server = projectOf(1, 5);
    shown = [];
    told = [];
    fetched = 0;
    live = new LivePicture(async () => { fetched += 1; return server; }, {
      shown: (project) => shown.push(project),
      roundChanged: (number) => told.push(number),
      modelChanged: () => told.push("model"),
      unreachable: () => told.push("unreachable"),
    });
    await live.refresh();
  });

  afterEach(() => { vi.useRealTimers(); });

  const hears = async (...events: Partial<ServerEvent>[]) => {
    for (const event of events) live.apply({ seq: 1, ...event } as ServerEvent);
    await vi.advanceTimersByTimeAsync(400);
  };

  it("equals a fresh fetch after any burst of events, for one request", async () => {
    server = projectOf(1, 3);
    await hears({ type: "queue.changed", stage: "object" }, { type: "assignment.changed", id: "a", status: "LEASED" }, { type: "queue.changed", stage: "pick" });
    expect(shown.at(-1)).toBe(server);
    expect(fetched).toBe(2);
  });

  it("equals a fresh fetch after a gap, whatever was missed in it", async () => {
    server = projectOf(2, 0);
    live.refetch();
    await vi.advanceTimersByTimeAsync(400);
    expect(shown.at(-1)).toBe(server);
    expect(told).toEqual([2]);
  });

  it("tells of another round once, and of another model when it serves", async () => {
    server = projectOf(null, 5);
    await hears({ type: "round.changed", id: "1", status: "CLOSED" }, { type: "deployment.changed", id: "4", status: "STAGED" });
    await hears({ type: "queue.changed", stage: "pose" }, { type: "deployment.changed", id: "4", status: "SERVING" });
    expect(told).toEqual([null, "model"]);
  });

  it("does not ask for what it does not show", async () => {
    await hears({ type: "run.progress", id: "1", step: 1, total: 2 }, { type: "job.changed", id: "j", status: "DONE" });
    expect(fetched).toBe(1);
  });
});

describe("drafts", () => {
  it("say the same whatever the order of their names", () => {
    expect(saysTheSame({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 })).toBe(true);
    expect(saysTheSame({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
    expect(saysTheSame(null, {})).toBe(false);
  });

  it("keep an answer that was not sent and a draft of another page until somebody decides", () => {
    const unsent = { discard: { reason: "sky" } }, other = { targets: [] };
    const draft = keeping({ current: null }, { unsent, other }) as Record<string, unknown>;
    expect(keptIn(draft)).toEqual({ unsent, other });
    expect(keeping({ current: null }, { unsent: null, other: null })).toEqual({ current: null });
    expect(keptIn(asUnsent(unsent) as Record<string, unknown>).unsent).toEqual(unsent);
    expect(keptIn(null)).toEqual({ unsent: null, other: null });
  });

  it("bring an answer that was taken back with the masks of the photo's proposals", async () => {
    vi.stubGlobal("fetch", async () => new Response(new Uint8Array([1, 2, 3])));
    const claim = { task: { kind: "object", proposals: [{ id: 7, mask_url: "https://store/m.png", label: "" }] } } as unknown as Claim;
    const targets = [{ label: "mug", taxonomy_key: null, flags: [], proposal_id: 7 }];
    expect(await takenBack(claim, { taken_back: { targets } })).toEqual({ targets: [{ ...targets[0], mask_png: "AQID" }] });
    await expect(takenBack(claim, { taken_back: { targets: [{ ...targets[0], proposal_id: 8 }] } })).rejects.toThrow("not there any more");
    expect(await takenBack(claim, { targets: [] })).toBeNull();
    vi.unstubAllGlobals();
  });
});
