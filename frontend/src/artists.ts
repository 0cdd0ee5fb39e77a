/** Entry of the artists' desk: the queue of cases, and one case with its brief, its upload and a look at the result. */
import { pageUrl, readConfig } from "./core/config";
import type { Config } from "./core/config";
import { h, replace } from "./core/dom";
import { t } from "./core/language";
import { speakIn } from "./core/speaking";
import { Api, failureText } from "./net/api";
import type { ArtistCase, ArtistCaseList, ArtistCaseRow, Project } from "./net/contract";
import { onNews } from "./net/project_news";
import { FLAGS, flagNames } from "./stages/label_panel";
import { toast } from "./ui/dialogs";
import { paint } from "./ui/photo_card";
import { loadImage, loadMask } from "./ui/raster";
import { readReport } from "./ui/report";
import { restoreTheme } from "./ui/theme";
import { TopBar } from "./ui/topbar";
import { uploadBox } from "./ui/upload";
import type { GridViewer } from "./viewer/grid_viewer";

const STATUS_LOOK: Record<ArtistCase["status"], string> = { OPEN: "accent", CLAIMED: "warning", UPLOADED: "warning", ACCEPTED: "success", REWORK: "danger", WITHDRAWN: "" };
const BRIEF_PX = 900;

const statusText = (status: ArtistCase["status"]): string =>
  ({ OPEN: t("open"), CLAIMED: t("in work"), UPLOADED: t("being checked"), ACCEPTED: t("accepted"), REWORK: t("needs rework"), WITHDRAWN: t("taken back") })[status];

const reasonText = (reason: string): string =>
  ({ none_good: t("No candidate has the right shape"), shape_wrong: t("The picked shape is wrong"), mask_wrong: t("The mask was called wrong"), ambiguous: t("The photo leaves the shape open") })[reason] ?? reason;

const flagText = (flag: string): string => flagNames()[FLAGS.findIndex((each) => each === flag)] ?? flag;

const statusBadge = (status: ArtistCase["status"]): HTMLElement => h("span", { class: `badge ${STATUS_LOOK[status]}`, text: statusText(status) });

class QueuePage {
  private readonly rows = h("tbody");

  constructor(private readonly root: HTMLElement, private readonly config: Config, private readonly api: Api, private readonly topbar: TopBar) {}

  async start(): Promise<void> {
    const head = [t("Photo"), t("Object"), t("Why"), t("Note"), t("State"), t("Open")].map((text) => h("th", { scope: "col", text }));
    replace(this.root, this.topbar.element, h("div", { class: "page" }, h("h1", { text: t("Cases for the artists") }),
      h("div", { class: "panel" }, h("table", { class: "table" }, h("thead", {}, h("tr", {}, ...head)), this.rows))));
    await this.refresh();
    onNews(this.config.wsBase, this.config.project.id, (event) => event.type === "artist_case.changed", () => this.refresh());
  }

  private async refresh(): Promise<void> {
    const { results } = await this.api.get<ArtistCaseList>(`/projects/${this.config.project.id}/artist-cases`);
    replace(this.rows, ...(results.length ? results.map((row) => this.row(row)) : [h("tr", {}, h("td", { colspan: 6, class: "caption", text: t("Nothing here. Cases come from stage 2, when no candidate is good enough.") }))]));
  }

  private row(row: ArtistCaseRow): HTMLElement {
    const link = pageUrl.artistCase(this.config.project.slug, row.id);
    return h("tr", { data: { case: String(row.id) } },
      h("td", {}, h("img", { class: "case-thumb", crossorigin: "anonymous", src: row.photo.thumbnail_url, alt: "" })), h("td", {}, h("strong", { text: row.label })),
      h("td", { text: reasonText(row.reason) }), h("td", {}, h("a", { href: link, text: row.note || t("no note") })),
      h("td", {}, h("div", { class: "row" }, statusBadge(row.status), row.claimed_by && h("span", { class: "caption", text: row.claimed_by }))),
      h("td", {}, h("a", { class: "button", href: link, text: t("Open") })));
  }
}

class CasePage {
  private readonly body = h("div", { class: "page" });
  private readonly brief = h("canvas", { role: "img", "aria-label": t("The photo with the object's outline") });
  private readonly desk = h("div", { class: "stack" });
  private readonly failed = h("div", { class: "viewer-box grid" });
  private readonly result = h("div", { class: "viewer-box" });
  private viewers: GridViewer[] = [];
  private shown = "";

  constructor(private readonly root: HTMLElement, private readonly config: Config, private readonly api: Api, private readonly topbar: TopBar) {}

  async start(): Promise<void> {
    replace(this.root, this.topbar.element, this.body);
    const found = await this.fetch();
    await this.build(found);
    onNews(this.config.wsBase, this.config.project.id, (event) => event.type === "artist_case.changed", async () => this.show(await this.fetch()));
  }

  private fetch = (): Promise<ArtistCase> => this.api.get<ArtistCase>(`/artist-cases/${this.config.caseId}`);

  private async build(found: ArtistCase): Promise<void> {
    replace(this.body,
      h("div", { class: "row" }, h("a", { href: pageUrl.artists(this.config.project.slug), text: t("All cases") })),
      h("div", { class: "case" },
        h("div", { class: "stack" },
          h("div", { class: "panel brief-photo" }, this.brief),
          h("h2", { text: t("What the model made ({count}), none good enough", { count: found.candidates.length }) }), this.failed,
          h("h2", { text: t("What was uploaded") }), this.result),
        this.desk));
    await this.show(found);
    await Promise.all([this.drawBrief(found), this.showFailed(found)]);
  }

  private async show(found: ArtistCase): Promise<void> {
    const mine = found.claimed_by === this.config.user.username || found.claimed_by === this.config.user.name;
    const act = (verb: string, text: string, look = "") => h("button", { type: "button", class: look, text, on: { click: () => void this.act(verb) } });
    replace(this.desk,
      h("div", { class: "panel stack" }, h("div", { class: "row spread" }, h("h1", { text: found.label }), statusBadge(found.status)),
        h("p", { text: reasonText(found.reason) }), found.note && h("blockquote", { class: "notice", text: found.note }),
        h("p", { class: "caption", text: `${found.photo.name} · ${found.target.flags.map(flagText).join(", ") || t("no flags")}` }),
        found.claimed_by && found.status !== "ACCEPTED" && h("p", { class: "caption", text: mine ? t("You work on it.") : t("{name} works on it.", { name: found.claimed_by }) }),
        h("div", { class: "row" }, found.status === "OPEN" && act("claim", t("Claim this case"), "primary"), mine && (found.status === "CLAIMED" || found.status === "REWORK") && act("release", t("Give it back")),
          h("a", { class: "button", href: found.photo.url, target: "_blank", rel: "noopener", text: t("Photo") }), h("a", { class: "button", href: found.target.mask_url, target: "_blank", rel: "noopener", text: t("Mask") }))),
      found.report && this.report(found),
      mine && (found.status === "CLAIMED" || found.status === "REWORK") && h("div", { class: "panel stack" }, h("h2", { text: t("Upload") }),
        h("p", { class: "caption", text: t("A binary glTF (.glb), Y-up, one object, front towards the camera of Blender's front view. It is brought into the unit cube.") }), this.upload(found.id)),
      found.status === "UPLOADED" && h("div", { class: "notice", text: t("The file is being checked. This takes a few seconds.") }));
    await this.showResult(found);
  }

  private report(found: ArtistCase): HTMLElement {
    const { sentences, figures } = readReport(found.report ?? {});
    const look = found.status === "REWORK" ? "error" : found.status === "ACCEPTED" ? "success" : "";
    return h("div", { class: `notice stack ${look}` }, h("h2", { text: found.status === "REWORK" ? t("Please rework") : t("Checked") }),
      sentences.length > 0 && h("ul", { class: "report" }, ...sentences.map((text) => h("li", { text }))),
      figures.length > 0 && h("dl", { class: "figures-list" }, ...figures.flatMap(([name, value]) => [h("dt", { class: "caption", text: name }), h("dd", { text: value })])));
  }

  private upload(id: number): HTMLElement {
    return uploadBox({
      title: t("Drop the GLB here"), hint: t("One file; a new one replaces the last."), accept: ".glb,model/gltf-binary", multiple: false, maxBytes: this.config.limits?.meshBytes,
      send: async (file, onProgress) => {
        const form = new FormData();
        form.append("file", file);
        await this.api.upload<ArtistCase>(`/artist-cases/${id}/upload`, form, onProgress);
        return t("uploaded");
      },
      done: () => void this.fetch().then((found) => this.show(found)),
    });
  }

  private async act(verb: string): Promise<void> {
    try {
      await this.show(await this.api.post<ArtistCase>(`/artist-cases/${this.config.caseId}/${verb}`));
    } catch (error) {
      toast(this.root, failureText(error), "error");
    }
  }

  private async drawBrief(found: ArtistCase): Promise<void> {
    const photo = await loadImage(found.photo.url);
    const part = Math.min(1, BRIEF_PX / photo.naturalWidth);
    this.brief.width = Math.round(photo.naturalWidth * part);
    this.brief.height = Math.round(photo.naturalHeight * part);
    paint(this.brief, photo, await loadMask(found.target.mask_url, this.brief.width, this.brief.height));
  }

  private async showFailed(found: ArtistCase): Promise<void> {
    const { GridViewer } = await import("./viewer/grid_viewer");
    const viewer = new GridViewer(this.failed);
    this.viewers.push(viewer);
    await viewer.show(found.candidates.map((candidate, i) => ({ ...candidate, label: String(i + 1), note: "" })));
  }

  /** The uploaded mesh; loaded again only when it is another file. */
  private async showResult(found: ArtistCase): Promise<void> {
    const key = `${found.status} ${found.mesh_url?.split("?")[0] ?? ""}`;
    if (key === this.shown) return;
    this.shown = key;
    if (!found.mesh_url) {
      replace(this.result, h("div", { class: "veil" }, h("p", { class: "caption", text: t("Nothing has been uploaded yet.") })));
      return;
    }
    const { GridViewer } = await import("./viewer/grid_viewer");
    this.result.replaceChildren();
    const viewer = new GridViewer(this.result);
    this.viewers.push(viewer);
    await viewer.show([{ id: 0, mesh_url: found.mesh_url, preview_url: found.mesh_url, label: found.label, note: "" }]);
  }
}

async function start(root: HTMLElement, config: Config): Promise<void> {
  await speakIn(config.language);
  const api = new Api(config.apiBase, config.csrfToken);
  const topbar = new TopBar(config);
  const page = config.page === "artist-case" ? new CasePage(root, config, api, topbar) : new QueuePage(root, config, api, topbar);
  try {
    await page.start();
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
