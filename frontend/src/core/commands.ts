/** The one registry of commands: keys, buttons, the help dialog and tests all read it. */
import { isSingleCharacter, keyLabel, strokeName } from "./keys";
import type { Stroke } from "./keys";
import { t } from "./language";

export interface Command {
  id: string;
  label: string;
  keys: readonly string[];
  /** Commands of the scope entered last are asked first. */
  scope: string;
  run: () => void;
  /** For keys that act while they are held down. */
  release?: () => void;
  enabled?: () => boolean;
  /** One of a row of alike commands speaks for all of them in the help. */
  inHelp?: boolean;
  helpKeys?: string;
  /** Held keys repeat only where that is meant. */
  repeats?: boolean;
}

/** Whether commands of both scopes can be reached at the same time: one lies within the other. Unknown ones lie in the shell. */
export type Within = Readonly<Record<string, string>>;

const OUTERMOST = "shell";

export class Commands {
  private readonly byId = new Map<string, Command>();
  /** The keys that a command came with, of those that a person gave others. */
  private readonly usual = new Map<string, readonly string[]>();
  private own: Readonly<Record<string, readonly string[]>> = {};
  private scopes: string[] = [];
  private held: { command: Command; code: string }[] = [];
  private readonly listeners = new Set<() => void>();
  /** WCAG 2.1.4: people who speak to their computer can switch single-character keys off. */
  singleKeys = true;

  /** ``within`` says of each inner scope which scope it lies in. */
  constructor(private readonly within: Within = {}) {}

  /** Adds commands; the returned function takes them away again. Raises on an id or key that is taken in its scope. */
  add(commands: readonly Command[]): () => void {
    for (const command of commands) {
      if (this.byId.has(command.id)) throw new Error(`The command ${command.id} exists already.`);
      for (const other of this.byId.values()) {
        const shared = other.scope === command.scope && command.keys.find((key) => this.usualKeys(other.id).includes(key));
        if (shared) throw new Error(`The key ${shared} means ${other.id} and ${command.id} in ${command.scope}.`);
      }
      this.byId.set(command.id, { ...command });
      this.usual.set(command.id, command.keys);
    }
    this.wearKeys();
    this.changed();
    return () => {
      for (const command of commands) this.byId.delete(command.id);
      this.changed();
    };
  }

  enter(scope: string): void {
    this.scopes = [...this.scopes.filter((other) => other !== scope), scope];
    this.changed();
  }

  leave(scope: string): void {
    this.scopes = this.scopes.filter((other) => other !== scope);
    this.changed();
  }

  isIn = (scope: string): boolean => this.scopes.includes(scope);

  get(id: string): Command | undefined {
    return this.byId.get(id);
  }

  isEnabled(id: string): boolean {
    const command = this.byId.get(id);
    return command !== undefined && (command.enabled?.() ?? true);
  }

  /** Gives commands the person's own keys instead of their usual ones; those not named have the usual ones. */
  useKeys(own: Readonly<Record<string, readonly string[]>>): void {
    this.own = own;
    this.wearKeys();
    this.changed();
  }

  usualKeys(id: string): readonly string[] {
    return this.usual.get(id) ?? [];
  }

  /** The key that reaches the command, as it is written on buttons; null where it has none. */
  keyLabel(id: string): string | null {
    const keys = this.byId.get(id)?.keys ?? [];
    const shown = keys.find((key) => this.reachable().find((command) => command.keys.includes(key))?.id === id) ?? keys[0];
    return shown === undefined ? null : keyLabel(shown);
  }

  /** A text with the keys that this person has in place of ``[[command]]``. */
  withKeys = (text: string): string => text.replace(/\[\[([\w.-]+)\]\]/g, (_, id: string) => this.keyLabel(id) ?? t("(no key)"));

  /** Which other command that can be reached together with ``id`` has the key already. */
  inTheWay(id: string, key: string): Command | undefined {
    const scope = this.byId.get(id)?.scope;
    if (scope === undefined) return undefined;
    return [...this.byId.values()].find((other) => other.id !== id && other.keys.includes(key) && this.meet(other.scope, scope));
  }

  /** Every command of the page, also those of scopes that are not entered. */
  all(): Command[] {
    return [...this.byId.values()];
  }

  /** Runs a command as its button does. Returns whether it could. */
  run(id: string): boolean {
    if (!this.isEnabled(id)) return false;
    this.byId.get(id)?.run();
    this.changed();
    return true;
  }

  /** Commands that can be reached now, those of the innermost scope first. */
  reachable(): Command[] {
    return [...this.scopes].reverse().flatMap((scope) => [...this.byId.values()].filter((command) => command.scope === scope));
  }

  find(stroke: string): Command | undefined {
    if (!this.singleKeys && isSingleCharacter(stroke)) return undefined;
    return this.reachable().find((command) => command.keys.includes(stroke));
  }

  /** Handles a key going down; true when a command owns the key, so that the browser must not act on it too. */
  keyDown(event: Stroke & { repeat?: boolean }): boolean {
    const command = this.find(strokeName(event));
    if (!command) return false;
    if (event.repeat && !command.repeats) return true;
    if (command.enabled?.() ?? true) {
      if (command.release) this.held.push({ command, code: event.code });
      command.run();
      this.changed();
    }
    return true;
  }

  keyUp(event: { code: string }): void {
    const released = this.held.filter((held) => held.code === event.code);
    this.held = this.held.filter((held) => held.code !== event.code);
    for (const { command } of released) command.release?.();
    if (released.length) this.changed();
  }

  /** The window lost the keyboard: nothing is held any more. */
  releaseAll(): void {
    const held = this.held;
    this.held = [];
    for (const { command } of held) command.release?.();
  }

  private wearKeys(): void {
    for (const command of this.byId.values()) {
      const usual = this.usual.get(command.id) ?? command.keys;
      command.keys = this.own[command.id] ?? usual;
    }
  }

  private meet(one: string, other: string): boolean {
    return this.around(one).includes(other) || this.around(other).includes(one);
  }

  /** The scope and those it lies in, from the inside out. */
  private around(scope: string): string[] {
    const outer = scope === OUTERMOST ? undefined : (this.within[scope] ?? OUTERMOST);
    return outer === undefined ? [scope] : [scope, ...this.around(outer)];
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }
}

const EDITABLE = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

/** Lets a registry listen to the keyboard, except while the person types into a field or a dialog is open. */
export function bindKeys(commands: Commands): void {
  addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (document.querySelector("dialog[open]")) return;
    if (target?.matches(EDITABLE)) {
      if (event.key === "Escape" && target instanceof HTMLElement) target.blur();
      return;
    }
    // Enter and Space on a focused button or link press that, as everywhere on the web.
    if ((event.key === "Enter" || event.code === "Space") && target?.closest("button, a[href], summary")) return;
    if (commands.keyDown(event)) event.preventDefault();
  });
  addEventListener("keyup", (event) => commands.keyUp(event));
  addEventListener("blur", () => commands.releaseAll());
}
