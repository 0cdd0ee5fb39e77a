/** Frames over the cells: numbers, rings and marks, and what a cell says while it has nothing to show. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { Rect } from "../tools/mask";
import { icon } from "../ui/icons";
import type { CellDetail, CellPhase } from "../viewer/cell";

/** Nothing here but the number tells one candidate from another: what it is called inside stays inside. */
export interface FrameView {
  number: number;
  rect: Rect;
  isLarge: boolean;
  phase: CellPhase;
  detail: CellDetail;
  note: string;
  isPicked: boolean;
  isBeaten: boolean;
  isCurrent: boolean;
  /** It is the one that is looked at alone. */
  isInspected: boolean;
}

export class PickFrames {
  readonly element = h("div", { class: "cells" });

  /** ``open`` looks at one large, or goes back to all. */
  constructor(private readonly reload: () => void, private readonly open: (number: number) => void, private readonly reloadKey: () => string | null) {}

  /** Puts a frame over each cell, in this order. */
  show(views: readonly FrameView[]): void {
    const frames = [...this.element.children] as HTMLElement[];
    const isSame = frames.length === views.length && views.every(({ number, isLarge }, i) => frames[i]?.dataset.number === String(number) && (frames[i]?.dataset.large === "1") === isLarge);
    if (!isSame) replace(this.element, ...views.map((view) => this.frame(view)));
    views.forEach((view, i) => this.refresh(this.element.children[i] as HTMLElement, view));
  }

  clear(): void {
    replace(this.element);
  }

  private frame({ number, isLarge }: FrameView): HTMLElement {
    const again = h("button", { type: "button", on: { click: this.reload } }, h("span", { text: t("Load again") }), h("kbd", { text: this.reloadKey() ?? "", "aria-hidden": "true" }));
    return h("div", { class: "cell", data: { number: String(number), ...(isLarge ? { large: "1" } : {}) } },
      h("button", { type: "button", class: "open quiet", on: { click: () => this.open(number) } }),
      h("div", { class: "shimmer" }), h("span", { class: "number", text: number }), h("span", { class: "state caption" }), h("span", { class: "mark" }, icon("check")),
      h("div", { class: "failed" }, icon("warning"), h("span", { text: t("This candidate could not be loaded") }), again));
  }

  private refresh(frame: HTMLElement, view: FrameView): void {
    const { x, y, width, height } = view.rect;
    Object.assign(frame.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    // The change from the small mesh to the whole one is seen: the frame lights up once.
    if (view.isLarge && frame.dataset.detail === "fetching" && view.detail === "full") frame.classList.add("arrived");
    frame.dataset.phase = view.phase;
    frame.dataset.detail = view.detail;
    frame.classList.toggle("picked", view.isPicked);
    frame.classList.toggle("beaten", view.isBeaten);
    frame.classList.toggle("current", view.isCurrent);
    const open = frame.querySelector(".open") as HTMLButtonElement;
    open.hidden = view.isLarge ? !view.isInspected : view.phase !== "ready";
    open.title = view.isInspected ? t("Back to all (Esc)") : t("Look at {number} large (Shift+{number})", { number: view.number });
    open.setAttribute("aria-label", open.title);
    open.dataset.command = `inspect.${view.number}`;
    if (open.dataset.icon !== String(view.isInspected)) replace(open, icon(view.isInspected ? "grid" : "eye"));
    open.dataset.icon = String(view.isInspected);
    const label = frame.querySelector(".state") as HTMLElement;
    const text = view.phase === "failed" ? "" : view.note || (view.isLarge && view.phase === "ready" ? detailText(view.detail) : "");
    label.textContent = text;
    label.hidden = text === "";
  }
}

function detailText(detail: CellDetail): string {
  return detail === "full" ? t("full detail") : detail === "fetching" ? t("preview, full detail is coming…") : t("preview");
}
