/** Dialogs that ask: a reason and a note, or a yes; and short messages that leave by themselves. */
import { h } from "../core/dom";
import { t } from "../core/language";

export interface Question {
  title: string;
  text?: string;
  reasons: readonly (readonly [value: string, label: string])[];
  noteLabel?: string;
  action: string;
}

/** The chosen reason and note, or null when the person went back. */
export function ask(root: Element, question: Question): Promise<{ reason: string; note: string } | null> {
  return new Promise((resolve) => {
    const note = h("textarea", { name: "note", maxlength: 2000, placeholder: t("Optional") });
    const radios = question.reasons.map(([value, label], i) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "reason", value, checked: i === 0 }), label, h("kbd", { text: i + 1, "aria-hidden": "true" })),
    );
    const form = h(
      "form", { method: "dialog" },
      h("h2", { text: question.title }), question.text && h("p", { class: "caption", text: question.text }),
      h("div", { class: "stack", role: "radiogroup" }, ...radios),
      question.noteLabel && h("label", { class: "field" }, h("span", { text: question.noteLabel }), note),
      h("div", { class: "actions" },
        h("button", { type: "button", text: t("Go back"), on: { click: () => dialog.close("") } }),
        h("button", { class: "primary", value: "yes", text: question.action })),
    );
    const dialog = h("dialog", { "aria-label": question.title }, form);
    form.addEventListener("keydown", (event) => {
      const chosen = radios[Number(event.key) - 1];
      if (event.target === note) {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      } else if (chosen) chosen.querySelector("input")!.checked = true;
    });
    dialog.addEventListener("close", () => {
      const reason = new FormData(form).get("reason");
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? { reason: String(reason ?? ""), note: note.value.trim() } : null);
    });
    root.append(dialog);
    dialog.showModal();
  });
}

const TOAST_MS = 7000;

export type ToastKind = "error" | "warning" | "success" | "fresh" | "";

/** One thing to do about a message, while it is there. */
export interface ToastAction { label: string; title?: string; take: () => void }

/** A short message; returns what takes it away before its time. */
export function toast(root: Element, text: string, kind: ToastKind = "", action?: ToastAction): () => void {
  let holder = root.querySelector(".toasts");
  if (!holder) {
    holder = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    root.append(holder);
  }
  const message = h("div", { class: `notice ${kind}`, on: { click: () => message.remove() } }, h("span", { text }),
    action && h("button", { type: "button", text: action.label, title: action.title, on: { click: action.take } }));
  holder.append(message);
  setTimeout(() => message.remove(), TOAST_MS);
  return () => message.remove();
}
