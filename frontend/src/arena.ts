/** Entry of the arena's page: one blind pair after the other, answered by a key. */
import { Commands, bindKeys } from "./core/commands";
import { pageUrl, readConfig } from "./core/config";
import type { Config } from "./core/config";
import { clock, h, replace } from "./core/dom";
import { t } from "./core/language";
import { speakIn } from "./core/speaking";
import { Api, failureText, isLoggedOut, Problem } from "./net/api";
import type { ArenaMatch, Project } from "./net/contract";
import { onNews } from "./net/project_news";
import { createArenaStage } from "./stages/arena";
import type { ArenaStage, Verdict } from "./stages/arena";
import { commandButton } from "./ui/buttons";
import { toast } from "./ui/dialogs";
import "./ui/flow.css";
import { showKeys } from "./ui/keys_sheet";
import { PhotoCard } from "./ui/photo_card";
import { PersonalSettings } from "./ui/settings";
import { restoreTheme } from "./ui/theme";
import { TopBar } from "./ui/topbar";

type Phase = "loading" | "judging" | "sending" | "empty" | "error";
/** An answer with its key: sent again after a failure, it is still one answer. */
interface Answer { match: string; verdict: Verdict; seconds: number; key: string }

const LOOK_AGAIN_S = 15;
const scopeNames = (): Record<string, string> => ({ shell: t("Everywhere"), arena: t("The blind pair") });

class ArenaPage {
  private readonly api: Api;
  private readonly commands = new Commands();
  private readonly topbar: TopBar;
  private readonly work = h("div", { class: "work" });
  private readonly tools = h("div", { class: "tool-panel" });
  private readonly photo: PhotoCard;
  private readonly count = h("span", { class: "pace caption" });
  private readonly hint = h("div", { class: "hint" });
  private readonly live = h("div", { class: "visually-hidden", "aria-live": "polite" });
  private readonly veil = h("div", { class: "veil", role: "status" });
  private readonly skeleton = h("div", { class: "skeleton whole" }, h("div"));
  private readonly settings: PersonalSettings;
  private stage: ArenaStage | null = null;
  private match: ArenaMatch | null = null;
  private unsent: Answer | null = null;
  private skipped: string[] = [];
  private judged = 0;
  private phase: Phase = "loading";
  private retryAt = 0;

  constructor(private readonly root: HTMLElement, private readonly config: Config) {
    this.api = new Api(config.apiBase, config.csrfToken);
    this.topbar = new TopBar(config);
    this.photo = new PhotoCard(root);
    this.commands.add([
      { id: "skip", label: t("Skip"), keys: ["S"], scope: "shell", enabled: () => this.phase === "judging", run: () => void this.skip() },
      { id: "help", label: t("Help"), keys: ["?"], scope: "shell", run: () => showKeys(root, this.commands, scopeNames, this.settings) },
    ]);
    this.commands.enter("shell");
    this.stage = createArenaStage({
      config, root, commands: this.commands, work: this.work, tools: this.tools, photo: this.photo,
      isFree: () => this.phase === "judging",
      judged: (verdict) => void this.answer(verdict),
      ready: () => { root.dataset.ready = "1"; },
    });
    this.settings = new PersonalSettings(this.api, this.commands, config);
    bindKeys(this.commands);
    this.build(config);
    if (config.testHandle) this.exposeTestHandle();
  }

  async start(): Promise<void> {
    setInterval(() => this.tick(), 1000);
    await this.next();
    // Pairs come while an arena's candidates are made, and when others let go of theirs.
    onNews(this.config.wsBase, this.projectId, (event) => event.type === "arena_match.changed" && event.status === "WAITING", async () => {
      if (this.phase === "empty") await this.next();
    });
  }

  private build(config: Config): void {
    this.topbar.slot.append(this.count, commandButton(this.commands, "help", { class: "quiet", icon: "help" }));
    const side = h("aside", { class: "side", "aria-label": t("Photo and tools") }, h("h2", { class: "visually-hidden", text: t("Photo and tools") }), this.photo.element, this.tools);
    const bottom = h("footer", { class: "bottombar" }, this.hint, commandButton(this.commands, "skip"), h("a", { class: "button", href: pageUrl.home(config.project.slug), text: t("To the project") }));
    const title = h("h1", { class: "visually-hidden", text: `${config.project.name}: ${t("Blind pairs")}` });
    replace(this.root, h("div", { class: "shell" }, title, this.topbar.element, this.work, side, bottom), this.live);
  }

  /** Takes the next pair; the answer to the last one must be at the server. */
  private async next(): Promise<void> {
    this.show("loading");
    this.stage?.clear();
    this.match = null;
    delete this.root.dataset.task;
    this.root.dataset.ready = "0";
    try {
      const [reply, project] = await Promise.all([
        this.api.send<ArenaMatch | null>("POST", `/projects/${this.projectId}/arena-claims`, { skipped: this.skipped }),
        this.api.get<Project>(`/projects/${this.projectId}`),
      ]);
      this.topbar.showQueues(project);
      if (!reply.body) {
        this.retryAt = Date.now() + 1000 * (Number(reply.headers.get("Retry-After")) || LOOK_AGAIN_S);
        return this.show("empty");
      }
      this.match = reply.body;
      await this.stage?.load(reply.body);
      this.root.dataset.task = reply.body.match;
      this.show("judging");
    } catch (error) {
      this.fail(error);
    }
  }

  private async answer(verdict: Verdict): Promise<void> {
    if (!this.match || this.phase !== "judging") return;
    this.unsent = { match: this.match.match, verdict, seconds: this.stage?.seconds ?? 0, key: crypto.randomUUID() };
    await this.send();
  }

  private async send(): Promise<void> {
    const { unsent } = this;
    if (!unsent) return this.next();
    this.show("sending");
    try {
      await this.api.post(`/arena-matches/${unsent.match}/answer`, { outcome: unsent.verdict, seconds: unsent.seconds }, { headers: { "Idempotency-Key": unsent.key } });
      this.judged += 1;
      this.count.textContent = t("{count} judged", { count: this.judged });
      this.live.textContent = { left: t("Left is better"), right: t("Right is better"), equal: t("Equally good") }[unsent.verdict];
    } catch (error) {
      // What the server refuses for good is not sent again: the pair was another person's by then, or answered.
      if (!(error instanceof Problem) || isLoggedOut(error)) return this.fail(error);
      toast(this.root, failureText(error), "error");
    }
    this.unsent = null;
    await this.next();
  }

  private async skip(): Promise<void> {
    const { match } = this;
    if (!match || this.phase !== "judging") return;
    this.show("sending");
    try {
      await this.api.post(`/arena-matches/${match.match}/skip`);
      this.skipped.push(match.match);
      await this.next();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    this.show("error", error);
  }

  private show(phase: Phase, error?: unknown): void {
    this.phase = phase;
    this.root.dataset.phase = phase;
    this.skeleton.remove();
    this.veil.remove();
    this.hint.textContent = phase === "judging" ? (this.stage?.hint() ?? "") : phase === "loading" ? t("Loading…") : "";
    if (phase === "loading") this.work.append(this.skeleton);
    if (phase === "empty" || phase === "error") {
      replace(this.veil, phase === "empty" ? this.nothing() : this.failure(error));
      this.work.append(this.veil);
      this.root.dataset.ready = "1";
    }
    this.commands.changed();
  }

  private nothing(): HTMLElement {
    const wait = h("p", { class: "caption", data: { wait: "1" } });
    const again = this.skipped.length > 0 && h("button", { type: "button", text: t("Show those I skipped"), on: { click: () => { this.skipped = []; void this.next(); } } });
    const message = h("div", { class: "message", data: { phase: "empty" } }, h("h2", { text: t("Nothing to do here right now") }), h("p", { text: t("No blind pair waits for you. Thank you for those you judged.") }), wait,
      h("div", { class: "row" }, h("button", { class: "primary", type: "button", text: t("Look now"), on: { click: () => void this.next() } }), again));
    this.showWait(wait);
    return message;
  }

  private failure(error: unknown): HTMLElement {
    if (isLoggedOut(error)) {
      return h("div", { class: "message", data: { phase: "error" } }, h("h2", { text: t("You are logged out") }), h("a", { class: "button primary", href: `/login?next=${encodeURIComponent(location.pathname)}`, text: t("Log in") }));
    }
    return h("div", { class: "message", data: { phase: "error" } }, h("h2", { text: t("That did not work") }), h("p", { text: failureText(error) }), h("button", { class: "primary", type: "button", text: t("Try again"), on: { click: () => void this.send() } }));
  }

  private tick(): void {
    if (this.phase !== "empty") return;
    const wait = this.veil.querySelector<HTMLElement>("[data-wait]");
    if (wait) this.showWait(wait);
    if (Date.now() >= this.retryAt) void this.next();
  }

  private showWait(place: HTMLElement): void {
    place.textContent = t("Looks again by itself in {time}.", { time: clock(this.retryAt - Date.now()) });
  }

  private get projectId(): number {
    return readConfig().project.id;
  }

  private exposeTestHandle(): void {
    const handle = {
      commands: () => this.commands.all().map(({ id, keys, scope }) => ({ id, keys, scope })),
      ...Object.fromEntries(["stage", "cameraState"].map((name) => [name, () => (this.stage?.testHandle()[name] as (() => unknown) | undefined)?.()])),
    };
    Object.assign(window, { __candid8: handle });
  }
}

async function start(root: HTMLElement, config: Config): Promise<void> {
  await speakIn(config.language);
  await new ArenaPage(root, config).start();
}

restoreTheme();
const root = document.getElementById("app");
if (root) {
  document.body.classList.add("candid8");
  void start(root, readConfig());
}
