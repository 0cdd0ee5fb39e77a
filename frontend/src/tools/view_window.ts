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

export const toPicture = (view: ViewWindow, [x, y]: [number, number]): [number, number] => [(x - view.x) / view.scale, (y - view.y) / view.scale];
