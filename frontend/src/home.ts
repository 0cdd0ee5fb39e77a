/** Entry of a project's page: start work, see the photos, upload more. */
import { pageUrl, readConfig } from "./core/config";
import type { Config } from "./core/config";
import { h, replace } from "./core/dom";
import { t } from "./core/language";
import { speakIn } from "./core/speaking";
import { Api, failureText } from "./net/api";
import type { Image, ImagePage, PointMap, Project } from "./net/contract";
import { onNews } from "./net/project_news";
import { toast } from "./ui/dialogs";
import { restoreTheme } from "./ui/theme";
import { stageDoes, stageName, STAGES, TopBar } from "./ui/topbar";
import { uploadBox } from "./ui/upload";

const EVENTS = new Set(["image.changed", "point_map.changed", "queue.changed", "target.changed", "batch.changed", "artist_case.changed", "round.changed", "arena_match.changed"]);
const MAY_UPLOAD = ["lead", "ml_engineer", "admin"];

class HomePage {
  private readonly api: Api;
  private readonly topbar: TopBar;
  private readonly starts = h("section", { class: "starts", "aria-label": t("Start work") });
  private readonly about = h("div", { class: "row wrap" });
  private readonly photos = h("div", { class: "photos" });
  private readonly count = h("span", { class: "caption" });
  private readonly more = h("button", { type: "button", text: t("Older photos"), hidden: true, on: { click: () => void this.loadMore() } });
  private pages = 1;

  constructor(private readonly root: HTMLElement, private readonly config: Config) {
    this.api = new Api(config.apiBase, config.csrfToken);
    this.topbar = new TopBar(config);
  }

  async start(): Promise<void> {
    const roles = this.config.project.roles ?? [];
    const mayUpload = roles.length === 0 || MAY_UPLOAD.some((role) => roles.includes(role));
    replace(this.root, this.topbar.element,
      h("div", { class: "page" },
        h("div", { class: "row spread wrap" }, h("h1", { text: this.config.project.name }), this.about),
        this.starts,
        h("section", { class: "stack", "aria-label": t("Photos") }, h("div", { class: "row spread" }, h("h2", { text: t("Photos") }), this.count),
          mayUpload && this.upload(), this.photos, h("div", {}, this.more))));
    await this.refresh();
    onNews(this.config.wsBase, this.config.project.id, (event) => EVENTS.has(event.type), () => this.refresh());
    this.root.dataset.ready = "1";
  }

  private async refresh(): Promise<void> {
    try {
      const [project] = await Promise.all([this.api.get<Project>(`/projects/${this.config.project.id}`), this.showPhotos()]);
      this.showProject(project);
    } catch (error) {
      toast(this.root, failureText(error), "error");
    }
  }

  private showProject(project: Project): void {
    this.topbar.showQueues(project);
    this.count.textContent = t("{count} in this project", { count: project.num_images });
    replace(this.about,
      project.paused && h("span", { class: "badge warning", text: t("paused") }),
      h("span", { class: "badge", text: project.round_number === null ? t("no round open") : t("round {number}", { number: project.round_number }), title: t("Picks rated at least {alpha} go on to stage 3", { alpha: project.alpha }) }),
      project.arena_matches > 0 && h("a", { class: "badge accent", href: pageUrl.arena(project.slug), text: t("{count} blind pairs to judge", { count: project.arena_matches }) }),
      project.artist_cases_open > 0 && h("a", { class: "badge accent", href: pageUrl.artists(project.slug), text: t("{count} with the artists", { count: project.artist_cases_open }) }));
    replace(this.starts, ...STAGES.map((stage, i) => {
      const { open, leased } = project.queues[stage];
      return h("a", { class: "start", href: pageUrl.work(project.slug, stage), data: { stage } },
        h("strong", { text: `${i + 1} ${stageName(stage)}` }), h("span", { class: open ? "depth" : "depth empty", text: open, title: t("{open} waiting", { open }) }),
        h("span", { class: "caption", text: `${stageDoes(stage)}.${leased ? ` ${t("{leased} in work.", { leased })}` : ""}` }));
    }));
  }

  private async showPhotos(): Promise<void> {
    const images: Image[] = [];
    let next: number | null = null;
    for (let page = 0; page < this.pages; page++) {
      const part: ImagePage = await this.api.get<ImagePage>(`/projects/${this.config.project.id}/images${next === null ? "" : `?before=${next}`}`);
      images.push(...part.results);
      next = part.next;
      if (next === null) break;
    }
    this.more.hidden = next === null;
    replace(this.photos, ...(images.length ? images.map(photoCard) : [h("p", { class: "caption", text: t("No photos yet. Drop some above, or use manage.py ingest_images.") })]));
  }

  private async loadMore(): Promise<void> {
    this.pages += 1;
    await this.showPhotos();
  }

  private upload(): HTMLElement {
    const { id } = this.config.project;
    return uploadBox({
      title: t("Drop photos here"), hint: t("JPEG, PNG or WebP. The same photo is never stored twice."), accept: "image/jpeg,image/png,image/webp", multiple: true,
      maxBytes: this.config.limits?.imageBytes,
      send: async (file, onProgress) => {
        const form = new FormData();
        form.append("file", file);
        const reply = await this.api.upload<Image>(`/projects/${id}/images`, form, onProgress);
        return reply.status === 200 ? t("here already") : t("added");
      },
      done: () => void this.refresh(),
    });
  }
}

function photoCard(image: Image): HTMLElement {
  return h("article", { class: "photo", data: { image: String(image.id) } },
    h("img", { crossorigin: "anonymous", src: image.thumbnail_url, alt: image.name, loading: "lazy", width: 204, height: 150 }),
    h("div", { class: "about" }, h("span", { class: "name", text: image.name, title: [image.name, image.attribution, image.licence].filter(Boolean).join(" · ") }),
      h("span", { class: "caption", text: `${image.width} × ${image.height} · ${image.num_targets === 1 ? t("1 object") : t("{count} objects", { count: image.num_targets })}` }),
      h("div", { class: "row wrap" }, image.status !== "READY" && h("span", { class: "badge warning", text: image.status === "PENDING" ? t("pending") : t("refused") }), pointMapBadge(image.point_map))));
}

function pointMapBadge(map: PointMap | null): HTMLElement {
  if (!map) return h("span", { class: "badge", text: t("no depth") });
  const title = [t("from {source}", { source: map.source }), map.metric ? t("metric") : t("no metric scale"), map.detail].filter(Boolean).join(" · ");
  if (map.status === "PENDING") return h("span", { class: "badge", text: t("depth is coming…"), title });
  if (map.status === "REFUSED") return h("span", { class: "badge danger", text: t("depth refused"), title });
  return map.approximate ? h("span", { class: "badge warning", text: t("approximate depth"), title }) : h("span", { class: "badge success", text: t("measured depth"), title });
}

async function start(root: HTMLElement, config: Config): Promise<void> {
  await speakIn(config.language);
  await new HomePage(root, config).start();
}

restoreTheme();
const root = document.getElementById("app");
if (root) {
  document.body.classList.add("candid8");
  void start(root, readConfig());
}
