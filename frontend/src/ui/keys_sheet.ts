/** The sheet of all commands and their keys: searchable, and the place where a person gives them keys of their own. */
import type { Command, Commands } from "../core/commands";
import { h, replace } from "../core/dom";
import { isKeptByTheBrowser, isModifier, keyLabel, strokeName } from "../core/keys";
import { t } from "../core/language";
import { languages } from "./settings";
import type { PersonalSettings } from "./settings";

export function showKeys(root: Element, commands: Commands, scopeNames: () => Record<string, string>, settings: PersonalSettings): void {
  new KeysSheet(root, commands, scopeNames(), settings);
}

class KeysSheet {
  private readonly search = h("input", { type: "search", placeholder: t("Search commands and keys"), "aria-label": t("Search commands and keys"), on: { input: () => this.list() } });
  private readonly groups = h("div", { class: "keys-list" });
  private readonly said = h("p", { class: "caption", role: "status" });
  private readonly change: HTMLButtonElement;
  private readonly reset: HTMLButtonElement;
  private readonly dialog: HTMLDialogElement;
  private isChanging = false;
  private stopListening: (() => void) | null = null;

  constructor(root: Element, private readonly commands: Commands, private readonly scopeNames: Record<string, string>, private readonly settings: PersonalSettings) {
    this.change = h("button", { type: "button", text: t("Change keys"), "aria-pressed": "false", on: { click: () => this.toggleChanging() } });
    this.reset = h("button", { type: "button", text: t("All usual keys again"), on: { click: () => void this.resetAll() } });
    const single = h("input", { type: "checkbox", checked: commands.singleKeys, on: { change: () => { commands.singleKeys = single.checked; void this.settings.change({ single_keys: single.checked }); } } });
    const close = h("button", { type: "button", text: t("Close"), on: { click: () => this.dialog.close() } }, h("kbd", { text: "Esc" }));
    this.dialog = h("dialog", { "aria-label": t("Keys"), class: "stack wide" },
      h("div", { class: "row spread" }, h("h2", { text: t("Keys") }), close),
      h("div", { class: "keys-head" }, this.search, h("div", { class: "row" }, this.change, this.reset)),
      h("label", { class: "check" }, single, t("Single-letter keys are on")),
      this.said, this.groups, this.wishes());
    this.dialog.addEventListener("cancel", (event) => { if (this.stopListening) { event.preventDefault(); this.stopListening(); } });
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.list();
    root.append(this.dialog);
    this.dialog.showModal();
    this.search.focus();
  }

  private list(): void {
    const wanted = this.search.value.trim().toLowerCase();
    this.reset.hidden = !this.isChanging || Object.keys(this.settings.current.keys ?? {}).length === 0;
    const isWanted = (command: Command) => `${command.label} ${command.keys.map(keyLabel).join(" ")} ${command.helpKeys ?? ""}`.toLowerCase().includes(wanted);
    const isListed = (command: Command) => (this.isChanging || wanted !== "" || command.inHelp !== false || this.isOwn(command)) && isWanted(command);
    const groups = Map.groupBy(this.commands.all().filter(isListed), (command) => command.scope);
    const named = (scope: string) => this.scopeNames[scope] ?? scope;
    replace(this.groups, ...[...groups].map(([scope, items]) => h("section", {}, h("h3", { text: named(scope) }), ...items.map((command) => this.row(command)))));
    if (groups.size === 0) replace(this.groups, h("p", { class: "caption", text: t("No command is called that.") }));
  }

  private row(command: Command): HTMLElement {
    const isOwn = this.isOwn(command);
    const isAlike = !this.isChanging && !isOwn && command.helpKeys !== undefined && this.search.value === "";
    const keys = isAlike ? [command.helpKeys as string] : command.keys.map(keyLabel);
    const shown = h("span", { class: isOwn ? "own" : "" }, ...keys.map((text) => h("kbd", { text })), keys.length === 0 && h("span", { class: "caption", text: t("no key") }));
    if (this.isChanging) {
      const listen: HTMLButtonElement = h("button", { type: "button", text: t("Change"), "aria-label": t("Change the key of {command}", { command: command.label }), data: { change: command.id }, on: { click: () => this.listen(command, listen) } });
      shown.append(listen);
      if (isOwn) shown.append(h("button", { type: "button", text: t("Usual"), "aria-label": t("Give {command} its usual key again", { command: command.label }), on: { click: () => void this.give(command, null) } }));
    }
    return h("div", { class: "key-row", data: { row: command.id } }, h("span", { text: command.label }), shown);
  }

  private isOwn = (command: Command): boolean => this.settings.current.keys?.[command.id] !== undefined;

  private toggleChanging(): void {
    this.isChanging = !this.isChanging;
    this.change.setAttribute("aria-pressed", String(this.isChanging));
    this.say(this.isChanging ? t("Choose Change beside a command, then strike the new key. Esc keeps the old one.") : "");
    this.list();
  }

  /** The next key that is struck becomes the command's. */
  private listen(command: Command, button: HTMLButtonElement): void {
    this.stopListening?.();
    button.classList.add("listening");
    button.textContent = t("Strike a key…");
    const onKey = (event: KeyboardEvent) => {
      if (isModifier(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      const key = strokeName(event);
      stop();
      if (key === "Escape") return;
      void this.give(command, key);
    };
    const stop = () => {
      removeEventListener("keydown", onKey, true);
      this.stopListening = null;
      this.list();
      this.groups.querySelector<HTMLElement>(`[data-change="${CSS.escape(command.id)}"]`)?.focus();
    };
    this.stopListening = stop;
    addEventListener("keydown", onKey, true);
  }

  /** ``key`` null is the usual one again. A key that something else has is refused with its name. */
  private async give(command: Command, key: string | null): Promise<void> {
    const wanted = key === null ? this.commands.usualKeys(command.id) : [key];
    if (key !== null && isKeptByTheBrowser(key)) return this.say(t("{key} belongs to the browser. Choose another key.", { key: keyLabel(key) }));
    for (const each of wanted) {
      const other = this.commands.inTheWay(command.id, each);
      if (other) return this.say(t("{key} is taken: it means “{command}”. Give that another key first.", { key: keyLabel(each), command: other.label }));
    }
    const { [command.id]: _, ...others } = this.settings.current.keys ?? {};
    await this.wear(key === null ? others : { ...others, [command.id]: [key] }, key === null
      ? t("{command} has its usual key again.", { command: command.label })
      : t("{key} now means “{command}”.", { key: keyLabel(key), command: command.label }));
  }

  private resetAll = (): Promise<void> => this.wear({}, t("All commands have their usual keys again."));

  private async wear(keys: Record<string, string[]>, done: string): Promise<void> {
    try {
      await this.settings.change({ keys });
      this.say(done);
    } catch {
      this.say(t("The server could not keep that; the old keys hold."));
    }
    this.list();
  }

  private say(text: string): void {
    this.said.textContent = text;
  }

  private wishes(): HTMLElement {
    const choice = (label: string, name: "language" | "motion" | "theme", options: readonly (readonly [string, string])[]) => {
      const select = h("select", { on: { change: () => void this.settings.change({ [name]: select.value }).then(() => { if (name === "language") location.reload(); }).catch(() => this.say(t("The server could not keep that."))) } },
        ...options.map(([value, text]) => h("option", { value, text, selected: this.settings.current[name] === value })));
      return h("label", { class: "field" }, h("span", { text: label }), select);
    };
    return h("div", { class: "wishes" },
      choice(t("Language"), "language", languages()),
      choice(t("Motion"), "motion", [["", t("As the system")], ["reduced", t("Reduced")], ["full", t("Full")]]),
      choice(t("Colours"), "theme", [["", t("Default")], ["dark", t("Dark")], ["light", t("Light")]]));
  }
}
