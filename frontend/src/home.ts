/** Entry of a project's page: start work, see the photos, upload more. */
import { pageUrl, readConfig } from "./core/config";
import type { Config } from "./core/config";
import { h, replace } from "./core/dom";
import { Api, failureText } from "./net/api";
import type { Image, ImagePage, PointMap, Project } from "./net/contract";
import { onNews } from "./net/project_news";
import { toast } from "./ui/dialogs";
import { restoreTheme } from "./ui/theme";
import { STAGES, TopBar } from "./ui/topbar";
import { uploadBox } from "./ui/upload";

const EVENTS = new Set(["image.changed", "point_map.changed", "queue.changed", "target.changed", "batch.changed", "artist_case.changed", "round.changed"]);
const MAY_UPLOAD = ["lead", "ml_engineer", "admin"];

class HomePage {
  private readonly api: Api;
  private readonly topbar: TopBar;
  private readonly starts = h("section", { class: "starts", "aria-label": "Start work" });
  private readonly about = h("div", { class: "row wrap" });
  private readonly photos = h("div", { class: "photos" });
  private readonly count = h("span", { class: "caption" });
  private readonly more = h("button", { type: "button", text: "Older photos", hidden: true, on: { click: () => void this.loadMore() } });
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
        h("section", { class: "stack", "aria-label": "Photos" }, h("div", { class: "row spread" }, h("h2", { text: "Photos" }), this.count),
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
    this.count.textContent = `${project.num_images} in this project`;
    replace(this.about,
      project.paused && h("span", { class: "badge warning", text: "paused" }),
      h("span", { class: "badge", text: project.round_number === null ? "no round open" : `round ${project.round_number}`, title: `Picks rated at least ${project.alpha} go on to stage 3` }),
      project.artist_cases_open > 0 && h("a", { class: "badge accent", href: pageUrl.artists(project.slug), text: `${project.artist_cases_open} with the artists` }));
    replace(this.starts, ...STAGES.map(({ stage, name, does }, i) => {
      const { open, leased } = project.queues[stage];
      return h("a", { class: "start", href: pageUrl.work(project.slug, stage), data: { stage } },
        h("strong", { text: `${i + 1} ${name}` }), h("span", { class: open ? "depth" : "depth empty", text: open, title: `${open} waiting` }),
        h("span", { class: "caption", text: leased ? `${does}. ${leased} in work.` : `${does}.` }));
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
    replace(this.photos, ...(images.length ? images.map(photoCard) : [h("p", { class: "caption", text: "No photos yet. Drop some above, or use manage.py ingest_images." })]));
  }

  private async loadMore(): Promise<void> {
    this.pages += 1;
    await this.showPhotos();
  }

  private upload(): HTMLElement {
    const { id } = this.config.project;
    return uploadBox({
      title: "Drop photos here", hint: "JPEG, PNG or WebP. The same photo is never stored twice.", accept: "image/jpeg,image/png,image/webp", multiple: true,
      maxBytes: this.config.limits?.imageBytes,
      send: async (file, onProgress) => {
        const form = new FormData();
        form.append("file", file);
        const reply = await this.api.upload<Image>(`/projects/${id}/images`, form, onProgress);
        return reply.status === 200 ? "here already" : "added";
      },
      done: () => void this.refresh(),
    });
  }
}

function photoCard(image: Image): HTMLElement {
  return h("article", { class: "photo", data: { image: String(image.id) } },
    h("img", { crossorigin: "anonymous", src: image.thumbnail_url, alt: image.name, loading: "lazy", width: 204, height: 150 }),
    h("div", { class: "about" }, h("span", { class: "name", text: image.name, title: [image.name, image.attribution, image.licence].filter(Boolean).join(" · ") }),
      h("span", { class: "caption", text: `${image.width} × ${image.height} · ${image.num_targets} object${image.num_targets === 1 ? "" : "s"}` }),
      h("div", { class: "row wrap" }, image.status !== "READY" && h("span", { class: "badge warning", text: image.status.toLowerCase() }), pointMapBadge(image.point_map))));
}

function pointMapBadge(map: PointMap | null): HTMLElement {
  if (!map) return h("span", { class: "badge", text: "no depth" });
  const title = [`from ${map.source}`, map.metric ? "metric" : "no metric scale", map.detail].filter(Boolean).join(" · ");
  if (map.status === "PENDING") return h("span", { class: "badge", text: "depth is coming…", title });
  if (map.status === "REFUSED") return h("span", { class: "badge danger", text: "depth refused", title });
  return map.approximate ? h("span", { class: "badge warning", text: "approximate depth", title }) : h("span", { class: "badge success", text: "measured depth", title });
}

restoreTheme();
const root = document.getElementById("app");
if (root) {
  document.body.classList.add("candid8");
  void new HomePage(root, readConfig()).start();
}
