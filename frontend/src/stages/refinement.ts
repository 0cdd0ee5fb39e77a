/** Asks the server for the object's edge, from box, points, the mask so far and the strokes, and waits for it. */
import { t } from "../core/language";
import { Problem } from "../net/api";
import type { Job, JobStarted, ObjectTask } from "../net/contract";
import { keepStrokes, resize, workingSize } from "../tools/mask";
import type { Mask, Rect } from "../tools/mask";
import { bytesFromBase64, maskPngBase64 } from "../tools/mask_png";
import type { MaskEditor } from "../tools/mask_editor";
import { canvasOf, maskOfCanvas } from "../ui/raster";
import type { StageHost } from "./stage";

const POLL_MS = 120;
const TIMEOUT_MS = 30_000;
const REFINE_PX = 1024;

/** The refined mask at the editor's size, strokes in it to the pixel; null when the task ended meanwhile. */
export async function refinedMask(host: StageHost, editor: MaskEditor, task: ObjectTask): Promise<Mask | null> {
  const { width, height } = editor.mask;
  const { box, points } = editor.guides;
  const small = workingSize(width, height, REFINE_PX);
  const encode = (mask: Mask | null) => (mask ? maskPngBase64(resize(mask, small.width, small.height)) : null);
  const toPhoto = task.photo.width / width;
  const painted = editor.hintMask(1), erased = editor.hintMask(0);
  const started = await host.write<JobStarted>("refine", {
    box: box && inPhoto(box, toPhoto, task),
    points: points.map(({ at: [x, y], isObject }) => ({ x: Math.min(task.photo.width, x * toPhoto), y: Math.min(task.photo.height, y * toPhoto), is_object: isObject })),
    mask_png: saysMore(editor) ? await encode(editor.mask) : null,
    foreground_png: await encode(painted),
    background_png: await encode(erased),
  });
  if (!started) return null;
  const answer = await waitFor(host, started.job);
  const bytes = bytesFromBase64(String(answer["mask_png"]));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const mask = maskOfCanvas(canvasOf(picture, width, height));
  keepStrokes(mask, painted, erased);
  if (mask.count() < leastFound(editor.area)) throw new Problem(422, "found_nothing", t("No object was found there."), t("Nothing was found that stands out. Draw the box a little larger than the object, set points on it, or paint it; all you drew is as it was."));
  return mask;
}

/** Colours that do not differ leave a few pixels of a large guess: that is no answer. */
export const leastFound = (before: number): number => Math.max(1, Math.min(16, before), before / 200);

/** Is there anything to begin from? */
export function canRefine({ area, guides }: MaskEditor): boolean {
  return area > 0 || guides.box !== null || guides.points.some((point) => point.isObject);
}

/** Does the mask so far say more than box and points do? A mask that came from points must not hold the next ones back. */
function saysMore({ area, guides: { box, hints, points, isDrawn }, mask }: MaskEditor): boolean {
  if (area === 0 || (points.length > 0 && !isDrawn)) return false;
  const isBareBox = box !== null && hints.length === 0 && area === box.width * box.height && mask.countIn(box) === area;
  return !isBareBox;
}

function inPhoto(rect: Rect, factor: number, { photo }: ObjectTask): number[] {
  const x0 = Math.floor(rect.x * factor), y0 = Math.floor(rect.y * factor);
  // A box of a very flat photo still has a row.
  return [x0, y0, Math.min(photo.width, Math.max(x0 + 1, Math.round((rect.x + rect.width) * factor))), Math.min(photo.height, Math.max(y0 + 1, Math.round((rect.y + rect.height) * factor)))];
}

async function waitFor(host: StageHost, job: string): Promise<Record<string, unknown>> {
  const start = performance.now();
  while (performance.now() - start < TIMEOUT_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const { status, result, error } = await host.api.get<Job>(`/jobs/${job}`);
    if (status === "DONE" && result) return result;
    if (status === "FAILED") throw new Problem(422, "refine_failed", t("The refinement failed."), error ?? t("Mend the mask by hand, or draw another box."));
  }
  throw new Problem(504, "refine_slow", t("The refinement takes too long."), t("The refinement takes too long. Mend the mask by hand, or try again."));
}
