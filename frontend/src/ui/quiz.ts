/** The entry quiz around the stage's own screen: what is asked, and what an answer was worth. */
import "./guide.css";
import { h } from "../core/dom";
import { t } from "../core/language";
import type { QuizMark, QuizQuestion } from "../net/contract";
import { icon } from "./icons";
import { paint } from "./photo_card";
import { loadImage, loadMask } from "./raster";

const REFERENCE_PX = 640;

/** The line over the work that says which question it is. */
export function questionStrip(question: QuizQuestion): HTMLElement {
  return h("div", { class: "notice quiz-strip", role: "status" },
    h("span", { class: "badge accent", text: t("Quiz {number} of {of}", { number: question.number, of: question.num_questions }) }),
    h("span", { text: question.prompt }));
}

/** Shows the mark; resolves when the person goes on. */
export function showMark(root: Element, mark: QuizMark, photoUrl: string): Promise<void> {
  return new Promise((resolve) => {
    const figures = Object.entries(mark.figures).flatMap(([name, value]) => [h("dt", { class: "caption", text: figureName(name) }), h("dd", { text: value as string | number })]);
    const canvas = h("canvas", { role: "img", "aria-label": t("The photo with the right outline") });
    const dialog = h("dialog", { "aria-label": mark.is_right ? t("Right") : t("Not right") },
      h("form", { method: "dialog", class: "mark" },
        h("h2", { class: "verdict" }, h("span", { class: `badge ${mark.is_right ? "success" : "danger"}` }, icon(mark.is_right ? "check" : "warning"), mark.is_right ? t("Right") : t("Not right")),
          h("span", { class: "caption", text: t("{right} right so far, {needed} of {of} needed", { right: mark.num_right, needed: mark.num_needed, of: mark.num_questions }) })),
        h("p", { text: mark.why }), bestText(mark), mark.reference.mask_url ? canvas : null,
        h("dl", { class: "figures-list" }, ...figures),
        mark.is_over && h("p", { class: `notice ${mark.is_passed ? "success" : "warning"}`, text: mark.is_passed ? t("You have passed. The next task is real work.") : t("Not passed this time. Look at the guidelines again; after a pause you may repeat it.") }),
        h("div", { class: "actions" }, h("button", { class: "primary", autofocus: true }, mark.is_over ? t("Go on") : t("Next question"), h("kbd", { text: "Enter", "aria-hidden": "true" })))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(); });
    root.append(dialog);
    dialog.showModal();
    if (mark.reference.mask_url) void drawReference(canvas, photoUrl, mark.reference.mask_url);
  });
}

/** The server's names of figures, as people read them. */
const figureName = (name: string): string => ({
  overlap: t("Overlap with the right mask"), overlap_needed: t("Overlap needed"), pick: t("Your pick"),
  rotation_deg: t("Turned away by (degrees)"), rotation_deg_allowed: t("Degrees allowed"),
  translation_share: t("Moved away by (share of its size)"), translation_share_allowed: t("Share allowed"),
  add_s_share: t("Distance of the surfaces (share of its diameter)"), add_s_share_allowed: t("Distance allowed"),
})[name] ?? name;

function bestText(mark: QuizMark): HTMLElement | null {
  const { best = [], avoid = [] } = mark.reference;
  if (best.length > 0) return h("p", { text: t("Best on your screen: number {places}", { places: best.join(", ") }) });
  return avoid.length > 0 ? h("p", { text: t("Clearly wrong on your screen: number {places}", { places: avoid.join(", ") }) }) : null;
}

async function drawReference(canvas: HTMLCanvasElement, photoUrl: string, maskUrl: string): Promise<void> {
  const photo = await loadImage(photoUrl);
  const part = Math.min(1, REFERENCE_PX / photo.naturalWidth);
  canvas.width = Math.round(photo.naturalWidth * part);
  canvas.height = Math.round(photo.naturalHeight * part);
  paint(canvas, photo, await loadMask(maskUrl, canvas.width, canvas.height));
}
