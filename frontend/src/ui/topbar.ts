/** The bar at the top of every page: where we are, the three stages with their queues, and who is logged in. */
import type { Config } from "../core/config";
import { pageUrl } from "../core/config";
import { h } from "../core/dom";
import { t } from "../core/language";
import { Api } from "../net/api";
import type { Project, Stage } from "../net/contract";
import { icon } from "./icons";
import { languages } from "./settings";
import { toggleTheme } from "./theme";

export const STAGES: readonly Stage[] = ["object", "pick", "pose"];

export const stageName = (stage: Stage): string => ({ object: t("Object"), pick: t("Pick"), pose: t("Pose") })[stage];

export const stageDoes = (stage: Stage): string =>
  ({ object: t("Mark one object in a photo and name it"), pick: t("Pick the best of eight 3D candidates and rate it"), pose: t("Place the picked shape in the scene") })[stage];

export class TopBar {
  readonly element: HTMLElement;
  /** Room for the page's own things, at the right. */
  readonly slot = h("div", { class: "row" });
  private readonly round = h("span", { class: "badge round-badge", hidden: true });
  private readonly depths = new Map<Stage, HTMLElement>();

  constructor(config: Config) {
    const { slug, name } = config.project;
    const tabs = STAGES.map((stage, i) => {
      const depth = h("span", { class: "badge numbers", hidden: true });
      this.depths.set(stage, depth);
      return h("a", { href: pageUrl.work(slug, stage), title: stageDoes(stage), "aria-current": config.stage === stage ? "page" : undefined }, `${i + 1} ${stageName(stage)}`, depth);
    });
    this.element = h(
      "header", { class: "topbar" },
      h("a", { class: "brand", href: "/", text: "Candid8" }),
      h("a", { class: "project", href: pageUrl.home(slug), title: t("All photos of this project"), text: name }),
      h("nav", { class: "tabs", "aria-label": t("Stages") }, ...tabs),
      config.page === "work" ? null : h("nav", { class: "tabs", "aria-label": t("More") }, ...this.more(config)),
      this.round,
      h("span", { class: "grow" }),
      this.slot,
      config.page === "work" ? null : languageChoice(config),
      h("button", { class: "quiet", type: "button", title: t("Dark or light"), "aria-label": t("Dark or light"), on: { click: () => keepTheme(config, toggleTheme()) } }, icon("theme")),
      this.logOut(config),
    );
  }

  showQueues(project: Project): void {
    this.round.hidden = project.round_number === null;
    this.round.textContent = t("round {number}", { number: project.round_number ?? "" });
    for (const [stage, depth] of this.depths) {
      const open = project.queues[stage].open;
      depth.textContent = String(open);
      depth.hidden = open === 0;
      depth.title = t("{open} waiting, {leased} in work", { open, leased: project.queues[stage].leased });
    }
  }

  private more(config: Config): HTMLElement[] {
    const roles = config.project.roles ?? [];
    const isOneOf = (...names: string[]) => roles.length === 0 || names.some((name) => roles.includes(name));
    const current = (isHere: boolean) => (isHere ? "page" : undefined);
    return [
      h("a", { href: pageUrl.guidelines(config.project.slug), "aria-current": current(config.page === "guidelines"), text: t("Guidelines") }),
      isOneOf("artist", "lead", "admin") && h("a", { href: pageUrl.artists(config.project.slug), "aria-current": current(config.page.startsWith("artist")), text: t("Artists") }),
      isOneOf("ml_engineer", "lead", "admin") && h("a", { href: pageUrl.console(), text: t("Console") }),
    ].filter((link) => link !== false);
  }

  private logOut(config: Config): HTMLElement {
    return h(
      "form", { method: "post", action: "/logout" },
      h("input", { type: "hidden", name: "csrfmiddlewaretoken", value: config.csrfToken }),
      h("button", { class: "quiet", title: t("Log out"), "aria-label": `${t("Log out")}: ${config.user.name}` }, icon("leave"), h("span", { class: "caption", text: config.user.name })),
    );
  }
}

/** On the pages around the work; there it stands in the sheet of keys. */
function languageChoice(config: Config): HTMLElement {
  const select = h("select", { class: "language", "aria-label": t("Language"), on: {
    change: () => void new Api(config.apiBase, config.csrfToken).send("PATCH", "/me/settings", { language: select.value }).then(() => location.reload()).catch(() => { select.value = config.settings?.language ?? ""; }),
  } }, ...languages().map(([value, text]) => h("option", { value, text, selected: (config.settings?.language ?? "") === value })));
  return select;
}

/** So that the next page, on any device, looks the same; where that fails this browser remembers it. */
function keepTheme(config: Config, theme: string): void {
  void new Api(config.apiBase, config.csrfToken).send("PATCH", "/me/settings", { theme }).catch(() => undefined);
}
