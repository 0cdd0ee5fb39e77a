/** What the object is: a search over the project's taxonomy that also takes free text, and flags. */
import { h, replace } from "../core/dom";

export interface Naming { label: string; taxonomy_key: string | null; flags: string[] }

export const FLAGS = ["occluded", "truncated", "transparent", "reflective"] as const;

export class LabelPanel {
  readonly element: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly options = h("div", { class: "options", role: "listbox", "aria-label": "Names" });
  private readonly boxes: HTMLInputElement[];
  private highlighted = 0;

  constructor(private readonly taxonomy: readonly { key: string; label: string }[], private readonly changed: () => void) {
    this.input = h("input", {
      type: "text", placeholder: "Name of the object…", "aria-label": "Name of the object", autocomplete: "off", maxlength: 120,
      on: { input: () => { this.highlighted = 0; this.list(); this.changed(); }, keydown: (event) => this.key(event) },
    });
    this.boxes = FLAGS.map((flag) => h("input", { type: "checkbox", value: flag, on: { change: () => this.changed() } }));
    this.element = h("div", { class: "stack" },
      h("section", {}, h("h3", { class: "row spread" }, h("span", { text: "Name" }), h("kbd", { text: "L" })), this.input, this.options),
      h("section", {}, h("h3", { text: "Flags" }), h("div", { class: "flags" }, ...this.boxes.map((box, i) => h("label", { title: `Alt+${i + 1}` }, box, FLAGS[i])))));
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
    this.highlighted = 0;
    this.list();
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  toggleFlag(index: number): void {
    const box = this.boxes[index];
    if (box) box.checked = !box.checked;
    this.changed();
  }

  private matches(): { key: string; label: string }[] {
    const text = this.input.value.trim().toLowerCase();
    const isExact = this.taxonomy.some((entry) => entry.label.toLowerCase() === text);
    if (isExact || !text) return [...this.taxonomy];
    // Last comes what was typed, as it is: free text that merely resembles a name must stay possible.
    return [...this.taxonomy.filter((entry) => entry.label.toLowerCase().includes(text) || entry.key.includes(text)), { key: "", label: this.input.value.trim() }];
  }

  private list(): void {
    const { taxonomy_key } = this.value();
    const isTyping = document.activeElement === this.input;
    const matches = this.matches();
    const items = matches.map((entry, i) =>
      h("button", {
        type: "button", role: "option", tabindex: -1, "aria-selected": String(taxonomy_key ? entry.key === taxonomy_key : isTyping && i === this.highlighted),
        on: { mousedown: (event) => event.preventDefault(), click: () => this.choose(entry.label) },
      }, entry.label, !entry.key && h("span", { class: "caption", text: "free text" })));
    replace(this.options, ...items);
    this.options.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  private choose(label: string): void {
    this.input.value = label;
    this.input.blur();
    this.list();
    this.changed();
  }

  private key(event: KeyboardEvent): void {
    const matches = this.matches();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.highlighted = (this.highlighted + step + matches.length) % Math.max(1, matches.length);
      this.list();
    } else if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      this.choose((this.input.value.trim() && matches[this.highlighted]?.label) || this.input.value.trim());
    }
  }
}
