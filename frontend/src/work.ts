/** Entry of the annotator's page: one shell, and the stage that the address names. */
import { Commands, bindKeys } from "./core/commands";
import { readConfig } from "./core/config";
import type { Config } from "./core/config";
import { History } from "./core/history";
import { Api, failureText } from "./net/api";
import type { Claim, Project, Stage } from "./net/contract";
import { Session } from "./net/session";
import { ProjectSocket, socketUrl } from "./net/socket";
import { isEscalation, keeping, unsentOf } from "./net/unsent";
import type { Unsent } from "./net/unsent";
import type { StageHost, StageView } from "./stages/stage";
import { Guidance } from "./guidance";
import { ask, restoreSingleKeys, showHelp, toast } from "./ui/dialogs";
import { Shell } from "./ui/shell";
import { restoreTheme } from "./ui/theme";

const SCOPE_NAMES: Record<string, string> = {
  shell: "Everywhere", object: "Marking an object", polygon: "Drawing a polygon", pick: "Picking", grid: "Grid", king: "Comparing two", inspect: "Looking at one",
  rating: "Rating", pose: "Placing", gate: "Before the work",
};

const createStage: Record<Stage, (host: StageHost) => Promise<StageView>> = {
  object: async (host) => (await import("./stages/object")).createObjectStage(host) as StageView,
  pick: async (host) => (await import("./stages/pick")).createPickStage(host) as StageView,
  pose: async (host) => (await import("./stages/pose")).createPoseStage(host) as StageView,
};

async function start(root: HTMLElement, config: Config): Promise<void> {
  const stage = config.stage ?? "object";
  const api = new Api(config.apiBase, config.csrfToken);
  const commands = new Commands();
  const history = new History();
  const shell = new Shell(root, config, stage, commands);
  let view: StageView | null = null;
  let unsent: Unsent | null = null;

  const session = new Session(api, config.project.id, stage, {
    task: async (claim, draft) => {
      guidance.begins(claim);
      unsent = unsentOf(claim);
      shell.withdrawOffer();
      try {
        await view?.load(claim, claim.task, draft);
      } catch (error) {
        view?.clear();
        throw error;
      }
      root.dataset.task = claim.assignment;
      if (unsent) offerUnsent(unsent);
    },
    over: async (answer) => {
      unsent = null;
      shell.withdrawOffer();
      view?.clear();
      history.clear();
      root.dataset.ready = "0";
      delete root.dataset.task;
      await guidance.ends(answer);
    },
    refused: (error) => toast(root, failureText(error), "error"),
  });
  const guidance = new Guidance(config, stage, api, commands, shell, session);
  shell.screenFor = (reason) => guidance.screenFor(reason);
  const isWorking = () => session.state.get().phase === "working";
  const skip = async () => {
    const answer = await ask(root, {
      title: "Skip this task?", action: "Skip", noteLabel: undefined,
      reasons: [["unsure", "I am not sure"], ["bad_photo", "The photo is no good"], ["technical", "Something on the screen is broken"]],
    });
    if (answer) await session.skip(answer.reason);
  };
  const escalate = async () => {
    const answer = await ask(root, {
      title: "None good enough: hand it to a 3D artist", action: "Hand over", noteLabel: "What should the artist know?",
      reasons: [["none_good", "No candidate has the right shape"], ["mask_wrong", "The marked object is wrong or incomplete"], ["ambiguous", "The photo does not show what the shape is"]],
    });
    if (answer) await session.escalate(answer.reason, answer.note);
  };

  commands.add([
    { id: "submit", label: "Submit", keys: ["Enter"], scope: "shell", enabled: isWorking, run: () => submit() },
    { id: "skip", label: "Skip", keys: ["S"], scope: "shell", enabled: () => isWorking() && !session.claim?.question, run: () => void skip() },
    { id: "undo", label: "Undo", keys: ["Ctrl+Z"], scope: "shell", repeats: true, enabled: () => history.undoLabel !== undefined, run: () => void history.undo() },
    { id: "redo", label: "Redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], scope: "shell", repeats: true, enabled: () => history.redoLabel !== undefined, run: () => void history.redo() },
    { id: "save", label: "Save the draft now", keys: ["Ctrl+S"], scope: "shell", run: () => void session.saveNow() },
    { id: "help", label: "Help", keys: ["?"], scope: "shell", run: () => showHelp(root, commands, SCOPE_NAMES) },
  ]);
  if (stage === "pick") commands.add([{ id: "escalate", label: "None good enough", keys: ["E"], scope: "shell", enabled: isWorking, run: () => void escalate() }]);
  commands.enter("shell");
  restoreSingleKeys(commands);
  bindKeys(commands);
  shell.build(stage === "pick" ? ["skip", "escalate"] : ["skip"]);

  const submit = () => {
    const missing = view?.missing() ?? null;
    if (missing) {
      toast(root, missing, "warning");
      shell.announce(missing);
    } else view?.submit();
  };

  const changed = () => {
    if (view) session.changed(async () => keeping(await (view as StageView).draft(), unsent));
    commands.changed();
  };
  const offerUnsent = (kept: Unsent) => {
    const settle = (then?: () => void) => () => {
      unsent = null;
      then?.();
      changed();
    };
    const takeUp = () => void (isEscalation(kept) ? session.escalate(kept.escalate.reason, kept.escalate.note) : view?.takeUp(kept).catch((error: unknown) => toast(root, failureText(error), "error")));
    shell.offer("Your unsent answer to this task was kept.", [
      { label: isEscalation(kept) ? "Hand it over again" : "Take it up again", primary: true, take: settle(takeUp) },
      { label: "Discard", take: settle() },
    ]);
  };
  const refreshQueues = async (): Promise<Project> => {
    const project = await api.get<Project>(`/projects/${config.project.id}`);
    shell.topbar.showQueues(project);
    return project;
  };

  session.state.watch((state) => {
    shell.showSession(state, () => void session.next());
    if (state.phase === "working" && view) shell.setHint(view.hint());
    if (state.phase === "empty" || state.phase === "error") root.dataset.ready = "1";
    commands.changed();
  });
  commands.onChange(() => { if (view && isWorking()) shell.setHint(view.hint()); });
  // The waiting screen counts down.
  setInterval(() => { if (session.state.get().phase === "empty") session.state.set({}); }, 1000);

  let project: Project;
  try {
    project = await refreshQueues();
    view = await createStage[stage]({
      config, project, api, commands, history, shell, changed,
      ready: () => { root.dataset.ready = "1"; },
      submit: (result) => void session.submit(result),
      write: (verb, body) => session.write(verb, body),
      complain: (error) => toast(root, failureText(error), "error"),
    });
  } catch (error) {
    session.state.set({ phase: "error", failure: error });
    return;
  }
  if (config.testHandle) exposeTestHandle(session, () => view);

  let queueTimer = 0;
  const refreshSoon = () => {
    clearTimeout(queueTimer);
    queueTimer = window.setTimeout(() => void refreshQueues().catch(() => undefined), 300);
  };
  new ProjectSocket(socketUrl(config.wsBase, config.project.id), {
    event: (event) => {
      if (event.type === "queue.changed") {
        refreshSoon();
        if (event.stage === stage) session.wake();
      }
    },
    refetch: () => { refreshSoon(); session.wake(); },
    // Without the socket only live news are missing; work is offline when the server does not answer either.
    online: (online) => (online ? session.setOnline(true) : void refreshQueues().catch(() => session.setOnline(false))),
  });
  await session.next();
}

function exposeTestHandle(session: Session, view: () => StageView | null): void {
  const handle = {
    state: () => ({ ...session.state.get(), failure: undefined, claim: session.claim as Claim | null }),
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
