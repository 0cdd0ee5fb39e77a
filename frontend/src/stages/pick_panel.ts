/** The tools beside the candidates: the comparison's progress, how they are seen, and the photo over them. */
import type { Commands } from "../core/commands";
import { h } from "../core/dom";
import { t } from "../core/language";
import { commandButton } from "../ui/buttons";
import { holdButton, viewSection } from "./view_panel";
import type { ViewState } from "./view_panel";

export interface PanelState extends ViewState { isPhotoCamera: boolean; isKing: boolean; opacity: number; done: number; all: number; isOver: boolean; numCandidates: number }

/** Builds the sections; they follow ``state`` whenever the commands change. ``setOpacity`` takes 0 to 1. */
export function pickPanel(commands: Commands, state: () => PanelState, setOpacity: (opacity: number) => void): HTMLElement[] {
  return [comparing(commands, state), viewSection(commands, state), photographing(commands, state, setOpacity)];
}

function comparing(commands: Commands, state: () => PanelState): HTMLElement {
  const text = h("span", { class: "caption" }), bar = h("div");
  const judging = h("div", { class: "stack" },
    h("div", { class: "view-buttons thirds" }, commandButton(commands, "king.left", { label: t("Left") }), commandButton(commands, "king.equal", { label: t("Equal") }), commandButton(commands, "king.right", { label: t("Right || the side") })),
    commandButton(commands, "king.back", { icon: "undo" }));
  // Left and right are the names of their keys already.
  for (const id of ["king.left", "king.right"]) judging.querySelector(`[data-command="${id}"] kbd`)?.remove();
  commands.onChange(() => {
    const { isKing, isOver, done, all, numCandidates } = state();
    judging.hidden = !commands.isIn("king");
    text.textContent = isKing ? t("{number} of {all}", { number: Math.min(done + (isOver ? 0 : 1), all), all }) : done ? t("{number} of {all} done", { number: done, all }) : t("all {all} at once", { all: numCandidates });
    bar.style.transform = `scaleX(${all ? done / all : 0})`;
  });
  return h("section", {}, h("div", { class: "row spread" }, h("h3", { text: t("Comparing") }), text), h("div", { class: "progress" }, bar), judging,
    commandButton(commands, "mode", { icon: "king", pressed: () => state().isKing, label: t("Two at a time") }));
}

function photographing(commands: Commands, state: () => PanelState, setOpacity: (opacity: number) => void): HTMLElement {
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": t("Photo over the candidates"), title: t("Photo over the candidates ([ less, ] more)"), on: { input: () => setOpacity(Number(slider.value)) } });
  commands.onChange(() => {
    slider.value = String(state().opacity);
    slider.disabled = !commands.isEnabled("photo.more");
  });
  return h("section", {}, h("div", { class: "row spread" }, h("h3", { text: t("Against the photo") }), h("label", { class: "overlay-row caption" }, h("span", { text: t("over it") }), slider)),
    h("div", { class: "view-buttons" }, commandButton(commands, "photo.camera", { pressed: () => state().isPhotoCamera, label: t("Photo's view") }), holdButton(commands, "photo.flicker", t("Hold: photo"))));
}
