/** Before and after of a pose that something else than a hand has found: look at both, accept or put back. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { PoseJson } from "../net/contract";
import { commandButton } from "../ui/buttons";
import { icon } from "../ui/icons";
import type { StageHost } from "./stage";

export interface Line { name: string; before: string; after: string; isWorse: boolean }

export interface Found { title: string; action: string; before: PoseJson; after: PoseJson; lines: readonly Line[] }

export interface ReviewListener {
  /** Puts a pose on the screen without recording it. */
  show: (pose: PoseJson) => void;
  accepted: (found: Found) => void;
  /** A review began or ended, or waiting for one did. */
  changed: () => void;
}

export class PoseReview {
  readonly element = h("div", { class: "pose-card", hidden: true, role: "status" });
  private found: Found | null = null;
  private waitingFor: { text: string; stop: () => void } | null = null;
  private isBefore = false;
  private readonly title = h("h3");
  private readonly table = h("div", { class: "before-after" });
  private readonly accepting: HTMLElement;
  private readonly comparing: HTMLElement;

  constructor(private readonly host: StageHost, private readonly listener: ReviewListener) {
    const has = () => this.found !== null;
    host.commands.add([
      { id: "review.accept", label: t("Accept"), keys: ["Enter"], scope: "review", enabled: has, run: () => this.accept() },
      { id: "review.back", label: t("Put back"), keys: ["Escape"], scope: "review", run: () => this.putBack() },
      { id: "review.compare", label: t("Hold to see before"), keys: ["Space"], scope: "review", enabled: has, run: () => this.compare(true), release: () => this.compare(false) },
    ]);
    this.accepting = commandButton(host.commands, "review.accept", { class: "primary", icon: "check" });
    // Held, not clicked; a click that no pointer made comes from a key.
    this.comparing = h("button", {
      type: "button",
      on: {
        pointerdown: () => this.compare(true), pointerup: () => this.compare(false), pointerleave: () => this.compare(false), pointercancel: () => this.compare(false),
        click: (event) => { if ((event as MouseEvent).detail === 0) this.compare(!this.isBefore); },
      },
    }, h("span", { text: t("Hold to see before") }), h("kbd", { text: t("Space"), "aria-hidden": "true" }));
    replace(this.element, this.title, this.table, h("div", { class: "row" }, this.accepting, commandButton(host.commands, "review.back", { icon: "undo" }), this.comparing));
  }

  get isOpen(): boolean {
    return this.found !== null || this.waitingFor !== null;
  }

  get state(): "closed" | "waiting" | "after" | "before" {
    return this.waitingFor ? "waiting" : this.found ? (this.isBefore ? "before" : "after") : "closed";
  }

  /** Until ``open`` or ``close``; Escape calls ``stop``. */
  wait(text: string, stop: () => void): void {
    this.waitingFor = { text, stop };
    this.enter();
  }

  open(found: Found): void {
    this.waitingFor = null;
    this.found = found;
    this.isBefore = false;
    this.listener.show(found.after);
    this.enter();
    this.host.shell.announce(`${found.title}. ${found.lines.map(({ name, before, after }) => t("{name} from {before} to {after}", { name, before, after })).join(", ")}`);
  }

  close(): void {
    this.found = this.waitingFor = null;
    this.isBefore = false;
    this.element.hidden = true;
    this.host.commands.leave("review");
    this.listener.changed();
  }

  private accept(): void {
    const { found } = this;
    if (!found) return;
    this.close();
    this.listener.accepted(found);
  }

  private putBack(): void {
    const { found, waitingFor } = this;
    this.close();
    waitingFor?.stop();
    if (found) this.listener.show(found.before);
  }

  private compare(isBefore: boolean): void {
    if (!this.found || isBefore === this.isBefore) return;
    this.isBefore = isBefore;
    this.listener.show(isBefore ? this.found.before : this.found.after);
    // The card stays as it is: the button that is held down must stay under the pointer.
    this.showSide();
    this.listener.changed();
  }

  private enter(): void {
    // Or the button that began it would keep the keyboard.
    (document.activeElement as HTMLElement | null)?.blur();
    this.host.commands.enter("review");
    const { found, waitingFor } = this;
    this.title.textContent = found?.title ?? waitingFor?.text ?? "";
    this.table.hidden = this.accepting.hidden = this.comparing.hidden = !found;
    replace(this.table,
      h("span"), h("span", { class: "caption", text: t("before") }), h("span", { class: "caption", text: t("after") }),
      ...(found?.lines ?? []).flatMap((line) => [h("span", { class: "caption", text: line.name }), h("span", { text: line.before }), h("span", { class: line.isWorse ? "change worse" : "change better" }, line.after, line.isWorse && icon("warning"))]));
    this.element.hidden = false;
    this.showSide();
    this.listener.changed();
  }

  private showSide(): void {
    this.element.dataset.side = this.isBefore ? "before" : "after";
  }
}
