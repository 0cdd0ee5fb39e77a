/** The shape that stands for a mark of a rating, turning in a small picture; loaded when somebody stays at the mark. */
import { h } from "../core/dom";
import { t } from "../core/language";
import type { GuidelineExample } from "../net/contract";
import { GridViewer } from "../viewer/grid_viewer";

/** A pointer that passes over the marks loads nothing. */
const STAY_MS = 200;

export class AnchorExample {
  readonly element = h("div", { class: "viewer-box anchor-example", role: "img", hidden: true });
  private viewer: GridViewer | null = null;
  private shown: number | null = null;
  private timer = 0;

  show(example: GuidelineExample | null): void {
    if (example?.id === this.shown) return;
    clearTimeout(this.timer);
    if (!example) return this.clear();
    this.shown = example.id;
    this.element.hidden = false;
    this.element.ariaLabel = t("Example: {caption}", { caption: example.caption });
    this.timer = window.setTimeout(() => void this.load(example), STAY_MS);
  }

  clear(): void {
    clearTimeout(this.timer);
    this.viewer?.dispose();
    this.viewer = null;
    this.shown = null;
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  private async load(example: GuidelineExample): Promise<void> {
    try {
      this.viewer ??= new GridViewer(this.element, { isBare: true });
      await this.viewer.show([{ label: "", mesh_url: example.mesh_url, preview_url: example.preview_url }]);
    } catch {
      this.clear(); // the words say it all the same
    }
  }
}
