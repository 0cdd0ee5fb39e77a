/** King of the hill: the loser of each comparison makes room for the next candidate, so N candidates take N - 1 comparisons. */
import type { Comparison } from "../net/contract";

export type Outcome = Comparison["outcome"];

export interface Tournament {
  left: number;
  right: number;
  /** Which side won its place; on a draw it stays, as nobody has beaten it. */
  incumbent: "left" | "right";
  waiting: readonly number[];
  beaten: readonly number[];
  comparisons: readonly Comparison[];
  winner: number | null;
}

/** Raises RangeError for fewer than two candidates. */
export function startTournament(order: readonly number[]): Tournament {
  const [left, right, ...waiting] = order;
  if (left === undefined || right === undefined) throw new RangeError("A comparison needs two candidates.");
  return { left, right, incumbent: "left", waiting, beaten: [], comparisons: [], winner: null };
}

/** The tournament after a judgement. A finished one stays as it is. */
export function judge(state: Tournament, outcome: Outcome, milliseconds: number): Tournament {
  if (state.winner !== null) return state;
  const { left, right } = state;
  const comparisons = [...state.comparisons, { left, right, outcome, milliseconds: Math.round(milliseconds) }];
  const stays = outcome === "equal" ? state.incumbent : outcome;
  const beaten = [...state.beaten, stays === "left" ? right : left];
  const [next, ...waiting] = state.waiting;
  if (next === undefined) return { ...state, incumbent: stays, comparisons, beaten, winner: stays === "left" ? left : right };
  return { ...state, left: stays === "left" ? left : next, right: stays === "right" ? right : next, incumbent: stays, waiting, beaten, comparisons };
}

export const numComparisons = (state: Tournament): number => state.comparisons.length + (state.winner === null ? 1 + state.waiting.length : 0);
