/** The clay of the viewer: a picture of a lit ball that tells every surface its brightness by the way it faces. */
import { CanvasTexture, SRGBColorSpace } from "three";
import { token } from "../ui/theme";

const SIZE = 128;
/** From the surface to the lights: a key above the left shoulder, a fill from the right, a little light from behind. */
const KEY = unit([-0.55, 0.65, 0.55]), FILL = unit([0.85, 0.05, 0.35]), BACK = unit([0.2, 0.7, -0.68]);

let texture: CanvasTexture | null = null;
let paintedIn = "";

/** Shared by all models of a page, in the clay colour of the present theme. */
export function clayMatcap(): CanvasTexture {
  if (!texture) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    texture = new CanvasTexture(canvas);
    texture.colorSpace = SRGBColorSpace;
  }
  const colour = token("--scene-clay");
  if (colour !== paintedIn) {
    paint(texture.image as HTMLCanvasElement, colour);
    texture.needsUpdate = true;
    paintedIn = colour;
  }
  return texture;
}

function paint(canvas: HTMLCanvasElement, colour: string): void {
  const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
  const image = context.createImageData(SIZE, SIZE);
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const light = brightness((2 * (column + 0.5)) / SIZE - 1, 1 - (2 * (row + 0.5)) / SIZE);
      image.data.set([red * light, green * light, blue * light, 255], 4 * (row * SIZE + column));
    }
  }
  context.putImageData(image, 0, 0);
}

/** Of the ball at (x, y); outside it, as at its edge. */
function brightness(x: number, y: number): number {
  const radius = Math.min(1, Math.hypot(x, y)), outside = Math.max(1, Math.hypot(x, y));
  const normal: Vector = [x / outside, y / outside, Math.sqrt(Math.max(0, 1 - radius * radius))];
  const facing = 0.35 + 0.65 * normal[2];
  return Math.min(1.25, 0.18 + wrapped(normal, KEY) + 0.25 * wrapped(normal, FILL) + 0.3 * wrapped(normal, BACK) * (1 - normal[2])) * facing ** 0.35;
}

type Vector = readonly [number, number, number];

/** Light that reaches a little around the edge, as in a room. */
const wrapped = (a: Vector, b: Vector) => Math.max(0, (a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + 0.25) / 1.25);

function unit([x, y, z]: Vector): Vector {
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}
