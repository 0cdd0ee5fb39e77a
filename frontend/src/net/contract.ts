/** What the server says and hears. Provisional: written by hand from the plan until the generated schema is there. */

export type Stage = "object" | "pick" | "pose";
export type Unit = "m" | "pointmap";
export type Vec3 = [number, number, number];
export type Wxyz = [number, number, number, number];

export interface Intrinsics { fx: number; fy: number; cx: number; cy: number; width: number; height: number }
export interface PoseJson { rotation_wxyz: Wxyz; translation: Vec3; scale: number; unit: Unit }
export interface PhotoRef { id: number; url: string; thumbnail_url: string; width: number; height: number; name: string; attribution: string }
export interface TargetRef { id: number; label: string; taxonomy_key: string | null; mask_url: string; bbox: [number, number, number, number]; flags: string[] }
export interface PointCloudRef { url: string; num_points: number; approximate: boolean; unit: Unit }

export interface ObjectTask { kind: "object"; photo: PhotoRef; proposals: { id: number; mask_url: string; label: string }[]; taken: TargetRef[] }
export interface PickCandidate {
  id: number; mesh_url: string; preview_url: string; splat_url: string | null; num_faces: number; num_splats: number; pose: PoseJson | null;
}
export interface PickTask { kind: "pick"; photo: PhotoRef; target: TargetRef; intrinsics: Intrinsics | null; mode: "grid" | "king"; candidates: PickCandidate[] }
export interface PoseTask {
  kind: "pose"; photo: PhotoRef; target: TargetRef; intrinsics: Intrinsics; point_cloud: PointCloudRef | null;
  candidate: { id: number; mesh_url: string; preview_url: string; num_faces: number }; proposal: PoseJson | null;
}
export type Task = ObjectTask | PickTask | PoseTask;

export interface Claim {
  assignment: string; lease_token: string; expires_at: string; lease_seconds: number; stage: Stage; draft: object | null; draft_version: number; task: Task;
}
export type NoWorkReason = "empty" | "all_leased" | "not_qualified" | "paused";

export interface QueueDepth { open: number; leased: number }
export interface Project {
  id: number; slug: string; name: string; roles: string[]; num_candidates: number; stage2_mode: "grid" | "king"; lease_seconds: number; paused: boolean;
  alpha: number; taxonomy: { key: string; label: string }[]; queues: Record<Stage, QueueDepth>; artist_cases_open: number; round_number: number | null; num_images: number;
}
export interface PointMap { status: string; approximate: boolean; metric: boolean; source: string; detail: string }
export interface Image {
  id: number; uuid: string; name: string; width: number; height: number; status: string; url: string; thumbnail_url: string; attribution: string; licence: string;
  point_map: PointMap | null; num_targets: number;
}
export interface Job { id: string; kind: string; status: string; error: string | null; result: Record<string, unknown> | null }

export interface ObjectTarget { mask_png: string; label: string; taxonomy_key: string | null; flags: string[]; proposal_id: number | null }
export interface Comparison { left: number; right: number; outcome: "left" | "right" | "equal"; milliseconds: number }
export type ObjectResult = { targets: ObjectTarget[] } | { discard: { reason: string } };
export interface PickResult {
  winner: number; mode: "grid" | "king"; shape_rating: number; texture_rating: number; comparisons: Comparison[]; inspected: Record<string, number>;
}
export interface PoseResult {
  rotation_wxyz: Wxyz; translation: Vec3; scale: number; mask_iou: number; depth_residual: number | null; actions: Record<string, number>;
}
export type Result = ObjectResult | PickResult | PoseResult;

export interface ArtistCaseRow { id: number; status: string; label: string; note: string; reason: string; created_at: string; photo: PhotoRef; claimed_by: string | { name: string } | null }
export interface MeshReport { ok?: boolean; problems?: string[]; reasons?: string[]; [figure: string]: unknown }
export interface ArtistCase extends ArtistCaseRow {
  target: TargetRef; candidates: { id: number; mesh_url: string; preview_url: string }[]; report: MeshReport | null; mesh_url: string | null;
}
export interface Me { user: { id: number; username: string; name: string }; projects: { id: number; slug: string; name: string; roles: string[] }[] }
export interface ServerEvent { type: string; seq: number; id?: number | string; stage?: Stage; status?: string; [detail: string]: unknown }
