/** What a draft keeps besides the work: an answer that came too late, one that was taken back, and a draft of another page. */
import { t } from "../core/language";
import type { Claim, ObjectResult, ObjectTarget, Result } from "./contract";

export interface Escalation { escalate: { reason: string; note: string } }

export type Unsent = Result | Escalation;

/** What goes on being kept until the person has decided about it. */
export interface Kept { unsent: Unsent | null; other: object | null }

const UNSENT = "unsent_result", OTHER = "other_draft", TAKEN_BACK = "taken_back";

type Draft = Record<string, unknown> | null | undefined;

/** What was kept of an answer to this task that could not be sent, and of another page's draft. */
export function keptIn(draft: Draft): Kept {
  return { unsent: (draft?.[UNSENT] as Unsent | undefined) ?? null, other: (draft?.[OTHER] as object | undefined) ?? null };
}

export const isEscalation = (unsent: Unsent): unsent is Escalation => "escalate" in unsent;

/** A draft that goes on keeping all that: saving one must not lose it. */
export const keeping = (draft: object, { unsent, other }: Kept): object => ({ ...draft, ...(unsent ? { [UNSENT]: unsent } : {}), ...(other ? { [OTHER]: other } : {}) });

/** The draft's addition for an answer that could not be sent. */
export const asUnsent = (unsent: Unsent): object => ({ [UNSENT]: unsent });

/** The answer that the person took back, to be put onto the screen again; its masks are those of the photo's proposals. */
export async function takenBack(claim: Claim, draft: Draft): Promise<Result | null> {
  const answer = draft?.[TAKEN_BACK] as Result | undefined;
  if (!answer) return null;
  const { targets } = answer as ObjectResult;
  const { task } = claim;
  if (!targets || task.kind !== "object") return answer;
  const urls = new Map(task.proposals.map(({ id, mask_url }) => [id, mask_url]));
  return { targets: await Promise.all(targets.map(async (target): Promise<ObjectTarget> => ({ ...target, mask_png: await base64Of(urls.get(target.proposal_id ?? -1)) }))) };
}

async function base64Of(url: string | undefined): Promise<string> {
  if (!url) throw new Error(t("A mask of the answer that was taken back is not there any more."));
  const response = await fetch(url, { credentials: "omit" });
  if (!response.ok) throw new Error(t("A mask could not be loaded (HTTP {status}).", { status: response.status }));
  const bytes = new Uint8Array(await response.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
