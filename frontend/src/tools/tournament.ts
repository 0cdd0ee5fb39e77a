/** King of the hill: the loser of each comparison makes room for the next candidate, so N candidates take N - 1 comparisons. */
import type { Comparison } from "../net/contract";

export type Outcome = Comparison["outcome"];
export type Side = "left" | "right";

export interface Tournament {
  /** Decides, with the number of a comparison, who stands on which side: chance, but the same after every reload. */
  seed: string;
  left: number;
  right: number;
  /** Which side won its place; on a draw it stays, as nobody has beaten it. */
  incumbent: Side;
  waiting: readonly number[];
  beaten: readonly number[];
  comparisons: readonly Comparison[];
  winner: number | null;
}

/** Raises RangeError for fewer than two candidates. */
export function startTournament(order: readonly number[], seed: string): Tournament {
  const [first, second, ...waiting] = order;
  if (first === undefined || second === undefined) throw new RangeError("A comparison needs two candidates.");
  return { seed, ...paired(first, second, seed, 0), waiting, beaten: [], comparisons: [], winner: null };
}

/** The tournament after a judgement. A finished one stays as it is. */
export function judge(state: Tournament, outcome: Outcome, milliseconds: number): Tournament {
  if (state.winner !== null) return state;
  const { left, right } = state;
  const comparisons = [...state.comparisons, { left, right, outcome, milliseconds: Math.round(milliseconds) }];
  const stays = outcome === "equal" ? state.incumbent : outcome;
  const [king, loser] = stays === "left" ? [left, right] : [right, left];
  const beaten = [...state.beaten, loser];
  const [next, ...waiting] = state.waiting;
  if (next === undefined) return { ...state, incumbent: stays, comparisons, beaten, winner: king };
  return { ...state, ...paired(king, next, state.seed, comparisons.length), waiting, beaten, comparisons };
}

/**
 * The tournament among those that can be shown: who cannot be shown leaves, who came late waits for a turn. It begins
 * anew when the one that won its place cannot be shown any more. The very same object when nothing changes.
 */
export function among(state: Tournament, available: readonly number[]): Tournament {
  if (available.length < 2) return state;
  const isThere = (id: number) => available.includes(id);
  const [king, challenger] = state.incumbent === "left" ? [state.left, state.right] : [state.right, state.left];
  if (!isThere(state.winner ?? king)) return startTournament(available, state.seed);
  if (state.winner !== null) return state;
  const known = [state.left, state.right, ...state.waiting, ...state.beaten];
  const waiting = [...state.waiting.filter(isThere), ...available.filter((id) => !known.includes(id))];
  if (isThere(challenger)) return waiting.join() === state.waiting.join() ? state : { ...state, waiting };
  if (state.comparisons.length === 0) return startTournament(available, state.seed);
  const [next, ...others] = waiting;
  if (next === undefined) return { ...state, waiting, winner: king };
  return { ...state, ...paired(king, next, state.seed, state.comparisons.length), waiting: others };
}

/** The tournament as these comparisons made it, each with the sides on which it was shown. */
export function replay(order: readonly number[], seed: string, comparisons: readonly Comparison[]): Tournament {
  return comparisons.reduce((state, { left, right, outcome, milliseconds }) => {
    const king = state.incumbent === "left" ? state.left : state.right;
    return judge({ ...state, left, right, incumbent: right === king ? "right" : "left" }, outcome, milliseconds);
  }, startTournament(order, seed));
}

export const numComparisons = (state: Tournament): number => state.comparisons.length + (state.winner === null ? 1 + state.waiting.length : 0);

/** Sides by chance, or the winner's side would be judged along with it. */
function paired(king: number, challenger: number, seed: string, number: number): Pick<Tournament, "left" | "right" | "incumbent"> {
  return coin(`${seed}:${number}`) ? { left: king, right: challenger, incumbent: "left" } : { left: challenger, right: king, incumbent: "right" };
}

/** FNV-1a, mixed once more, as its low bit alone would follow the last letter. */
function coin(text: string): boolean {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) & 1) === 1;
}
