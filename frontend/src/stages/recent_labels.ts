/** The names a person gave last in a project, newest first, kept in the browser. */

const KEPT = 6;

export class RecentLabels {
  private readonly key: string;

  constructor(project: number, private readonly storage: Pick<Storage, "getItem" | "setItem"> = localStorage) {
    this.key = `candid8.recentLabels.${project}`;
  }

  list(): string[] {
    try {
      const kept: unknown = JSON.parse(this.storage.getItem(this.key) ?? "[]");
      return Array.isArray(kept) ? kept.filter((label) => typeof label === "string").slice(0, KEPT) : [];
    } catch {
      return []; // somebody else wrote there
    }
  }

  add(label: string): void {
    if (label) this.storage.setItem(this.key, JSON.stringify([label, ...this.list().filter((other) => other !== label)].slice(0, KEPT)));
  }
}
