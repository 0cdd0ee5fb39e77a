/** Dialogs that ask: a reason and a note, or a yes; and short messages that leave by themselves. */
import type { Command, Commands } from "../core/commands";
import { h } from "../core/dom";
import { keyLabel } from "../core/keys";

export interface Question {
  title: string;
  text?: string;
  reasons: readonly (readonly [value: string, label: string])[];
  noteLabel?: string;
  action: string;
}

/** The chosen reason and note, or null when the person went back. */
export function ask(root: Element, question: Question): Promise<{ reason: string; note: string } | null> {
  return new Promise((resolve) => {
    const note = h("textarea", { name: "note", maxlength: 2000, placeholder: "Optional" });
    const radios = question.reasons.map(([value, label], i) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "reason", value, checked: i === 0 }), label, h("kbd", { text: i + 1, "aria-hidden": "true" })),
    );
    const form = h(
      "form", { method: "dialog" },
      h("h2", { text: question.title }), question.text && h("p", { class: "caption", text: question.text }),
      h("div", { class: "stack", role: "radiogroup" }, ...radios),
      question.noteLabel && h("label", { class: "field" }, h("span", { text: question.noteLabel }), note),
      h("div", { class: "actions" },
        h("button", { type: "button", text: "Go back", on: { click: () => dialog.close("") } }),
        h("button", { class: "primary", value: "yes", text: question.action })),
    );
    const dialog = h("dialog", { "aria-label": question.title }, form);
    form.addEventListener("keydown", (event) => {
      const chosen = radios[Number(event.key) - 1];
      if (event.target === note) {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      } else if (chosen) chosen.querySelector("input")!.checked = true;
    });
    dialog.addEventListener("close", () => {
      const reason = new FormData(form).get("reason");
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? { reason: String(reason ?? ""), note: note.value.trim() } : null);
    });
    root.append(dialog);
    dialog.showModal();
  });
}

/** Every command that can be reached now, grouped by scope, with a switch for single-character keys. */
export function showHelp(root: Element, commands: Commands, scopeNames: Record<string, string>): void {
  const groups = Map.groupBy(commands.reachable().filter((command) => command.inHelp !== false), (command) => command.scope);
  const list = (items: Command[]) => items.flatMap((command) => [h("dt", { text: command.label }), h("dd", {}, ...(command.helpKeys ? [command.helpKeys] : command.keys.map(keyLabel)).map((text) => h("kbd", { text })))]);
  const single = h("input", { type: "checkbox", checked: commands.singleKeys, on: { change: () => setSingleKeys(commands, single.checked) } });
  const dialog = h(
    "dialog", { "aria-label": "Keys", class: "stack" },
    h("div", { class: "row spread" }, h("h2", { text: "Keys" }), h("button", { text: "Close", on: { click: () => dialog.close() } }, h("kbd", { text: "Esc" }))),
    h("label", { class: "check" }, single, "Single-letter keys are on"),
    h("div", { class: "help-columns" }, ...[...groups].map(([scope, items]) => h("section", {}, h("h3", { text: scopeNames[scope] ?? scope }), h("dl", {}, ...list(items))))),
  );
  dialog.addEventListener("close", () => dialog.remove());
  root.append(dialog);
  dialog.showModal();
}

const SINGLE_KEYS = "candid8.singleKeys";

export function restoreSingleKeys(commands: Commands): void {
  commands.singleKeys = localStorage.getItem(SINGLE_KEYS) !== "off";
}

function setSingleKeys(commands: Commands, isOn: boolean): void {
  commands.singleKeys = isOn;
  localStorage.setItem(SINGLE_KEYS, isOn ? "on" : "off");
}

const TOAST_MS = 7000;

export function toast(root: Element, text: string, kind: "error" | "warning" | "success" | "" = ""): void {
  let holder = root.querySelector(".toasts");
  if (!holder) {
    holder = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    root.append(holder);
  }
  const message = h("div", { class: `notice ${kind}`, text, on: { click: () => message.remove() } });
  holder.append(message);
  setTimeout(() => message.remove(), TOAST_MS);
}
