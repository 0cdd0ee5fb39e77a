/** The photo from its own camera with the mesh over it: opacity, silhouette, target outline; and what can be measured there. */
import {
  Color, DataTexture, HalfFloatType, LinearFilter, Mesh, NearestFilter, OrthographicCamera, PerspectiveCamera, PlaneGeometry, RedFormat, Scene, ShaderMaterial, Texture,
  Vector2, WebGLRenderTarget,
} from "three";
import type { Scene as SceneType, WebGLRenderer } from "three";
import type { Intrinsics } from "../net/contract";
import { iou, Mask, resize } from "../tools/mask";
import type { Rect } from "../tools/mask";
import { token } from "../ui/theme";
import { photoCameraInScene, projectionFromIntrinsics } from "./frames";

/** What the photo's camera sees of the shape lies on this layer, lights included. */
export const SHAPE_LAYER = 1;

const MEASURE_PX = 320;
const FEWEST_DEPTHS = 20;

export interface Measure { iou: number; residual: number | null }

export class PhotoOverlay {
  opacity = 0.55;
  isMeshHidden = false;
  /** What is not the target grows dark. */
  isDimmed = false;
  /** The photo's own. */
  readonly camera = new PerspectiveCamera();
  private readonly flat = new OrthographicCamera(-1, 1, 1, -1, 0, 1);
  private readonly quadScene = new Scene();
  private readonly shape = new WebGLRenderTarget(4, 4, { type: HalfFloatType, minFilter: LinearFilter, magFilter: LinearFilter });
  private readonly depth: WebGLRenderTarget;
  private readonly composite: ShaderMaterial;
  private readonly depthMaterial: ShaderMaterial;
  private readonly photoTexture: Texture;
  private readonly maskTexture: DataTexture;
  private readonly pixels: Uint8Array;
  private readonly target: Uint8Array;
  private readonly covered: Uint8Array;
  private cloudDepth: Float32Array | null = null;
  private readonly far: number;

  constructor(private readonly gl: WebGLRenderer, private readonly intrinsics: Intrinsics, photo: HTMLImageElement, mask: Mask, far: number) {
    this.far = far;
    const whole = { x: 0, y: 0, width: intrinsics.width, height: intrinsics.height };
    this.camera.matrixAutoUpdate = false;
    this.camera.matrixWorldAutoUpdate = false;
    this.camera.matrixWorld.copy(photoCameraInScene());
    this.camera.matrixWorldInverse.copy(this.camera.matrixWorld).invert();
    this.camera.projectionMatrix.copy(projectionFromIntrinsics(intrinsics, whole, far / 2000, far));
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
    this.camera.layers.set(SHAPE_LAYER);
    const width = Math.min(MEASURE_PX, intrinsics.width), height = Math.max(1, Math.round((width * intrinsics.height) / intrinsics.width));
    this.depth = new WebGLRenderTarget(width, height, { minFilter: NearestFilter, magFilter: NearestFilter });
    this.pixels = new Uint8Array(width * height * 4);
    this.covered = new Uint8Array(width * height);
    this.target = resize(mask, width, height).data;
    this.photoTexture = new Texture(photo);
    this.photoTexture.needsUpdate = true;
    this.maskTexture = new DataTexture(mask.data.map((v) => v * 255), mask.width, mask.height, RedFormat);
    this.maskTexture.flipY = true;
    this.maskTexture.unpackAlignment = 1;
    this.maskTexture.minFilter = this.maskTexture.magFilter = LinearFilter;
    this.maskTexture.needsUpdate = true;
    this.composite = compositeMaterial(this.photoTexture, this.shape.texture, this.maskTexture);
    this.depthMaterial = depthMaterial(far);
    this.quadScene.add(new Mesh(new PlaneGeometry(2, 2), this.composite));
    this.refreshColours();
  }

  /** The cloud's depth at each measured pixel: the nearest point that falls into it. */
  setCloud(positions: Float32Array): void {
    const { width, height } = this.depth;
    const depth = new Float32Array(width * height).fill(Infinity);
    const k = this.intrinsics;
    for (let i = 0; i < positions.length; i += 3) {
      const z = positions[i + 2] as number;
      if (!(z > 0)) continue;
      const u = Math.floor((((k.fx * (positions[i] as number)) / z + k.cx) * width) / k.width);
      const v = Math.floor((((k.fy * (positions[i + 1] as number)) / z + k.cy) * height) / k.height);
      if (u >= 0 && v >= 0 && u < width && v < height && z < (depth[v * width + u] as number)) depth[v * width + u] = z;
    }
    this.cloudDepth = depth;
  }

  /** Draws photo and shape into ``rect`` (CSS pixels, origin at the top left) of the canvas. */
  draw(scene: SceneType, rect: Rect, canvasHeight: number): void {
    const { gl } = this;
    const ratio = gl.getPixelRatio();
    const width = Math.max(1, Math.round(rect.width * ratio)), height = Math.max(1, Math.round(rect.height * ratio));
    if (this.shape.width !== width || this.shape.height !== height) this.shape.setSize(width, height);
    const background = scene.background;
    scene.background = null;
    gl.setRenderTarget(this.shape);
    gl.setClearColor(0x000000, 0);
    gl.clear();
    if (!this.isMeshHidden) gl.render(scene, this.camera);
    gl.setRenderTarget(null);
    scene.background = background;
    const bottom = canvasHeight - rect.y - rect.height;
    gl.setViewport(rect.x, bottom, rect.width, rect.height);
    gl.setScissor(rect.x, bottom, rect.width, rect.height);
    const uniforms = this.composite.uniforms as Record<string, { value: unknown }>;
    (uniforms["pixel"] as { value: Vector2 }).value.set(1 / width, 1 / height);
    (uniforms["opacity"] as { value: number }).value = this.opacity;
    (uniforms["dim"] as { value: number }).value = this.isDimmed ? 0.72 : 0;
    gl.render(this.quadScene, this.flat);
  }

  /** Renders the shape's mask and depth small and compares them, in one task, because WebGL forgets the picture after it. */
  measure(scene: SceneType): Measure {
    const { gl, pixels, covered, target } = this;
    const { width, height } = this.depth;
    const background = scene.background, override = scene.overrideMaterial;
    scene.background = null;
    scene.overrideMaterial = this.depthMaterial;
    gl.setRenderTarget(this.depth);
    gl.setClearColor(0x000000, 0);
    gl.clear();
    gl.render(scene, this.camera);
    gl.readRenderTargetPixels(this.depth, 0, 0, width, height, pixels);
    gl.setRenderTarget(null);
    scene.background = background;
    scene.overrideMaterial = override;
    const differences: number[] = [];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x, from = ((height - 1 - y) * width + x) * 4;
        const isCovered = (pixels[from + 3] as number) > 127 ? 1 : 0;
        covered[at] = isCovered;
        const cloud = this.cloudDepth?.[at] ?? Infinity;
        if (isCovered && target[at] && Number.isFinite(cloud)) differences.push(Math.abs(this.unpack(from) - cloud));
      }
    }
    return { iou: iou(covered, target), residual: differences.length >= FEWEST_DEPTHS ? median(differences) : null };
  }

  refreshColours(): void {
    const uniforms = this.composite.uniforms as Record<string, { value: unknown }>;
    (uniforms["outline"] as { value: Color }).value.set(token("--scene-outline")).convertLinearToSRGB();
    (uniforms["targetOutline"] as { value: Color }).value.set(token("--scene-target")).convertLinearToSRGB();
  }

  dispose(): void {
    this.shape.dispose();
    this.depth.dispose();
    this.composite.dispose();
    this.depthMaterial.dispose();
    this.photoTexture.dispose();
    this.maskTexture.dispose();
    (this.quadScene.children[0] as Mesh).geometry.dispose();
  }

  private unpack(at: number): number {
    const [r, g, b] = [this.pixels[at] as number, this.pixels[at + 1] as number, this.pixels[at + 2] as number];
    return ((r / 255 + g / 65025 + b / 16581375) * this.far);
  }
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1] as number;
}

/** Depth in front of the camera as 24 bits in red, green and blue; alpha says that the shape is there. */
function depthMaterial(far: number): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { far: { value: far } },
    vertexShader: `varying float depth; void main() { vec4 view = modelViewMatrix * vec4(position, 1.0); depth = -view.z; gl_Position = projectionMatrix * view; }`,
    fragmentShader: `uniform float far; varying float depth;
      void main() {
        vec3 code = fract(clamp(depth / far, 0.0, 0.999999) * vec3(1.0, 255.0, 65025.0));
        code -= code.yzz * vec3(1.0 / 255.0, 1.0 / 255.0, 0.0);
        gl_FragColor = vec4(code, 1.0);
      }`,
  });
}

/** Photo values are already display values, so this shader works in sRGB and converts only the rendered shape. */
function compositeMaterial(photo: Texture, shape: Texture, mask: Texture): ShaderMaterial {
  return new ShaderMaterial({
    depthTest: false,
    depthWrite: false,
    uniforms: {
      photo: { value: photo }, shape: { value: shape }, mask: { value: mask }, pixel: { value: new Vector2() }, opacity: { value: 0.5 }, dim: { value: 0 },
      outline: { value: new Color() }, targetOutline: { value: new Color() },
    },
    vertexShader: `varying vec2 at; void main() { at = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }`,
    fragmentShader: `
      uniform sampler2D photo, shape, mask; uniform vec2 pixel; uniform float opacity, dim; uniform vec3 outline, targetOutline; varying vec2 at;
      float edgeOf(sampler2D map, bool useAlpha, float radius) {
        float low = 1.0, high = 0.0;
        for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) {
          vec4 texel = texture2D(map, at + vec2(float(x), float(y)) * pixel * radius);
          float value = step(0.5, useAlpha ? texel.a : texel.r);
          low = min(low, value); high = max(high, value);
        }
        return high - low;
      }
      void main() {
        vec3 colour = texture2D(photo, at).rgb;
        colour = mix(colour, vec3(dot(colour, vec3(0.3, 0.5, 0.2)) * 0.3), dim * (1.0 - step(0.5, texture2D(mask, at).r)));
        vec4 over = texture2D(shape, at);
        vec3 shown = mix(over.rgb * 12.92, 1.055 * pow(max(over.rgb, vec3(0.0)), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, over.rgb));
        colour = mix(colour, shown, step(0.5, over.a) * opacity);
        colour = mix(colour, targetOutline, edgeOf(mask, false, 1.0) * 0.95);
        float edge = edgeOf(shape, true, 1.0);
        float halo = edgeOf(shape, true, 2.2);
        colour = mix(colour, vec3(0.0), (halo - edge * halo) * 0.55);
        colour = mix(colour, outline, edge);
        gl_FragColor = vec4(colour, 1.0);
      }`,
  });
}
