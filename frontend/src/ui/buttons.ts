/** Buttons that belong to commands: label, key, state and action all come from the registry. */
import type { Commands } from "../core/commands";
import { h } from "../core/dom";
import { ariaKeys, keyLabel } from "../core/keys";
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
  let shownKeys: readonly string[] | null = null;
  const showKeys = (): void => {
    const keys = commands.get(id)?.keys ?? [];
    if (keys === shownKeys) return;
    shownKeys = keys;
    const first = keys[0];
    key.textContent = first ? keyLabel(first) : "";
    key.hidden = !first;
    button.title = first ? `${command.label} (${keyLabel(first)})` : command.label;
    if (first) button.setAttribute("aria-keyshortcuts", ariaKeys(keys));
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
