/** A stage's guidelines as people read them: contents, text, and examples in 3D; in a dialog, on a page, before new work. */
import "./guide.css";
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { GuidelineExample, StageGuide } from "../net/contract";
import type { GridViewer } from "../viewer/grid_viewer";
import { STAGES, stageName } from "./topbar";

export class GuideText {
  readonly element = h("div", { class: "guide" });
  private readonly viewerBox = h("div", { class: "viewer-box" });
  private viewer: GridViewer | null = null;
  private examples: readonly GuidelineExample[] = [];

  show(guide: StageGuide): void {
    this.dispose();
    this.examples = [...guide.examples, ...guide.anchors];
    this.element.classList.toggle("with-examples", this.examples.length > 0);
    const text = h("div", { class: "guide-text" });
    if (guide.version) text.append(...parsed(guide.html));
    else text.append(h("p", { class: "caption", text: t("This project has no guidelines for this stage yet.") }));
    replace(this.element, this.contents(guide, text), text, this.examples.length > 0 && this.exampleList());
  }

  /** Loads the examples once the element is on the page and has a size. */
  async mount(): Promise<void> {
    if (this.examples.length === 0) return;
    const { GridViewer } = await import("../viewer/grid_viewer");
    if (!this.viewerBox.isConnected || this.viewer) return;
    try {
      this.viewer = new GridViewer(this.viewerBox);
      await this.viewer.show(this.examples.map((example, i) => ({ label: String(i + 1), note: kindOf(example), mesh_url: example.mesh_url, preview_url: example.preview_url })));
    } catch (error) {
      replace(this.viewerBox, h("p", { class: "notice error", text: error instanceof Error ? error.message : String(error) }));
    }
  }

  dispose(): void {
    this.viewer?.dispose();
    this.viewer = null;
    replace(this.viewerBox);
  }

  private contents(guide: StageGuide, text: HTMLElement): HTMLElement {
    const links = guide.contents.map(({ id, text: label, level }) =>
      h("a", {
        href: `#${id}`, text: label, data: { level: String(level) },
        on: { click: (event) => { event.preventDefault(); jumpTo(text.querySelector<HTMLElement>(`#${CSS.escape(id)}`)); } },
      }));
    return h("nav", { class: "guide-contents", "aria-label": t("Contents") },
      guide.version && h("span", { class: "caption", text: t("Version {number}", { number: guide.version.number }) }), ...links);
  }

  private exampleList(): HTMLElement {
    return h("section", { class: "guide-examples", "aria-label": t("Examples") }, h("h2", { text: t("Examples") }), this.viewerBox,
      h("ol", {}, ...this.examples.map((example, i) => h("li", {}, h("strong", { class: "numbers", text: i + 1 }),
        h("span", { class: `badge ${example.verdict === "good" ? "success" : "danger"}`, text: kindOf(example) }), h("span", { text: example.caption })))));
  }
}

/** What is different from the version that the person read last; nothing when this is their first. */
export function whatChanged(guide: StageGuide): HTMLElement | null {
  const { version, changes } = guide;
  if (!version) return null;
  return h("div", { class: "notice stack what-changed" },
    h("strong", { text: changes ? t("Changed since version {since}, which you read", { since: changes.since }) : t("New for you: version {number}", { number: version.number }) }),
    version.summary && h("p", { text: version.summary }),
    changes && h("p", { class: "caption", text: t("New passages are marked in the text.") }),
    changes && changes.removed.length > 0 && h("div", {}, h("span", { class: "caption", text: t("No longer said:") }), h("ul", { class: "guide-removed" }, ...changes.removed.map((said) => h("li", {}, h("del", { text: said }))))));
}

/** The guidelines in a dialog over the work, opened at a stage; the others are a click away. */
export function openGuide(root: Element, guides: readonly StageGuide[], stage: string): void {
  const text = new GuideText();
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Guidelines") }, text.element);
  const tabs = STAGES.map((name, i) => h("button", { type: "button", data: { stage: name }, text: `${i + 1} ${stageName(name)}`, on: { click: () => show(name) } }));
  const dialog = h("dialog", { class: "guide-dialog", "aria-label": t("Guidelines") },
    h("div", { class: "frame" },
      h("header", {}, h("h2", { text: t("Guidelines") }), ...tabs, h("span", { class: "grow" }), h("button", { type: "button", on: { click: () => dialog.close() } }, t("Close"), h("kbd", { text: "Esc" }))),
      scroll));
  const show = (name: string) => {
    const guide = guides.find((each) => each.stage === name);
    if (!guide) return;
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.stage === name));
    text.show(guide);
    scroll.scrollTop = 0;
    void text.mount();
  };
  dialog.addEventListener("close", () => { text.dispose(); dialog.remove(); });
  root.append(dialog);
  dialog.showModal();
  show(stage);
  scroll.focus();
}

const kindOf = (example: GuidelineExample): string => {
  if (example.aspect === "shape") return t("shape {value}", { value: example.value ?? "" });
  if (example.aspect === "texture") return t("texture {value}", { value: example.value ?? "" });
  return example.verdict === "good" ? t("good") : t("bad");
};

/** The server has sanitised it, and a parsed document runs nothing. */
const parsed = (html: string): Node[] => [...new DOMParser().parseFromString(html, "text/html").body.childNodes];

function jumpTo(heading: HTMLElement | null): void {
  if (!heading) return;
  heading.tabIndex = -1;
  heading.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}
