/** Makes the one WebGL renderer of a page, plainer where there is no GPU; or says that there can be none. */
import { WebGLRenderer } from "three";
import { h, replace } from "../core/dom";
import { t } from "../core/language";

export interface Renderer { gl: WebGLRenderer; isSoftware: boolean }

export class NoWebGl extends Error {
  constructor() {
    super(t("This browser gives no WebGL 2, which the 3D views need. Switch hardware acceleration on, or use another browser."));
  }
}

/** Raises NoWebGl. */
export function createRenderer(canvas: HTMLCanvasElement): Renderer {
  const isSoftware = /llvmpipe|SwiftShader|software/i.test(rendererName());
  const gl = new WebGLRenderer({ canvas, antialias: !isSoftware, powerPreference: "high-performance" });
  gl.setPixelRatio(isSoftware ? 1 : Math.min(2, devicePixelRatio));
  gl.autoClear = false;
  return { gl, isSoftware };
}

/** Instead of a page that needs 3D views: what is missing, and what can be done about it. No task is taken meanwhile. */
export function showNoWebGl(root: Element, homeUrl: string): void {
  const step = (text: string) => h("li", { text });
  replace(root, h("main", { class: "page narrow" }, h("section", { class: "panel stack", role: "alert", data: { fault: "no-webgl" } },
    h("h1", { text: t("This browser cannot draw in 3D") }),
    h("p", { text: t("The page needs WebGL 2, and the browser does not give it. Nothing was taken from the queue.") }),
    h("ul", {}, step(t("Switch hardware acceleration on in the browser's settings, then start it again.")), step(t("Bring the graphics driver up to date, or use another browser or machine."))),
    h("div", { class: "row" }, h("button", { type: "button", class: "primary", text: t("Look again"), on: { click: () => location.reload() } }), h("a", { class: "button", href: homeUrl, text: t("To the project") })))));
}

function rendererName(): string {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) throw new NoWebGl();
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return name;
}
