/** Asks the server to snap a pose to the scene's points, and waits for what it finds. */
import { t } from "../core/language";
import { Problem } from "../net/api";
import type { Job, JobStarted, PoseJson, PoseSnap } from "../net/contract";
import type { Line } from "./pose_review";
import type { StageHost } from "./stage";

const POLL_MS = 200;
/** The first snap of a worker loads Open3D; on a busy machine that alone takes many seconds. */
const TIMEOUT_MS = 90_000;

/** undefined when the task ended meanwhile or ``isWanted`` says no; raises Problem when it was refused or has failed. */
export async function snapped(host: StageHost, pose: PoseJson, withScale: boolean, isWanted: () => boolean): Promise<PoseSnap | undefined> {
  const { rotation_wxyz, translation, scale } = pose;
  const started = await host.write<JobStarted>("snap", { rotation_wxyz, translation, scale, with_scale: withScale });
  const start = performance.now();
  while (started && isWanted()) {
    const { status, snap, error } = await host.api.get<Job>(`/jobs/${started.job}`);
    if (status === "DONE" && snap) return snap;
    if (status === "FAILED") throw new Problem(422, "snap_failed", t("Snapping has failed."), error ?? t("Place the shape by hand."));
    if (performance.now() - start > TIMEOUT_MS) throw new Problem(504, "snap_slow", t("Snapping takes too long."), t("Snapping takes too long. Place the shape by hand, or try again."));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return undefined;
}

export function snapLines({ before, after }: PoseSnap, length: (v: number) => string): Line[] {
  const depth = (v: number | null) => (v === null ? "–" : length(v));
  return [
    { name: t("Mask IoU"), before: before.mask_iou.toFixed(3), after: after.mask_iou.toFixed(3), isWorse: after.mask_iou < before.mask_iou - 1e-3 },
    { name: t("Depth residual"), before: depth(before.depth_residual), after: depth(after.depth_residual), isWorse: (after.depth_residual ?? Infinity) > (before.depth_residual ?? Infinity) },
    { name: t("Points on the shape"), before: percent(before.fitness), after: percent(after.fitness), isWorse: after.fitness < before.fitness - 1e-3 },
  ];
}

const percent = (part: number): string => `${Math.round(100 * part)} %`;
