/** The annotator's screen around all three stages: bars, photo, tool panel, and a drawing for each state that work can be in. */
import type { Config } from "../core/config";
import { pageUrl } from "../core/config";
import type { Commands } from "../core/commands";
import { clock, h, replace } from "../core/dom";
import { failureText } from "../net/api";
import type { NoWorkReason, Stage } from "../net/contract";
import type { SessionState } from "../net/session";
import { commandButton } from "./buttons";
import { PhotoCard } from "./photo_card";
import { stageName, TopBar } from "./topbar";

const AMBER_BELOW_MS = 60_000;

const WHY_EMPTY: Partial<Record<NoWorkReason, Record<Stage, string> | string>> = {
  empty: {
    object: "Every photo has been worked on. New photos can be uploaded on the project's page.",
    pick: "No candidates are waiting. They appear a few seconds after an object has been marked in stage 1.",
    pose: "No shape is waiting to be placed. They come from good picks in stage 2.",
  },
  all_leased: "Other people have all the waiting tasks in hand.",
  not_qualified: "Your role does not take tasks of this stage. Ask the project's lead.",
  paused: "The project's lead has paused the work.",
};

const SAVE_TEXT = { saved: "saved", unsaved: "not saved yet", saving: "saving…", local: "kept in this browser" };

export class Shell {
  readonly work = h("div", { class: "work" });
  readonly tools = h("div", { class: "tool-panel" });
  readonly photo: PhotoCard;
  readonly topbar: TopBar;
  private readonly lease = h("span", { class: "lease caption", title: "Time left on this task. It renews itself while you work." });
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
    this.topbar.slot.append(this.lease, this.saved, commandButton(this.commands, "guidelines", { class: "quiet", icon: "guide" }), commandButton(this.commands, "help", { class: "quiet", icon: "help" }));
    this.bottom.append(
      this.hint,
      ...commandIds.map((id) => commandButton(this.commands, id)),
      commandButton(this.commands, "submit", { class: "primary" }),
    );
    const title = h("h1", { class: "visually-hidden", text: `${this.config.project.name}: ${stageName(this.stage)}` });
    const side = h("aside", { class: "side", "aria-label": "Photo and tools" }, this.photo.element, this.tools);
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

  setHint(text: string): void {
    if (this.hint.textContent !== text) this.hint.textContent = text;
  }

  /** Tells people who cannot see the screen, not more than twice a second. */
  announce(text: string): void {
    clearTimeout(this.announceTimer);
    this.announceTimer = window.setTimeout(() => { this.live.textContent = text; }, 500);
  }

  showSession(state: SessionState, takeAgain: () => void): void {
    this.showLease(state);
    this.saved.textContent = state.phase === "working" ? SAVE_TEXT[state.save] : "";
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
      this.setHint("Loading…");
    } else {
      replace(this.veil, this.message(state, takeAgain));
      this.work.append(this.veil);
      this.setHint("");
    }
  }

  private showLease(state: SessionState): void {
    const hasTask = state.phase === "working" || state.phase === "sending";
    this.lease.classList.toggle("offline", !state.online);
    this.lease.classList.toggle("short", hasTask && state.leaseLeft_ms < AMBER_BELOW_MS);
    this.lease.textContent = state.online ? (hasTask ? `lease ${clock(state.leaseLeft_ms)}` : "no task") : "offline";
  }

  private message(state: SessionState, takeAgain: () => void): HTMLElement {
    const again = (text: string) => h("button", { class: "primary", type: "button", text, on: { click: takeAgain } });
    if (state.phase === "sending") {
      if (state.online) return h("div", { class: "message" }, h("h2", { text: "Sending…" }));
      return h("div", { class: "message" }, h("h2", { text: "Waiting for the connection" }), h("p", { text: "Your work is finished and kept. It is sent as soon as the server can be reached." }));
    }
    if (state.phase === "lost") {
      return h("div", { class: "message" }, h("h2", { text: "The lease has run out" }),
        h("p", { text: "The task went back to the queue. Your draft is kept and comes back if you take the task again." }), again("Take it again"));
    }
    if (state.phase === "empty") {
      const why = WHY_EMPTY[state.emptyReason] ?? "";
      const wait = clock(state.retryAt - Date.now());
      return h("div", { class: "message", data: { reason: state.emptyReason } }, h("h2", { text: "Nothing to do here right now" }), h("p", { text: typeof why === "string" ? why : why[this.stage] }),
        h("p", { class: "caption", text: `Looks again by itself in ${wait}, and at once when something comes.` }),
        h("div", { class: "row" }, again("Look now"), h("a", { class: "button", href: pageUrl.home(this.config.project.slug), text: "To the project" })));
    }
    return h("div", { class: "message" }, h("h2", { text: state.online ? "That did not work" : "Offline" }), h("p", { text: failureText(state.failure) }), again("Try again"));
  }
}
