/** King of the hill, how a person's attention is counted, and the anchors of the ratings. */
import { describe, expect, it } from "vitest";
import { Attention } from "../src/tools/attention";
import { anchorsOfGuidelines, defaultAnchors } from "../src/tools/rating_anchors";
import { among, judge, numComparisons, replay, startTournament } from "../src/tools/tournament";

describe("king of the hill", () => {
  const start = (order: readonly number[]) => startTournament(order, "somebody's task");

  it("crowns the best after N - 1 comparisons, whatever the order and the sides", () => {
    for (const order of [[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1], [3, 8, 1, 6, 2, 7, 4, 5]]) {
      let state = start(order);
      expect(numComparisons(state)).toBe(7);
      while (state.winner === null) state = judge(state, state.left > state.right ? "left" : "right", 10);
      expect(state.winner).toBe(8);
      expect(state.comparisons).toHaveLength(7);
    }
  });

  it("logs the pair as it stood, and puts the next one beside the winner", () => {
    const first = start([1, 2, 3]);
    const state = judge(first, "right", 1234.6);
    expect(state.comparisons[0]).toEqual({ left: first.left, right: first.right, outcome: "right", milliseconds: 1235 });
    expect([state.left, state.right].sort()).toEqual([first.right, 3].sort());
    expect(state[state.incumbent]).toBe(first.right);
  });

  it("keeps the one that came first on a draw and logs the draw", () => {
    let state = judge(start([1, 2, 3]), "right", 0);
    const king = state[state.incumbent];
    state = judge(state, "equal", 0);
    expect(state.winner).toBe(king);
    expect(state.comparisons.map((c) => c.outcome)).toEqual(["right", "equal"]);
    expect(judge(state, "left", 0)).toBe(state);
  });

  it("draws the sides by chance, but the same ones for the same task", () => {
    const kings = Array.from({ length: 400 }, (_, i) => startTournament([1, 2], `task ${i}`).incumbent);
    const onLeft = kings.filter((side) => side === "left").length;
    expect(onLeft).toBeGreaterThan(150);
    expect(onLeft).toBeLessThan(250);
    let state = startTournament(Array.from({ length: 200 }, (_, i) => i), "one long task");
    const stood: string[] = [];
    while (state.winner === null) {
      stood.push(state.incumbent);
      state = judge(state, state.incumbent, 1);
    }
    expect(stood.filter((side) => side === "left").length).toBeGreaterThan(70);
    expect(stood.filter((side) => side === "right").length).toBeGreaterThan(70);
    expect(startTournament([1, 2], "task 7")).toEqual(startTournament([1, 2], "task 7"));
  });

  it("comes back from its comparisons alone", () => {
    let state = start([5, 3, 8, 1, 9]);
    for (const outcome of ["left", "equal", "right"] as const) state = judge(state, outcome, 5);
    expect(replay([5, 3, 8, 1, 9], state.seed, state.comparisons)).toEqual(state);
  });

  it("goes on without those that cannot be shown, and takes them in when they can", () => {
    const state = start([1, 2, 3, 4]);
    expect(among(state, [1, 2, 3, 4])).toBe(state);
    const without = among(state, [1, 2, 4]);
    expect([without.waiting, numComparisons(without)]).toEqual([[4], 2]);
    expect(among(without, [1, 2, 3, 4]).waiting).toEqual([4, 3]);
    expect(among(state, [3, 4]).comparisons).toEqual([]);
    expect([among(state, [3, 4]).left, among(state, [3, 4]).right].sort()).toEqual([3, 4]);
    expect(among(state, [3])).toBe(state);
  });

  it("replaces a challenger that is lost, and begins anew without its winner", () => {
    const state = judge(start([1, 2, 3, 4]), "left", 5);
    const king = state[state.incumbent], challenger = king === state.left ? state.right : state.left;
    const others = [1, 2, 3, 4].filter((id) => id !== challenger);
    const replaced = among(state, others);
    expect([replaced.left, replaced.right].sort()).toEqual([king, 4].sort());
    expect(replaced.comparisons).toEqual(state.comparisons);
    expect(among(state, [1, 2, 3, 4].filter((id) => id !== king)).comparisons).toEqual([]);
    const last = judge(judge(start([1, 2, 3]), "left", 5), "left", 5);
    expect(among(last, [1, 2, 3])).toBe(last);
  });

  it("refuses a single candidate", () => expect(() => start([1])).toThrow(RangeError));
});

describe("attention", () => {
  const clock = () => {
    const at = { ms: 0 };
    return { at, pass: (ms: number) => { at.ms += ms; } };
  };
  const looking = { candidates: [4], large: null, look: "colour", isPhotoCamera: false };

  it("adds up what is in view, under each look and from the photo's camera", () => {
    const { at, pass } = clock();
    const attention = new Attention({}, {}, () => at.ms);
    attention.look(looking);
    pass(1000);
    attention.look({ candidates: [4, 7], large: 7, look: "clay", isPhotoCamera: true });
    pass(500);
    attention.look(null);
    pass(9000);
    expect(attention.report()).toEqual({ dwell: { 4: 1500, 7: 500 }, orbits: {}, orbits_of_all: 0, looks: { colour: 1000, clay: 500 }, photo_camera: 500, flickers: 0 });
    expect(attention.inspected()).toEqual({ 7: 500 });
  });

  it("counts nothing while the page is out of sight", () => {
    const { at, pass } = clock();
    const attention = new Attention({}, {}, () => at.ms);
    attention.look(looking);
    pass(100);
    attention.setSeen(false);
    pass(60_000);
    attention.setSeen(true);
    pass(100);
    expect(attention.report().dwell).toEqual({ 4: 200 });
  });

  it("takes turns that follow at once as one, and knows over what they were made", () => {
    const { at, pass } = clock();
    const attention = new Attention({}, {}, () => at.ms);
    for (const over of [[4], [4], [4]]) { attention.turned(over); pass(100); }
    pass(5000);
    attention.turned([4, 7]);
    pass(5000);
    attention.turned([]);
    expect(attention.report()).toMatchObject({ orbits: { 4: 2, 7: 1 }, orbits_of_all: 1 });
  });

  it("goes on from a draft", () => {
    const { at, pass } = clock();
    const first = new Attention({}, {}, () => at.ms);
    first.look({ ...looking, large: 4 });
    first.flickered();
    pass(300);
    const again = new Attention(first.report(), first.inspected(), () => at.ms);
    again.look({ ...looking, large: 4 });
    pass(200);
    expect([again.report().dwell, again.inspected(), again.report().flickers]).toEqual([{ 4: 500 }, { 4: 500 }, 1]);
  });
});

it("every mark of both ratings has a name and a sentence of its own", () => {
  const anchors = defaultAnchors();
  for (const aspect of ["shape", "texture"]) expect(anchors.filter((anchor) => anchor.aspect === aspect).map(({ value }) => value)).toEqual([1, 2, 3, 4, 5]);
  expect(new Set(anchors.map(({ text }) => text)).size).toBe(10);
  expect(anchors.every(({ name, text }) => name.length > 2 && text.length > 20)).toBe(true);
});

it("a project's guidelines say what a mark means, with a shape; the other marks keep the general words", () => {
  const anchors = defaultAnchors();
  const example = (id: number, verdict: "good" | "bad", caption: string) => ({ id, verdict, caption, mesh_url: `m${id}`, preview_url: `p${id}`, aspect: "shape" as const, value: 4 });
  const told = anchorsOfGuidelines(anchors, [example(1, "bad", "a handle that is bent"), example(2, "good", "only the handle is thin")]);
  const four = told.find(({ aspect, value }) => aspect === "shape" && value === 4);
  expect([four?.text, four?.example?.id, four?.name]).toEqual(["only the handle is thin", 2, "good"]);
  expect(told.filter(({ example: shown }) => shown).length).toBe(1);
  expect(told.find(({ aspect, value }) => aspect === "shape" && value === 5)).toEqual(anchors.find(({ aspect, value }) => aspect === "shape" && value === 5));
});
