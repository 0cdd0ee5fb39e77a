/** Entry of the guidelines' own page: the text and examples of each stage. */
import { readConfig } from "./core/config";
import type { Config } from "./core/config";
import { h, replace } from "./core/dom";
import { t } from "./core/language";
import { speakIn } from "./core/speaking";
import { Api, failureText } from "./net/api";
import type { Guidelines, Project, StageGuide } from "./net/contract";
import { toast } from "./ui/dialogs";
import { GuideText } from "./ui/guide";
import { restoreTheme } from "./ui/theme";
import { STAGES, stageName, TopBar } from "./ui/topbar";

async function start(root: HTMLElement, config: Config): Promise<void> {
  await speakIn(config.language);
  const api = new Api(config.apiBase, config.csrfToken);
  const topbar = new TopBar(config);
  const text = new GuideText();
  const tabs = h("nav", { class: "row", "aria-label": t("Guidelines of") });
  replace(root, topbar.element, h("div", { class: "page" }, h("div", { class: "row spread wrap" }, h("h1", { text: t("Guidelines") }), tabs), h("section", { class: "panel" }, text.element)));
  const show = (guides: readonly StageGuide[], stage: string) => {
    const guide = guides.find((each) => each.stage === stage);
    if (!guide) return;
    for (const tab of tabs.querySelectorAll("button")) tab.setAttribute("aria-pressed", String(tab.dataset.stage === stage));
    text.show(guide);
    void text.mount();
  };
  try {
    const { stages } = await api.get<Guidelines>(`/projects/${config.project.id}/guidelines`);
    replace(tabs, ...STAGES.map((stage, i) => h("button", { type: "button", data: { stage }, text: `${i + 1} ${stageName(stage)}`, on: { click: () => show(stages, stage) } })));
    const wanted = new URLSearchParams(location.search).get("stage");
    show(stages, STAGES.some((stage) => stage === wanted) ? (wanted as string) : "object");
    topbar.showQueues(await api.get<Project>(`/projects/${config.project.id}`));
  } catch (error) {
    toast(root, failureText(error), "error");
  }
  root.dataset.ready = "1";
}

restoreTheme();
const root = document.getElementById("app");
if (root) {
  document.body.classList.add("candid8");
  void start(root, readConfig());
}
