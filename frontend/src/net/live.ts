/** The project at a glance, kept true: events say that something changed, a fetch says what it is now. */
import type { Project, ServerEvent } from "./contract";

/** Everything that the page shows of the project hangs on these; the server promises one of them for every change (tests/property/test_live_picture.py). */
const CONCERNS: ReadonlySet<ServerEvent["type"]> = new Set(["queue.changed", "assignment.changed", "round.changed", "deployment.changed", "image.changed", "artist_case.changed", "target.changed"]);

const GATHER_MS = 300;

export interface LiveListener {
  shown: (project: Project) => void;
  /** Another round than the one that the page knew; null when none is open. */
  roundChanged: (number: number | null) => void;
  /** Candidates come from another model from now on. */
  modelChanged: () => void;
  /** Even the fetch does not get through. */
  unreachable: () => void;
}

export class LivePicture {
  private round: number | null | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly fetchProject: () => Promise<Project>, private readonly listener: LiveListener) {}

  /** Fetches now; raises as the fetch does. */
  async refresh(): Promise<Project> {
    const project = await this.fetchProject();
    if (this.round !== undefined && this.round !== project.round_number) this.listener.roundChanged(project.round_number);
    this.round = project.round_number;
    this.listener.shown(project);
    return project;
  }

  /** After a gap nobody knows what was missed: all of it is fetched. */
  refetch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.refresh().catch(() => this.listener.unreachable()), GATHER_MS);
  }

  apply(event: ServerEvent): void {
    if (event.type === "deployment.changed" && event.status === "SERVING") this.listener.modelChanged();
    if (CONCERNS.has(event.type)) this.refetch();
  }
}
