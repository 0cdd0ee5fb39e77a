/** Zoom and pan of a picture in a window: screen = offset + scale * picture. Pure. */

export interface ViewWindow { scale: number; x: number; y: number }
export interface Size { width: number; height: number }

const LARGEST_SCALE = 24;
const MARGIN_PX = 16;

/** The whole picture, as large as fits to the right of ``left`` pixels that belong to the tools. */
export function fit(picture: Size, screen: Size, left = 0): ViewWindow {
  const scale = Math.max(1e-3, Math.min((screen.width - left - 2 * MARGIN_PX) / picture.width, (screen.height - 2 * MARGIN_PX) / picture.height));
  return { scale, x: left + (screen.width - left - picture.width * scale) / 2, y: (screen.height - picture.height * scale) / 2 };
}

/** Zooms so that the picture's point under ``at`` stays there; never out beyond half of the fitting size. */
export function zoom(view: ViewWindow, factor: number, at: [number, number], fitting: number): ViewWindow {
  const scale = Math.min(LARGEST_SCALE, Math.max(fitting / 2, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: at[0] - (at[0] - view.x) * ratio, y: at[1] - (at[1] - view.y) * ratio };
}

/** One pixel of the photo on one pixel of the screen, with the point under ``at`` kept; ``photoWidth`` is the real photo's. */
export function realPixels(view: ViewWindow, picture: Size, photoWidth: number, screenRatio: number, at: [number, number]): ViewWindow {
  const scale = photoWidth / picture.width / screenRatio;
  return { scale, x: at[0] - ((at[0] - view.x) * scale) / view.scale, y: at[1] - ((at[1] - view.y) * scale) / view.scale };
}

/** Moves the picture just so far that a point of it is seen, ``margin`` pixels inside the screen. */
export function reveal(view: ViewWindow, [x, y]: [number, number], screen: Size, left: number, margin: number): ViewWindow {
  const sx = view.x + x * view.scale, sy = view.y + y * view.scale;
  const into = (value: number, low: number, high: number) => (value < low ? low - value : value > high ? high - value : 0);
  return { ...view, x: view.x + into(sx, left + margin, screen.width - margin), y: view.y + into(sy, margin, screen.height - margin) };
}

/** The part of the picture that can be seen. */
export function visible(view: ViewWindow, picture: Size, screen: Size): { x: number; y: number; width: number; height: number } {
  const x = Math.max(0, -view.x / view.scale), y = Math.max(0, -view.y / view.scale);
  return { x, y, width: Math.max(0, Math.min(picture.width, (screen.width - view.x) / view.scale) - x), height: Math.max(0, Math.min(picture.height, (screen.height - view.y) / view.scale) - y) };
}

export const toPicture = (view: ViewWindow, [x, y]: [number, number]): [number, number] => [(x - view.x) / view.scale, (y - view.y) / view.scale];
