/** Tells when a pose has got worse than what the model proposed. Pure. */
import { t } from "../core/language";
import type { Measure } from "../viewer/photo_overlay";

const IOU_LOSS = 0.02, RESIDUAL_GROWTH = 1.1;

/** What has got worse since the proposal, in words; null when nothing has. */
export function worseThanProposal(now: Measure | null, first: Measure | null, length: (v: number) => string): string | null {
  if (!now || !first) return null;
  const worse: string[] = [];
  if (now.iou < first.iou - IOU_LOSS) worse.push(t("the mask overlap fell from {before} to {after}", { before: first.iou.toFixed(2), after: now.iou.toFixed(2) }));
  if (now.residual !== null && first.residual !== null && now.residual > first.residual * RESIDUAL_GROWTH) {
    worse.push(t("the distance to the points grew from {before} to {after}", { before: length(first.residual), after: length(now.residual) }));
  }
  return worse.length ? t("Worse than the proposal: {what}.", { what: worse.join(t(" and ")) }) : null;
}
