/** The objects of a photo: those taken earlier, and one's own, which one can go back to. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { ObjectTarget } from "../net/contract";
import type { Mask } from "../tools/mask";
import type { Naming } from "./label_panel";

export interface Marked extends Naming { mask: Mask; proposal_id: number | null; warnings: string[] }
export interface StoredTarget extends Naming { mask_png: string; proposal_id: number | null; warnings: string[] }

export class ObjectList {
  readonly element = h("div", { class: "targets" });

  constructor(private readonly act: { edit: (target: Marked) => void; remove: (target: Marked) => void }) {}

  show(taken: readonly { label: string }[], marked: readonly Marked[]): void {
    const earlier = taken.map((target) => h("div", {}, h("span", { text: target.label }), h("span", { class: "caption", text: t("earlier") })));
    const own = marked.map((target) =>
      h("div", {}, h("span", { class: "name", text: target.label }),
        h("button", { type: "button", class: "quiet", text: t("Edit"), "aria-label": t("Edit {label}", { label: target.label }), on: { click: () => this.act.edit(target) } }),
        h("button", { type: "button", class: "quiet danger", text: t("Remove"), "aria-label": t("Remove {label}", { label: target.label }), on: { click: () => this.act.remove(target) } })));
    replace(this.element, ...(earlier.length + own.length ? [...earlier, ...own] : [h("p", { class: "caption", text: t("None yet.") })]));
  }
}

/** An answer or a draft as it is kept; what an older page wrote may lack the newer fields. */
export const stored = ({ mask_png, label, taxonomy_key = null, flags = [], proposal_id = null, warnings = [] }: ObjectTarget): StoredTarget => ({ mask_png, label, taxonomy_key, flags, proposal_id, warnings });
