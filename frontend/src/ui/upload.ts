/** Drag-and-drop of several files, each with its own progress and its own error. */
import { h } from "../core/dom";
import { t } from "../core/language";
import { Queue } from "../core/queue";
import { failureText } from "../net/api";
import { icon } from "./icons";

export interface UploadOptions {
  title: string;
  hint: string;
  accept: string;
  multiple: boolean;
  /** Refused before sending, with a reason; a server cannot answer while it is being flooded. */
  maxBytes?: number;
  send: (file: File, onProgress: (part: number) => void) => Promise<string>;
  done: () => void;
}

export function uploadBox(options: UploadOptions): HTMLElement {
  const list = h("div", { class: "uploads", role: "status", "aria-live": "polite" });
  const input = h("input", { type: "file", accept: options.accept, multiple: options.multiple, class: "visually-hidden", tabindex: -1, "aria-label": options.title });
  const box = h("div", { class: "drop" },
    h("div", { class: "row" }, icon("upload"), h("div", {}, h("strong", { text: options.title }), h("div", { class: "caption", text: options.hint }))),
    h("button", { type: "button", text: t("Choose files…"), on: { click: () => input.click() } }), input, list);
  const queue = new Queue();
  const take = (files: Iterable<File>) => {
    const sending = [...files].slice(0, options.multiple ? undefined : 1).map((file) => queue.add(() => uploadOne(file, list, options)));
    void Promise.allSettled(sending).then(() => options.done());
  };
  input.addEventListener("change", () => {
    take(input.files ?? []);
    input.value = "";
  });
  for (const type of ["dragenter", "dragover"]) box.addEventListener(type, (event) => { event.preventDefault(); box.classList.add("over"); });
  for (const type of ["dragleave", "drop"]) box.addEventListener(type, (event) => { event.preventDefault(); box.classList.remove("over"); });
  box.addEventListener("drop", (event) => take(event.dataTransfer?.files ?? []));
  return box;
}

async function uploadOne(file: File, list: HTMLElement, options: UploadOptions): Promise<void> {
  const bar = h("div");
  const state = h("span", { class: "caption", text: t("waiting") });
  const row = h("div", { class: "upload" }, h("span", { class: "name", text: file.name, title: file.name }), h("div", { class: "progress" }, bar), state);
  const close = h("button", { type: "button", class: "quiet", text: "OK", "aria-label": t("Dismiss {name}", { name: file.name }), on: { click: () => row.remove() } });
  bar.style.transform = "scaleX(0)";
  list.append(row);
  try {
    if (options.maxBytes && file.size > options.maxBytes) throw new Error(t("It has {size}; at most {most} are taken.", { size: megabytes(file.size), most: megabytes(options.maxBytes) }));
    const said = await options.send(file, (part) => {
      bar.style.transform = `scaleX(${part})`;
      state.textContent = part < 1 ? `${Math.round(part * 100)} %` : t("being checked…");
    });
    state.textContent = said;
    state.className = "badge success";
    setTimeout(() => row.remove(), 6000);
  } catch (error) {
    row.replaceChildren(h("span", { class: "name", text: file.name }), h("div", { class: "notice error", role: "alert", text: failureText(error) }), close);
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
