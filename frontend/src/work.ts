/** Entry of the annotator's page: one shell, and the stage that the address names. */
import { Commands, bindKeys } from "./core/commands";
import { pageUrl, readConfig } from "./core/config";
import type { Config } from "./core/config";
import { History } from "./core/history";
import { t } from "./core/language";
import { speakIn } from "./core/speaking";
import { Api, failureText } from "./net/api";
import type { Claim, MyWork, PastTask, Project, Stage } from "./net/contract";
import { LivePicture } from "./net/live";
import { Session } from "./net/session";
import { SoleTab } from "./net/sole_tab";
import { ProjectSocket, socketUrl } from "./net/socket";
import { isEscalation, keeping, keptIn, takenBack } from "./net/unsent";
import type { Kept } from "./net/unsent";
import type { StageHost, StageView } from "./stages/stage";
import { Guidance } from "./guidance";
import { ask, toast } from "./ui/dialogs";
import { showKeys } from "./ui/keys_sheet";
import { paceText, showMyWork } from "./ui/my_work";
import { PersonalSettings } from "./ui/settings";
import { Shell } from "./ui/shell";
import { restoreTheme } from "./ui/theme";

/** Which scope lies in which; those not named lie in the shell. Keys of two commands may be the same if they never meet. */
const WITHIN = { polygon: "object", grid: "pick", king: "pick", inspect: "pick", rating: "pick", review: "pose", pairs: "pose" };

const scopeNames = (): Record<string, string> => ({
  shell: t("Everywhere"), gate: t("Before the work"), object: t("Marking an object"), polygon: t("Drawing a polygon"), pick: t("Picking"), grid: t("Grid"),
  king: t("Comparing two"), inspect: t("Looking at one"), rating: t("Rating"), pose: t("Placing"), review: t("Before and after"), pairs: t("Point pairs"),
});

/** A mark of the browser's own performance timeline at each submit, and a measure up to the next scene that can be used. */
const SUBMITTED = "candid8:submit", INTERACTIVE = "candid8:submit-to-interactive";

const createStage: Record<Stage, (host: StageHost) => Promise<StageView>> = {
  object: async (host) => (await import("./stages/object")).createObjectStage(host) as StageView,
  pick: async (host) => (await import("./stages/pick")).createPickStage(host) as StageView,
  pose: async (host) => (await import("./stages/pose")).createPoseStage(host) as StageView,
};

const NOTHING_KEPT: Kept = { unsent: null, other: null };

async function start(root: HTMLElement, config: Config): Promise<void> {
  await speakIn(config.language);
  const stage = config.stage ?? "object";
  const api = new Api(config.apiBase, config.csrfToken);
  const commands = new Commands(WITHIN);
  const history = new History();
  const shell = new Shell(root, config, stage, commands);
  let view: StageView | null = null;
  let kept: Kept = NOTHING_KEPT;
  let work: MyWork | null = null;

  const session = new Session(api, config.project.id, stage, {
    task: async (claim, { draft, other }) => {
      guidance.begins(claim);
      kept = keptIn(draft as Record<string, unknown> | null);
      if (other) kept = { ...kept, other };
      shell.withdrawOffer();
      try {
        const back = await takenBack(claim, draft as Record<string, unknown> | null);
        await view?.load(claim, claim.task, back ? null : draft);
        if (back) await view?.takeUp(back);
      } catch (error) {
        view?.clear();
        throw error;
      }
      root.dataset.task = claim.assignment;
      offerKept();
    },
    over: async (answer) => {
      kept = NOTHING_KEPT;
      shell.withdrawOffer();
      view?.clear();
      history.clear();
      root.dataset.ready = "0";
      delete root.dataset.task;
      await guidance.ends(answer);
    },
    refused: (error) => toast(root, failureText(error), "error"),
    answered: ({ verb, seconds }) => {
      if (verb === "submit") countIn(seconds);
      const said = verb === "skip" ? t("Skipped.") : verb === "escalate" ? t("Handed over.") : t("Sent.");
      const key = commands.keyLabel("undo-answer");
      const withdraw = toast(root, said, "fresh", { label: t("Take it back"), ...(key ? { title: key } : {}), take: () => { withdraw(); void session.undo(); } });
    },
    conflict: (other) => {
      kept = { ...kept, other };
      offerKept();
    },
  });
  const guidance = new Guidance(config, stage, api, commands, shell, session);
  shell.screenFor = (reason) => guidance.screenFor(reason);
  const isIn = (...phases: string[]) => phases.includes(session.state.get().phase);
  const isWorking = () => isIn("working");
  const skip = async () => {
    const answer = await ask(root, {
      title: t("Skip this task?"), action: t("Skip"), noteLabel: undefined,
      reasons: [["unsure", t("I am not sure")], ["bad_photo", t("The photo is no good")], ["technical", t("Something on the screen is broken")]],
    });
    if (answer) await session.skip(answer.reason);
  };
  const handOver = ({ reason, note }: { reason: string; note: string }) => session.escalate(reason, note, view?.looked?.() ?? {});
  const escalate = async () => {
    const shape: readonly [string, string] = stage === "pick" ? ["none_good", t("No candidate has the right shape")] : ["shape_wrong", t("The picked shape is wrong")];
    const answer = await ask(root, {
      title: stage === "pick" ? t("None good enough: hand it to a 3D artist") : t("This cannot be placed"), action: t("Hand over"), noteLabel: t("What should the next person know?"),
      reasons: [shape, ["mask_wrong", t("The marked object is wrong or incomplete")], ["ambiguous", t("The photo does not show what the shape is")]],
    });
    if (answer) await handOver(answer);
  };
  const pause = () => void (isIn("paused") ? session.resume() : session.pause());
  const fetchWork = async (): Promise<MyWork> => {
    work = await api.get<MyWork>(`/projects/${config.project.id}/my-work`);
    shell.showPace(paceText(work.pace[stage]));
    return work;
  };
  const undo = async (past: PastTask) => {
    if (past.stage === stage) return session.undo(past.assignment);
    try {
      await api.post<Claim>(`/assignments/${past.assignment}/undo`);
      location.assign(pageUrl.work(config.project.slug, past.stage));
    } catch (error) {
      toast(root, failureText(error), "error");
    }
  };
  const openMyWork = async () => {
    try {
      showMyWork(root, await fetchWork(), { now: () => api.now(), undo: (past) => void undo(past) });
    } catch (error) {
      toast(root, failureText(error), "error");
    }
  };
  /** Counts the answer in before the server is asked again. */
  const countIn = (seconds: number) => {
    if (!work) return;
    const { pace } = work;
    const mine = pace[stage];
    work = { ...work, pace: { ...pace, [stage]: { ...mine, today: mine.today + 1, last_seconds: [seconds, ...mine.last_seconds].slice(0, 20), median_seconds: mine.median_seconds ?? seconds } } };
    shell.showPace(paceText(work.pace[stage]));
  };

  commands.add([
    { id: "submit", label: t("Submit"), keys: ["Enter"], scope: "shell", enabled: isWorking, run: () => submit() },
    { id: "skip", label: t("Skip"), keys: ["S"], scope: "shell", enabled: () => isWorking() && !session.claim?.question, run: () => void skip() },
    { id: "undo", label: t("Undo"), keys: ["Ctrl+Z"], scope: "shell", repeats: true, enabled: () => history.undoLabel !== undefined, run: () => void history.undo() },
    { id: "redo", label: t("Redo"), keys: ["Ctrl+Shift+Z", "Ctrl+Y"], scope: "shell", repeats: true, enabled: () => history.redoLabel !== undefined, run: () => void history.redo() },
    { id: "undo-answer", label: t("Take my last answer back"), keys: ["Ctrl+Shift+Backspace"], scope: "shell", enabled: () => session.state.get().lastAnswer !== null && isIn("working", "empty"), run: () => void session.undo() },
    { id: "save", label: t("Save the draft now"), keys: ["Ctrl+S"], scope: "shell", run: () => void session.saveNow() },
    { id: "my-work", label: t("My work"), keys: ["Shift+H"], scope: "shell", run: () => void openMyWork() },
    { id: "pause", label: t("Break"), keys: ["Alt+P"], scope: "shell", enabled: () => isIn("working", "empty", "paused"), run: pause },
    { id: "help", label: t("Help"), keys: ["?"], scope: "shell", run: () => showKeys(root, commands, scopeNames, settings) },
  ]);
  if (stage === "pick") commands.add([{ id: "escalate", label: t("None good enough"), keys: ["E", "Shift+E"], scope: "shell", enabled: isWorking, run: () => void escalate() }]);
  if (stage === "pose") commands.add([{ id: "escalate", label: t("Cannot be placed"), keys: ["Shift+E"], scope: "shell", enabled: () => isWorking() && !session.claim?.question, run: () => void escalate() }]);
  commands.enter("shell");
  const settings = new PersonalSettings(api, commands, config);
  bindKeys(commands);
  shell.build(stage === "object" ? ["skip"] : ["skip", "escalate"]);

  const submit = () => {
    const missing = commands.withKeys(view?.missing() ?? "");
    if (missing) {
      toast(root, missing, "warning");
      shell.announce(missing);
    } else view?.submit();
  };

  const changed = () => {
    if (view) session.changed(async () => keeping(await (view as StageView).draft(), kept));
    commands.changed();
  };
  /** Asks about what was kept, one thing after the other: first an answer that was not sent, then a draft of another page. */
  const offerKept = () => {
    const { unsent, other } = kept;
    const settle = (left: Partial<Kept>, then?: () => void) => () => {
      kept = { ...kept, ...left };
      then?.();
      changed();
      offerKept();
    };
    const complain = (error: unknown) => toast(root, failureText(error), "error");
    if (unsent) {
      const takeUp = () => void (isEscalation(unsent) ? handOver(unsent.escalate) : view?.takeUp(unsent).catch(complain));
      shell.offer(t("Your unsent answer to this task was kept."), [
        { label: isEscalation(unsent) ? t("Hand it over again") : t("Take it up again"), primary: true, take: settle({ unsent: null }, takeUp) },
        { label: t("Discard"), take: settle({ unsent: null }) },
      ]);
    } else if (other) {
      const show = () => { if (session.claim) void view?.load(session.claim, session.claim.task, other).then(changed).catch(complain); };
      shell.offer(t("Another tab or device saved this task differently. Both are kept."), [
        { label: t("Show that one"), primary: true, take: settle({ other: null }, show) },
        { label: t("Keep this one"), take: settle({ other: null }) },
      ]);
    }
  };

  const sole = new SoleTab(`candid8 ${config.user.id} ${config.project.id} ${stage}`, () => session.yield());
  const ways = {
    takeAgain: () => void session.next(),
    workHere: () => void sole.takeOver().then(() => session.next()),
    undoLast: () => void session.undo(),
  };
  session.state.watch((state) => {
    shell.showSession(state, ways);
    if (state.phase === "working" && view) shell.setHint(commands.withKeys(view.hint()));
    if (!["working", "loading", "sending"].includes(state.phase)) root.dataset.ready = "1";
    if (state.phase === "sending") performance.mark(SUBMITTED);
    commands.changed();
  });
  commands.onChange(() => { if (view && isWorking()) shell.setHint(commands.withKeys(view.hint())); });
  // The waiting screen counts down.
  setInterval(() => { if (isIn("empty")) session.state.set({}); }, 1000);

  const live = new LivePicture(() => api.get<Project>(`/projects/${config.project.id}`), {
    shown: (project) => shell.topbar.showQueues(project),
    roundChanged: (number) => toast(root, number === null ? t("The round is closed.") : t("Round {number} has begun.", { number })),
    modelChanged: () => toast(root, t("A new model proposes candidates from now on.")),
    unreachable: () => session.setOnline(false),
  });
  try {
    const project = await live.refresh();
    view = await createStage[stage]({
      config, project, api, commands, history, shell, changed,
      ready: () => {
        root.dataset.ready = "1";
        if (performance.getEntriesByName(SUBMITTED).length) performance.measure(INTERACTIVE, SUBMITTED);
        performance.clearMarks(SUBMITTED);
      },
      submit: (result) => void session.submit(result),
      write: (verb, body) => session.write(verb, body),
      complain: (error) => toast(root, failureText(error), "error"),
    });
  } catch (error) {
    session.state.set({ phase: "error", failure: error });
    return;
  }
  if (config.testHandle) exposeTestHandle(session, commands, () => view);

  new ProjectSocket(socketUrl(config.wsBase, config.project.id), {
    event: (event) => {
      live.apply(event);
      if (event.type === "queue.changed" && event.stage === stage) session.wake();
    },
    refetch: () => { live.refetch(); session.wake(); },
    // Without the socket only live news are missing; work is offline when the server does not answer either.
    online: (online) => (online ? session.setOnline(true) : live.refetch()),
  });
  void fetchWork().catch(() => undefined);
  if (await sole.take()) await session.next();
  else session.state.set({ phase: "elsewhere" });
}

function exposeTestHandle(session: Session, commands: Commands, view: () => StageView | null): void {
  const handle = {
    state: () => ({ ...session.state.get(), failure: undefined, claim: session.claim as Claim | null }),
    commands: () => commands.all().map(({ id, keys, scope }) => ({ id, keys, scope })),
    timings: () => performance.getEntriesByName(INTERACTIVE).map(({ duration }) => Math.round(duration)),
    ...Object.fromEntries(["stage", "project", "iou", "cameraState", "renderInfo"].map((name) => [name, (...args: unknown[]) => {
      const answer = view()?.testHandle()[name];
      return typeof answer === "function" ? (answer as (...a: unknown[]) => unknown)(...args) : answer;
    }])),
  };
  Object.assign(window, { __candid8: handle });
}

restoreTheme();
const root = document.getElementById("app");
if (root) {
  document.body.classList.add("candid8");
  void start(root, readConfig());
}
