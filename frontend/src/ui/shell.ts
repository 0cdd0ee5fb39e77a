/** The annotator's screen around all three stages: bars, photo, tool panel, and a drawing for each state that work can be in. */
import type { Config } from "../core/config";
import { pageUrl } from "../core/config";
import type { Commands } from "../core/commands";
import { clock, h, replace } from "../core/dom";
import { t } from "../core/language";
import { failureText } from "../net/api";
import type { SaveState } from "../net/drafts";
import type { NoWorkReason, Stage } from "../net/contract";
import type { SessionState } from "../net/session";
import { commandButton } from "./buttons";
import { PhotoCard } from "./photo_card";
import { stageName, TopBar } from "./topbar";
import "./flow.css";

const AMBER_BELOW_MS = 60_000;

function whyEmpty(reason: NoWorkReason, stage: Stage): string {
  switch (reason) {
    case "all_leased": return t("Other people have all the waiting tasks in hand.");
    case "not_qualified": return t("Your role does not take tasks of this stage. Ask the project's lead.");
    case "paused": return t("The project's lead has paused the work.");
    default: return {
      object: t("Every photo has been worked on. New photos can be uploaded on the project's page."),
      pick: t("No candidates are waiting. They appear a few seconds after an object has been marked in stage 1."),
      pose: t("No shape is waiting to be placed. They come from good picks in stage 2."),
    }[stage];
  }
}

function saveText(save: SaveState): string {
  return { saved: t("saved"), unsaved: t("not saved yet"), saving: t("saving…"), local: t("kept in this browser") }[save];
}

/** What a person can do on a screen without a task. */
export interface WaysOn { takeAgain: () => void; workHere: () => void; undoLast: () => void }

export class Shell {
  readonly work = h("div", { class: "work" });
  readonly tools = h("div", { class: "tool-panel" });
  readonly photo: PhotoCard;
  readonly topbar: TopBar;
  private readonly lease = h("span", { class: "lease caption", title: t("Time left on this task. It renews itself while you work.") });
  private readonly pace = h("span", { class: "pace caption", title: t("The seconds of your last task, and your own median in this stage") });
  private readonly saved = h("span", { class: "saved caption" });
  private readonly hint = h("div", { class: "hint" });
  private readonly live = h("div", { class: "visually-hidden", "aria-live": "polite" });
  private readonly veil = h("div", { class: "veil", role: "status" });
  private readonly skeleton = h("div", { class: "skeleton" });
  private readonly offered = h("div", { class: "notice warning offer", role: "status" });
  private readonly bottom = h("footer", { class: "bottombar" });
  private announceTimer = 0;
  /** The screen of somebody else for a reason why there is no work; it stays as it is while the reason stays. */
  screenFor: (reason: NoWorkReason) => HTMLElement | null = () => null;

  constructor(readonly root: HTMLElement, private readonly config: Config, private readonly stage: Stage, private readonly commands: Commands) {
    this.photo = new PhotoCard(root);
    this.topbar = new TopBar(config);
    replace(this.skeleton, ...Array.from({ length: stage === "pick" ? 8 : 1 }, () => h("div")));
    this.skeleton.classList.toggle("whole", stage !== "pick");
  }

  /** Puts everything on the page. The shell's commands must exist. */
  build(commandIds: readonly string[]): void {
    this.topbar.slot.append(
      this.pace, this.lease, this.saved,
      ...["my-work", "pause"].map((id) => withoutKey(commandButton(this.commands, id, { class: "quiet" }))),
      commandButton(this.commands, "guidelines", { class: "quiet", icon: "guide" }),
      commandButton(this.commands, "help", { class: "quiet", icon: "help" }),
    );
    this.bottom.append(
      this.hint,
      ...commandIds.map((id) => commandButton(this.commands, id)),
      commandButton(this.commands, "submit", { class: "primary" }),
    );
    const title = h("h1", { class: "visually-hidden", text: `${this.config.project.name}: ${stageName(this.stage)}` });
    const side = h("aside", { class: "side", "aria-label": t("Photo and tools") }, h("h2", { class: "visually-hidden", text: t("Photo and tools") }), this.photo.element, this.tools);
    replace(this.root, h("div", { class: "shell" }, title, this.topbar.element, this.work, side, this.bottom), this.live);
  }

  /** Asks something beside the work, which goes on meanwhile; any answer, or the end of the task, takes it away. */
  offer(text: string, answers: readonly { label: string; primary?: boolean; take: () => void }[]): void {
    const buttons = answers.map(({ label, primary, take }) => h("button", { type: "button", class: primary ? "primary" : "", text: label, on: { click: () => { this.withdrawOffer(); take(); } } }));
    replace(this.offered, h("span", { text }), ...buttons);
    this.work.append(this.offered);
  }

  withdrawOffer(): void {
    this.offered.remove();
  }

  showPace(text: string): void {
    this.pace.textContent = text;
  }

  setHint(text: string): void {
    if (this.hint.textContent !== text) this.hint.textContent = text;
  }

  /** Tells people who cannot see the screen, not more than twice a second. */
  announce(text: string): void {
    clearTimeout(this.announceTimer);
    this.announceTimer = window.setTimeout(() => { this.live.textContent = text; }, 500);
  }

  showSession(state: SessionState, ways: WaysOn): void {
    this.showLease(state);
    this.saved.textContent = state.phase === "working" ? saveText(state.save) : "";
    this.root.dataset.phase = state.phase;
    const own = state.phase === "empty" ? this.screenFor(state.emptyReason) : null;
    if (own?.isConnected) return;
    this.skeleton.remove();
    this.veil.remove();
    if (own) {
      replace(this.veil, own);
      this.work.append(this.veil);
      this.setHint("");
      return;
    }
    if (state.phase === "working") return;
    if (state.phase === "loading") {
      this.work.append(this.skeleton);
      this.setHint(t("Loading…"));
    } else {
      replace(this.veil, this.message(state, ways));
      this.work.append(this.veil);
      this.setHint("");
    }
  }

  private showLease(state: SessionState): void {
    const hasTask = state.phase === "working" || state.phase === "sending";
    this.lease.classList.toggle("offline", !state.online);
    this.lease.classList.toggle("short", hasTask && state.leaseLeft_ms < AMBER_BELOW_MS);
    this.lease.textContent = state.online ? (hasTask ? t("lease {time}", { time: clock(state.leaseLeft_ms) }) : t("no task")) : t("offline");
  }

  private message(state: SessionState, ways: WaysOn): HTMLElement {
    const primary = (text: string, take: () => void, key?: string) => h("button", { class: "primary", type: "button", on: { click: take } }, text, key && h("kbd", { text: key, "aria-hidden": "true" }));
    const says = (title: string, text: string, ...more: (HTMLElement | null)[]) => h("div", { class: "message", data: { phase: state.phase } }, h("h2", { text: title }), text && h("p", { text }), ...more);
    switch (state.phase) {
      case "sending":
        if (state.online) return says(t("Sending…"), "");
        return says(t("Waiting for the connection"), t("Your work is finished and kept. It is sent as soon as the server can be reached."));
      case "lost":
        return says(t("The lease has run out"), t("The task went back to the queue. Your draft is kept and comes back if you take the task again."), primary(t("Take it again"), ways.takeAgain));
      case "paused":
        return says(t("You are having a break"), t("The task went back to the queue, your draft is kept, and no clock is running. The same task comes back if nobody else has taken it."), primary(t("Go on"), ways.takeAgain, this.keyOf("pause")));
      case "elsewhere":
        return says(t("This stage is open in another tab"), t("Two tabs would write over each other's work. Nothing is lost: what was drawn is saved and moves with you."), primary(t("Work here instead"), ways.workHere));
      case "loggedout":
        return says(t("You are logged out"), t("What you did is kept in this browser. Log in, and it is here again."), h("a", { class: "button primary", href: `/login?next=${encodeURIComponent(location.pathname)}`, text: t("Log in") }));
      case "empty": {
        const wait = clock(state.retryAt - Date.now());
        const empty = says(t("Nothing to do here right now"), whyEmpty(state.emptyReason, this.stage),
          h("p", { class: "caption", text: t("Looks again by itself in {time}, and at once when something comes.", { time: wait }) }),
          h("div", { class: "row" }, primary(t("Look now"), ways.takeAgain), h("a", { class: "button", href: pageUrl.home(this.config.project.slug), text: t("To the project") }),
            state.lastAnswer && h("button", { type: "button", text: t("Take my last answer back"), on: { click: ways.undoLast } })));
        empty.dataset.reason = state.emptyReason;
        return empty;
      }
      default:
        return says(state.online ? t("That did not work") : t("Offline"), failureText(state.failure), primary(t("Try again"), ways.takeAgain));
    }
  }

  private keyOf(id: string): string | undefined {
    return this.commands.keyLabel(id) ?? undefined;
  }
}

/** For bars that are full: the key is in the tool-tip. */
function withoutKey(button: HTMLButtonElement): HTMLButtonElement {
  button.querySelector("kbd")?.remove();
  return button;
}
