/** Loads photos and masks into canvases, and finds the colour in which a mask is seen best on a photo. */
import { Mask } from "../tools/mask";
import { t } from "../core/language";

export async function loadImage(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.crossOrigin = "anonymous";
  image.src = url;
  try {
    await image.decode();
  } catch {
    throw new Error(t("A picture could not be loaded."));
  }
  return image;
}

export function canvasOf(source: CanvasImageSource, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

/** A mask picture (white = object) at a size of our choosing. */
export async function loadMask(url: string, width: number, height: number): Promise<Mask> {
  return maskOfCanvas(canvasOf(await loadImage(url), width, height));
}

export function maskOfCanvas(canvas: HTMLCanvasElement): Mask {
  const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const mask = new Mask(canvas.width, canvas.height);
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = (pixels[4 * i] as number) > 127 && (pixels[4 * i + 3] as number) > 127 ? 1 : 0;
  return mask;
}

/** A colour as [red, green, blue] opposite to the photo's median hue, so that it is seen on most of it. */
export function contrastingColour(photo: CanvasImageSource): [number, number, number] {
  const size = 48;
  const context = canvasOf(photo, size, size).getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  const pixels = context.getImageData(0, 0, size, size).data;
  const hues: number[] = [];
  for (let i = 0; i < pixels.length; i += 4) {
    const [hue, chroma] = hueAndChroma(pixels[i] as number, pixels[i + 1] as number, pixels[i + 2] as number);
    if (chroma > 24) hues.push(hue);
  }
  return rgbOfHue(hues.length > size ? (circularMedian(hues) + 180) % 360 : 200);
}

function hueAndChroma(r: number, g: number, b: number): [number, number] {
  const most = Math.max(r, g, b), chroma = most - Math.min(r, g, b);
  if (chroma === 0) return [0, 0];
  const sixth = most === r ? ((g - b) / chroma + 6) % 6 : most === g ? (b - r) / chroma + 2 : (r - g) / chroma + 4;
  return [sixth * 60, chroma];
}

/** Hue is a circle: the hue from which the others are least far away. */
function circularMedian(hues: readonly number[]): number {
  const distance = (a: number, b: number) => Math.min(Math.abs(a - b), 360 - Math.abs(a - b));
  const cost = (hue: number) => hues.reduce((sum, other) => sum + distance(hue, other), 0);
  return Array.from({ length: 36 }, (_, i) => i * 10).reduce((best, hue) => (cost(hue) < cost(best) ? hue : best), 0);
}

function rgbOfHue(hue: number): [number, number, number] {
  const channel = (shift: number) => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (0.58 - 0.42 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
