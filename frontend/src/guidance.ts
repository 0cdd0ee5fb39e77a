/** What stands before and beside the work of a stage: its guidelines, the screen that asks to read them, and the entry quiz. */
import type { Commands } from "./core/commands";
import type { Config } from "./core/config";
import { pageUrl } from "./core/config";
import { clock, h, replace } from "./core/dom";
import { t } from "./core/language";
import { failureText } from "./net/api";
import type { Api } from "./net/api";
import type { Claim, Guidelines, NoWorkReason, QuizMark, Stage, StageGuide } from "./net/contract";
import { commandButton } from "./ui/buttons";
import { toast } from "./ui/dialogs";
import { GuideText, openGuide, whatChanged } from "./ui/guide";
import { questionStrip, showMark } from "./ui/quiz";
import type { Shell } from "./ui/shell";

const SCOPE = "gate";

/** What guidance asks of the session: to take the next task, also as a question of the quiz. */
export interface Work {
  next: () => Promise<void>;
  takeQuestions: (isOn: boolean) => void;
}

export class Guidance {
  private readonly text = new GuideText();
  private readonly screen = h("div", { class: "gate" });
  private reason: NoWorkReason | null = null;
  private guide: StageGuide | null = null;
  private claim: Claim | null = null;
  private strip: HTMLElement | null = null;
  private timer = 0;

  constructor(private readonly config: Config, private readonly stage: Stage, private readonly api: Api, private readonly commands: Commands, private readonly shell: Shell, private readonly work: Work) {
    commands.add([
      { id: "guidelines", label: t("Guidelines"), keys: ["Shift+G"], scope: "shell", run: () => void this.open() },
      { id: "gate.go", label: t("I have read it, or begin the quiz"), keys: ["Ctrl+Enter"], scope: SCOPE, enabled: () => this.mayGo(), run: () => void this.go() },
    ]);
  }

  /** The screen for a reason that the person can do something about, or null for any other. */
  screenFor(reason: NoWorkReason): HTMLElement | null {
    if (reason !== "guidelines_changed" && reason !== "quiz_needed") {
      this.leave();
      return null;
    }
    if (this.reason !== reason) void this.enter(reason);
    return this.screen;
  }

  /** A task is on the screen. */
  begins(claim: Claim): void {
    this.leave();
    this.claim = claim;
    this.strip?.remove();
    this.strip = claim.question ? questionStrip(claim.question) : null;
    if (this.strip) this.shell.work.append(this.strip);
  }

  /** The task is over; resolves when the person has seen the mark, if there is one. */
  async ends(answer: { quiz?: QuizMark | null } | null): Promise<void> {
    const photo = this.claim?.task.photo.url ?? "";
    this.strip?.remove();
    this.strip = this.claim = null;
    if (!answer?.quiz) return;
    await showMark(this.shell.root, answer.quiz, photo);
    if (answer.quiz.is_over) this.work.takeQuestions(false);
  }

  private fetch = async (): Promise<StageGuide[]> => (await this.api.get<Guidelines>(`/projects/${this.config.project.id}/guidelines`)).stages;

  private async open(): Promise<void> {
    try {
      openGuide(this.shell.root, await this.fetch(), this.stage);
    } catch (error) {
      toast(this.shell.root, failureText(error), "error");
    }
  }

  private leave(): void {
    if (this.reason === null) return;
    this.reason = this.guide = null;
    clearInterval(this.timer);
    this.text.dispose();
    replace(this.screen);
    this.commands.leave(SCOPE);
  }

  private async enter(reason: NoWorkReason): Promise<void> {
    this.reason = reason;
    replace(this.screen, h("div", { class: "scroll" }, h("p", { class: "caption", text: t("Loading…") })));
    this.commands.enter(SCOPE);
    try {
      const guide = (await this.fetch()).find((each) => each.stage === this.stage) ?? null;
      if (this.reason !== reason) return;
      this.guide = guide;
      this.draw();
      this.commands.changed();
    } catch (error) {
      replace(this.screen, h("div", { class: "scroll stack" }, h("p", { class: "notice error", text: failureText(error) }), h("div", {}, h("button", { type: "button", text: t("Try again"), on: { click: () => void this.enter(reason) } }))));
    }
  }

  private draw(): void {
    const { guide } = this;
    if (!guide) return;
    this.text.show(guide);
    const isQuiz = this.reason === "quiz_needed";
    const title = isQuiz ? t("A short quiz comes first") : guide.changes ? t("The guidelines have changed: please read them") : t("Please read the guidelines first");
    const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Guidelines") }, isQuiz ? this.aboutQuiz(guide) : whatChanged(guide), this.text.element);
    const wait = h("span", { class: "caption numbers" });
    replace(this.screen,
      h("header", {}, h("h2", { text: title })), scroll,
      h("footer", {}, wait, h("a", { class: "button", href: pageUrl.home(this.config.project.slug), text: t("To the project") }),
        commandButton(this.commands, "gate.go", { class: "primary", label: isQuiz ? (guide.quiz?.is_open ? t("Go on with the quiz") : t("Begin the quiz")) : t("I have read it") })));
    void this.text.mount();
    scroll.focus();
    if (isQuiz) this.countDown(wait);
  }

  private aboutQuiz(guide: StageGuide): HTMLElement | null {
    const { quiz } = guide;
    if (!quiz) return null;
    return h("div", { class: "notice stack what-changed" },
      h("p", { text: t("Questions with known answers: {questions}, of which {needed} must be right. They come in the screen you will work in, and you are told after each one why. It counts for nothing else.", { questions: quiz.num_questions, needed: quiz.num_needed }) }),
      quiz.last_num_right !== null && h("p", { class: "caption", text: t("Last time: {right} right.", { right: quiz.last_num_right }) }));
  }

  private pauseLeft_ms = (): number => (this.guide?.quiz?.may_begin_at ? Date.parse(this.guide.quiz.may_begin_at) - this.api.now() : 0);

  private countDown(wait: HTMLElement): void {
    clearInterval(this.timer);
    const tick = () => {
      const left = this.pauseLeft_ms();
      wait.textContent = left > 0 ? t("You may try again in {wait}", { wait: clock(left) }) : "";
      if (left <= 0) clearInterval(this.timer);
      this.commands.changed();
    };
    this.timer = window.setInterval(tick, 1000);
    tick();
  }

  private mayGo = (): boolean => this.guide !== null && (this.reason !== "quiz_needed" || this.pauseLeft_ms() <= 0);

  private async go(): Promise<void> {
    const { guide, reason } = this;
    if (!guide) return;
    try {
      if (reason === "quiz_needed") this.work.takeQuestions(true);
      else if (guide.version) await this.api.post(`/guideline-versions/${guide.version.id}/acknowledge`);
      this.leave();
      await this.work.next();
    } catch (error) {
      toast(this.shell.root, failureText(error), "error");
    }
  }
}
