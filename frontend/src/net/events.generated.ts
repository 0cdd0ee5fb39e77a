/** What the server says over the WebSocket. Written by `manage.py write_event_types`; do not edit. */

/** The first message of a connection. */
export interface Hello {
  type: "hello";
  seq: number;
}

/** The answer to the page's ``{"type": "ping"}``. */
export interface Pong {
  type: "pong";
  seq: number;
}

/** A row has a new status; ``id`` is its uuid where it has one (assignments, images, jobs), else its number. */
export interface RowChanged {
  type: "image.changed" | "point_map.changed" | "target.changed" | "batch.changed" | "batch_part.changed" | "task.changed" | "assignment.changed" | "artist_case.changed" | "round.changed" | "dataset.changed" | "run.changed" | "checkpoint.changed" | "job.changed" | "guideline.changed" | "quiz_attempt.changed" | "standing.changed" | "review.changed" | "arena.changed" | "arena_match.changed";
  seq: number;
  id: string;
  status: string;
}

/** Work of a stage came or went. */
export interface QueueChanged {
  type: "queue.changed";
  seq: number;
  stage: "object" | "pick" | "pose";
}

/** How far a training run is. */
export interface RunProgress {
  type: "run.progress";
  seq: number;
  id: string;
  step: number;
  total: number;
}

/** What serves has changed; the generation is left out where only the row's status is known. */
export interface DeploymentChanged {
  type: "deployment.changed";
  seq: number;
  id: string;
  status: string;
  generation?: number;
}

export type ServerMessage = Hello | Pong | RowChanged | QueueChanged | RunProgress | DeploymentChanged;
