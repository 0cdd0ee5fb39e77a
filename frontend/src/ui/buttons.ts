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
  const key = command.keys[0];
  const button = h(
    "button",
    {
      type: "button", class: look.class, title: key ? `${command.label} (${keyLabel(key)})` : command.label,
      "aria-keyshortcuts": ariaKeys(command.keys) || undefined, data: { command: id }, on: { click: () => commands.run(id) },
    },
    look.icon && icon(look.icon), h("span", { text: look.label ?? command.label }), key && h("kbd", { text: keyLabel(key), "aria-hidden": "true" }),
  );
  const refresh = (): void => {
    button.disabled = !commands.isEnabled(id);
    if (look.pressed) button.setAttribute("aria-pressed", String(look.pressed()));
  };
  commands.onChange(refresh);
  refresh();
  return button;
}
