/** Undo and redo of edits; an edit holds what it needs to go both ways. */

export interface Edit {
  label: string;
  undo: () => void;
  redo: () => void;
  /** Edits with the same key that follow each other quickly become one step. */
  mergeKey?: string;
}

const MERGE_WITHIN_MS = 600;

export class History {
  private done: (Edit & { at: number })[] = [];
  private undone: Edit[] = [];
  private readonly listeners = new Set<() => void>();

  constructor(private readonly now: () => number = () => performance.now(), private readonly limit = 200) {}

  /** Records an edit that has happened already. */
  push(edit: Edit): void {
    const last = this.done.at(-1);
    const at = this.now();
    this.undone = [];
    if (last && edit.mergeKey && last.mergeKey === edit.mergeKey && at - last.at < MERGE_WITHIN_MS) {
      this.done[this.done.length - 1] = { ...edit, undo: last.undo, at };
    } else {
      this.done.push({ ...edit, at });
      if (this.done.length > this.limit) this.done.shift();
    }
    this.changed();
  }

  undo(): Edit | undefined {
    const edit = this.done.pop();
    if (edit) {
      edit.undo();
      this.undone.push(edit);
      this.changed();
    }
    return edit;
  }

  redo(): Edit | undefined {
    const edit = this.undone.pop();
    if (edit) {
      edit.redo();
      // An undone edit must not swallow the next nudge.
      this.done.push({ ...edit, at: -Infinity });
      this.changed();
    }
    return edit;
  }

  clear(): void {
    this.done = [];
    this.undone = [];
    this.changed();
  }

  get undoLabel(): string | undefined {
    return this.done.at(-1)?.label;
  }

  get redoLabel(): string | undefined {
    return this.undone.at(-1)?.label;
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}
