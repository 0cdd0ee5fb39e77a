/** An answer that came too late: the server kept it in the draft when its lease had run out, until the person decides. */
import type { Claim, Result } from "./contract";

export interface Escalation { escalate: { reason: string; note: string } }

export type Unsent = Result | Escalation;

const KEY = "unsent_result";

/** What was kept of an answer to this task, if anything. */
export function unsentOf(claim: Claim): Unsent | null {
  return (claim.draft?.[KEY] as Unsent | undefined) ?? null;
}

export const isEscalation = (unsent: Unsent): unsent is Escalation => "escalate" in unsent;

/** A draft that goes on keeping the answer: saving one must not lose it. */
export const keeping = (draft: object, unsent: Unsent | null): object => (unsent ? { ...draft, [KEY]: unsent } : draft);
