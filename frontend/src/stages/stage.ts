/** What the shell and a stage know of each other. */
import type { Config } from "../core/config";
import type { Commands } from "../core/commands";
import type { History } from "../core/history";
import type { Api } from "../net/api";
import type { Claim, Project, Result, Task } from "../net/contract";
import type { Shell } from "../ui/shell";

export interface StageHost {
  config: Config;
  project: Project;
  api: Api;
  commands: Commands;
  history: History;
  shell: Shell;
  /** The work changed and wants to be saved as a draft. */
  changed: () => void;
  /** The first real frame of the task has been drawn. */
  ready: () => void;
  submit: (result: () => Promise<Result>) => void;
  /** Any other write of the task in hand; undefined when the task ended before it was sent. */
  write: <R>(verb: string, body: object) => Promise<R | undefined>;
  /** Shows something that went wrong but does not end the task. */
  complain: (error: unknown) => void;
}

export interface StageView<T extends Task = Task> {
  load: (claim: Claim, task: T, draft: object | null) => Promise<void>;
  /** Lets go of everything that belongs to the task. */
  clear: () => void;
  /** Why it cannot be submitted yet, or null. */
  missing: () => string | null;
  /** Enter was struck. */
  submit: () => void;
  draft: () => Promise<object>;
  /** How the person looked at what was shown; sent when the task is handed over. */
  looked?: () => object;
  /** Puts an answer of this person to this task back into the hands. */
  takeUp: (result: Result) => Promise<void>;
  hint: () => string;
  /** For browser tests. */
  testHandle: () => Record<string, unknown>;
}
