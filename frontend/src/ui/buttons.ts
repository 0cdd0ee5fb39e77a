/** Buttons that belong to commands: label, key, state and action all come from the registry. */
import type { Commands } from "../core/commands";
import { h } from "../core/dom";
import { ariaKeys } from "../core/keys";
import { icon } from "./icons";
import type { IconName } from "./icons";

export interface ButtonLook {
  icon?: IconName;
  class?: string;
  /** For commands that are on or off. */
  pressed?: () => boolean;
  label?: string;
}

export function commandButton(commands: Commands, id: string, look: ButtonLook = {}): HTMLButtonElement {
  const command = commands.get(id);
  if (!command) throw new Error(`There is no command ${id}.`);
  const key = h("kbd", { "aria-hidden": "true" });
  const button = h(
    "button", { type: "button", class: look.class, data: { command: id }, on: { click: () => commands.run(id) } },
    look.icon && icon(look.icon), h("span", { text: look.label ?? command.label }), key,
  );
  let shown: string | null | undefined;
  const showKeys = (): void => {
    const keys = commands.get(id)?.keys ?? [], first = commands.keyLabel(id);
    if (first === shown) return;
    shown = first;
    key.textContent = first ?? "";
    key.hidden = first === null;
    button.title = first === null ? command.label : `${command.label} (${first})`;
    if (first !== null) button.setAttribute("aria-keyshortcuts", ariaKeys(keys));
    else button.removeAttribute("aria-keyshortcuts");
  };
  const refresh = (): void => {
    showKeys();
    button.disabled = !commands.isEnabled(id);
    if (look.pressed) button.setAttribute("aria-pressed", String(look.pressed()));
  };
  commands.onChange(refresh);
  refresh();
  return button;
}
