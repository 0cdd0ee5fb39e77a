/** The part of the tool panel that says how candidates are seen. */
import type { Commands } from "../core/commands";
import { h } from "../core/dom";
import { t } from "../core/language";
import { commandButton } from "../ui/buttons";
import type { CellLook } from "../viewer/cell";

export interface ViewState { look: CellLook; isTurning: boolean }

export function viewSection(commands: Commands, state: () => ViewState): HTMLElement {
  const look = (id: CellLook) => commandButton(commands, `look.${id}`, { pressed: () => state().look === id });
  return h("section", {}, h("h3", { text: t("View") }), h("div", { class: "view-buttons thirds" },
    look("colour"), look("splat"), look("clay"), look("normals"),
    commandButton(commands, "turntable", { pressed: () => state().isTurning, label: t("Turn") }), commandButton(commands, "camera.reset", { label: t("Reset") })));
}

/** A button for a command that acts while it is held, by mouse, pen, finger, Space or Enter. */
export function holdButton(commands: Commands, id: string, label: string): HTMLButtonElement {
  const hold = () => commands.run(id);
  const release = () => { commands.get(id)?.release?.(); commands.changed(); };
  const button = h("button", { type: "button", title: t("Hold it down to see the photo at the same place (Space)"), "aria-keyshortcuts": "Space", data: { command: id } }, h("span", { text: label }), h("kbd", { text: t("Space"), "aria-hidden": "true" }));
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    hold();
  });
  for (const type of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(type, release);
  button.addEventListener("keydown", (event) => { if (!event.repeat && (event.key === "Enter" || event.code === "Space")) hold(); });
  return button;
}
