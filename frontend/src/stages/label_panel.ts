/** What the object is: a search over the project's taxonomy that also takes free text, and flags. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { RecentLabels } from "./recent_labels";

export interface Naming { label: string; taxonomy_key: string | null; flags: string[] }
interface Option { key: string; label: string; note?: string; isTyped?: boolean }

export const FLAGS = ["occluded", "truncated", "transparent", "reflective"] as const;
/** Read when said, so that the person's language is there by then. */
export const flagNames = (): string[] => [t("occluded"), t("truncated"), t("transparent"), t("reflective")];

export class LabelPanel {
  readonly element: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly options = h("div", { class: "options", role: "listbox", id: "object-names", "aria-label": t("Names") });
  private readonly boxes: HTMLInputElement[];
  /** Of the option that Enter takes; -1 for what was typed. */
  private highlighted = -1;

  constructor(private readonly taxonomy: readonly { key: string; label: string }[], private readonly recent: RecentLabels, private readonly changed: () => void) {
    this.input = h("input", {
      type: "text", placeholder: t("Name of the object…"), "aria-label": t("Name of the object"), autocomplete: "off", maxlength: 120,
      role: "combobox", "aria-controls": "object-names", "aria-expanded": "true", "aria-autocomplete": "list",
      on: { input: () => { this.highlighted = this.best(); this.list(); this.changed(); }, keydown: (event) => this.key(event), focus: () => this.list(), blur: () => this.list() },
    });
    this.boxes = FLAGS.map((flag) => h("input", { type: "checkbox", value: flag, on: { change: () => this.changed() } }));
    const names = flagNames();
    this.element = h("div", { class: "stack" },
      h("section", {}, h("h3", { class: "row spread" }, h("span", { text: t("Name") }), h("kbd", { text: "L" })), this.input, this.options),
      h("section", {}, h("h3", { text: t("Flags") }), h("div", { class: "flags" }, ...this.boxes.map((box, i) => h("label", { title: `Alt+${i + 1}` }, box, names[i])))));
    this.list();
  }

  value(): Naming {
    const label = this.input.value.trim();
    const known = this.taxonomy.find((entry) => entry.label.toLowerCase() === label.toLowerCase());
    return { label: known?.label ?? label, taxonomy_key: known?.key ?? null, flags: this.boxes.filter((box) => box.checked).map((box) => box.value) };
  }

  set(naming: Naming): void {
    this.input.value = naming.label;
    for (const box of this.boxes) box.checked = naming.flags.includes(box.value);
    this.highlighted = -1;
    this.list();
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  /** Turns a flag over and says how it stands now. */
  toggleFlag(index: number): boolean {
    const box = this.boxes[index];
    if (box) box.checked = !box.checked;
    this.changed();
    return box?.checked ?? false;
  }

  private matches(): Option[] {
    const text = this.input.value.trim();
    const low = text.toLowerCase();
    const recent = this.recent.list();
    const isKnown = (label: string) => this.taxonomy.some((entry) => entry.label === label);
    const entries: Option[] = [
      ...recent.map((label) => ({ key: this.taxonomy.find((entry) => entry.label === label)?.key ?? "", label, note: isKnown(label) ? t("recent") : t("recent, free text") })),
      ...this.taxonomy.filter((entry) => !recent.includes(entry.label)),
    ];
    const isExact = entries.some((entry) => entry.label.toLowerCase() === low);
    if (isExact || !text) return entries;
    // Last comes what was typed, as it is: free text that merely resembles a name must stay possible.
    return [...entries.filter((entry) => entry.label.toLowerCase().includes(low) || entry.key.includes(low)), { key: "", label: text, note: t("free text"), isTyped: true }];
  }

  /** What Enter takes while one types: the name itself when it is one, else the first that has it in it. */
  private best(): number {
    const low = this.input.value.trim().toLowerCase();
    if (!low) return -1;
    return Math.max(0, this.matches().findIndex((entry) => !entry.isTyped && entry.label.toLowerCase() === low));
  }

  private list(): void {
    const { label } = this.value();
    const isTyping = document.activeElement === this.input;
    const items = this.matches().map((entry, i) =>
      h("button", {
        type: "button", role: "option", id: `object-name-${i}`, tabindex: -1, "aria-selected": String(isTyping && this.highlighted >= 0 ? i === this.highlighted : label !== "" && entry.label === label),
        on: { mousedown: (event) => event.preventDefault(), click: () => this.choose(entry.label) },
      }, entry.label, entry.note && h("span", { class: "caption", text: entry.note })));
    replace(this.options, ...items);
    if (isTyping && this.highlighted >= 0) this.input.setAttribute("aria-activedescendant", `object-name-${this.highlighted}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.options.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  private choose(label: string): void {
    this.input.value = label;
    this.highlighted = -1;
    this.input.blur();
    this.list();
    this.changed();
  }

  private key(event: KeyboardEvent): void {
    const matches = this.matches();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const from = this.highlighted < 0 && step < 0 ? 0 : this.highlighted;
      this.highlighted = (from + step + matches.length) % Math.max(1, matches.length);
      this.list();
    } else if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      this.choose(matches[this.highlighted]?.label ?? this.input.value.trim());
    }
  }
}
