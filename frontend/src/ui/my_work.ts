/** What I did last and how fast: my own pace against my own median, and the answers that can still be taken back. */
import { clock, h } from "../core/dom";
import { t } from "../core/language";
import type { MyWork, Pace, PastTask, Stage } from "../net/contract";
import { STAGES } from "./topbar";

export interface MyWorkActions {
  /** Now by the server's clock. */
  now: () => number;
  undo: (past: PastTask) => void;
}

export function showMyWork(root: Element, work: MyWork, actions: MyWorkActions): void {
  const dialog: HTMLDialogElement = h("dialog", { "aria-label": t("My work"), class: "stack wide" },
    h("div", { class: "row spread" }, h("h2", { text: t("My work") }), h("button", { type: "button", text: t("Close"), on: { click: () => dialog.close() } }, h("kbd", { text: "Esc" }))),
    h("div", { class: "my-pace" }, ...STAGES.map((stage) => paceBox(stage, work.pace[stage]))),
    h("h3", { text: t("My last answers") }),
    h("ul", { class: "past" }, ...work.past.map((past) => row(past, actions, () => dialog.close()))));
  if (work.past.length === 0) dialog.append(h("p", { class: "caption", text: t("Nothing yet. Answers appear here as soon as they are sent.") }));
  dialog.addEventListener("close", () => dialog.remove());
  root.append(dialog);
  dialog.showModal();
}

/** "9 s, usually 11 s" of the stage; empty before the first answer. */
export function paceText(pace: Pace): string {
  const [last] = pace.last_seconds;
  if (last === undefined || pace.median_seconds === null) return "";
  return t("{last} s, usually {usual} s", { last: Math.round(last), usual: Math.round(pace.median_seconds) });
}

function paceBox(stage: Stage, pace: Pace): HTMLElement {
  const usual = pace.median_seconds === null ? t("no answer yet") : t("usually {seconds} s", { seconds: Math.round(pace.median_seconds) });
  return h("div", { data: { pace: stage } }, h("span", { class: "caption", text: stageName(stage) }), h("strong", { text: t("{count} today", { count: pace.today }) }), h("span", { class: "caption", text: usual }), spark(pace));
}

/** My last tasks as bars, the oldest at the left, and my median as a line. */
function spark(pace: Pace): SVGElement {
  const BARS = 20;
  const NS = "http://www.w3.org/2000/svg", WIDTH = 120, HEIGHT = 28;
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const seconds = [...pace.last_seconds].reverse();
  const most = Math.max(1, pace.median_seconds ?? 0, ...seconds);
  const step = WIDTH / BARS;
  const put = (name: string, values: Record<string, number>) => {
    const shape = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(values)) shape.setAttribute(key, value.toFixed(1));
    svg.append(shape);
  };
  seconds.forEach((each, i) => put("rect", { x: i * step, y: HEIGHT * (1 - each / most), width: Math.max(1, step - 1), height: (HEIGHT * each) / most }));
  if (pace.median_seconds !== null) put("line", { x1: 0, x2: WIDTH, y1: HEIGHT * (1 - pace.median_seconds / most), y2: HEIGHT * (1 - pace.median_seconds / most) });
  return svg;
}

function row(past: PastTask, actions: MyWorkActions, close: () => void): HTMLElement {
  const item = h("li", { data: { assignment: past.assignment } },
    h("img", { src: past.thumbnail_url, alt: "", loading: "lazy" }),
    h("div", { class: "what" }, h("span", { text: said(past) }), h("span", { class: "caption", text: `${stageName(past.stage)} · ${past.photo_name}` })),
    h("span", { class: "caption", text: ago(Date.parse(past.ended_at), actions.now()) }));
  if (past.undo_until && Date.parse(past.undo_until) > actions.now()) {
    item.append(h("button", { type: "button", text: t("Take back"), title: t("{time} left", { time: clock(Date.parse(past.undo_until) - actions.now()) }), on: { click: () => { close(); actions.undo(past); } } }));
  } else item.append(h("span", {}));
  return item;
}

function said(past: PastTask): string {
  const names = past.labels.join(", ") || t("no name");
  if (past.status === "SKIPPED") return t("Skipped: {reason}", { reason: reasonText(past.reason) });
  if (past.status === "ESCALATED") return t("{names}: handed over, {reason}", { names, reason: reasonText(past.reason) });
  if (past.stage === "object") return past.reason ? t("Nothing usable: {reason}", { reason: past.reason }) : t("Marked {names}", { names });
  if (past.stage === "pick") return t("{names}: shape {shape}, texture {texture}", { names, shape: past.shape_rating ?? "–", texture: past.texture_rating ?? "–" });
  return past.mask_iou === null ? t("{names}: placed", { names }) : t("{names}: placed, overlap {overlap} %", { names, overlap: Math.round(past.mask_iou * 100) });
}

/** The words of dialogs for the engine's reasons; what a person wrote stays as it is. */
function reasonText(reason: string): string {
  switch (reason) {
    case "unsure": return t("I am not sure");
    case "bad_photo": return t("The photo is no good");
    case "technical": return t("Something on the screen is broken");
    case "none_good": return t("No candidate has the right shape");
    case "mask_wrong": return t("The marked object is wrong or incomplete");
    case "ambiguous": return t("The photo does not show what the shape is");
    case "shape_wrong": return t("The picked shape is wrong");
    default: return reason;
  }
}

function stageName(stage: Stage): string {
  return { object: t("Object"), pick: t("Pick"), pose: t("Pose") }[stage];
}

function ago(then: number, now: number): string {
  const minutes = Math.max(0, Math.round((now - then) / 60_000));
  if (minutes < 1) return t("just now");
  if (minutes < 60) return t("{count} min ago", { count: minutes });
  const hours = Math.round(minutes / 60);
  return hours < 24 ? t("{count} h ago", { count: hours }) : new Date(then).toLocaleDateString(document.documentElement.lang);
}

