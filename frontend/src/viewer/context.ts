/** Makes the one WebGL renderer of a page, plainer where there is no GPU. */
import { WebGLRenderer } from "three";

export interface Renderer { gl: WebGLRenderer; isSoftware: boolean }

export class NoWebGl extends Error {
  constructor() {
    super("This browser gives no WebGL 2, which the 3D views need. Switch hardware acceleration on, or use another browser.");
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

function rendererName(): string {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) throw new NoWebGl();
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return name;
}
