/** Stage 1: mark an object in the photo, name it, and add more if there are more. */
import { h, replace } from "../core/dom";
import { Problem } from "../net/api";
import type { Claim, Job, JobStarted, ObjectResult, ObjectTarget, ObjectTask, Result } from "../net/contract";
import { fillHoles, invert, Mask, resize, workingSize } from "../tools/mask";
import type { Rect } from "../tools/mask";
import { bytesFromBase64, maskPngBase64 } from "../tools/mask_png";
import { MaskEditor } from "../tools/mask_editor";
import type { Suggestion, Tool } from "../tools/mask_editor";
import { commandButton } from "../ui/buttons";
import { ask } from "../ui/dialogs";
import type { IconName } from "../ui/icons";
import { canvasOf, loadImage, loadMask, maskOfCanvas } from "../ui/raster";
import { LabelPanel } from "./label_panel";
import type { Naming } from "./label_panel";
import type { StageHost, StageView } from "./stage";

interface Marked extends Naming { mask: Mask; proposal_id: number | null }
interface StoredTarget extends Naming { mask_png: string; proposal_id: number | null }
interface Draft { targets: StoredTarget[]; current: StoredTarget | null }

const POLL_MS = 120;
const REFINE_TIMEOUT_MS = 30_000;
const REFINE_PX = 1024;

export function createObjectStage(host: StageHost): StageView<ObjectTask> {
  return new ObjectStage(host);
}

class ObjectStage implements StageView<ObjectTask> {
  private readonly editor: MaskEditor;
  private readonly naming: LabelPanel;
  private readonly targetList = h("div", { class: "targets" });
  private readonly status = h("div", { class: "status-line caption" });
  private claim: Claim | null = null;
  private task: ObjectTask | null = null;
  private marked: Marked[] = [];
  private proposalId: number | null = null;
  private cardTimer = 0;

  constructor(private readonly host: StageHost) {
    this.editor = new MaskEditor({
      edited: (edit) => { this.host.history.push(edit); this.touched(); },
      changed: () => { this.syncPolygonScope(); this.host.commands.changed(); this.touched(); },
    });
    this.naming = new LabelPanel(host.project.taxonomy, () => host.changed());
    this.addCommands();
    this.build();
    host.commands.enter("object");
    host.commands.onChange(() => this.showStatus());
  }

  async load(claim: Claim, task: ObjectTask, draft: object | null): Promise<void> {
    this.claim = claim;
    this.task = task;
    const photo = await loadImage(task.photo.url);
    await this.editor.load(photo);
    this.host.shell.photo.show(task.photo, photo, null);
    const { width, height } = this.editor.mask;
    const [proposals, taken] = await Promise.all([
      Promise.all(task.proposals.map((proposal) => loadMask(proposal.mask_url, width, height))),
      Promise.all(task.taken.map((target) => loadMask(target.mask_url, width, height))),
    ]);
    this.editor.suggestions = proposals.map((mask) => this.suggestion(mask));
    this.editor.taken = taken.map((mask) => this.editor.layerFor(mask, "taken"));
    await this.restore(draft as Draft | null);
    this.editor.redraw();
    this.showTargets();
    this.showStatus();
    requestAnimationFrame(() => requestAnimationFrame(() => this.host.ready()));
  }

  clear(): void {
    this.editor.clear();
    this.host.shell.photo.clear();
    this.claim = this.task = this.proposalId = null;
    this.marked = [];
    this.naming.set({ label: "", taxonomy_key: null, flags: [] });
    replace(this.targetList);
  }

  missing(): string | null {
    if (this.editor.isBusy) return "The refinement is still running.";
    const isDrawn = this.editor.mask.count() > 0;
    if (!isDrawn && this.marked.length === 0) return "Mark the object first: drag a box (B), then refine it (R).";
    if (isDrawn && !this.naming.value().label) {
      this.naming.focus();
      return "Name the object: type, or choose from the list.";
    }
    return null;
  }

  submit(): void {
    const photo = this.task?.photo;
    if (!photo) return;
    const all = this.editor.mask.count() > 0 ? [...this.marked, this.current()] : this.marked;
    const encode = async ({ mask, ...rest }: Marked): Promise<ObjectTarget> => ({ ...rest, mask_png: await maskPngBase64(resize(mask, photo.width, photo.height)) });
    this.host.submit(async () => ({ targets: await Promise.all(all.map(encode)) }));
  }

  async draft(): Promise<Draft> {
    const store = async ({ mask, ...rest }: Marked): Promise<StoredTarget> => ({ ...rest, mask_png: await maskPngBase64(mask) });
    const isDrawn = this.editor.mask.count() > 0 || this.naming.value().label !== "";
    return { targets: await Promise.all(this.marked.map(store)), current: isDrawn ? await store(this.current()) : null };
  }

  async takeUp(result: Result): Promise<void> {
    const { targets = [], discard } = result as ObjectResult;
    if (discard) this.host.submit(async () => ({ discard }));
    else await this.restore({ targets: targets.slice(0, -1).map(stored), current: targets.slice(-1).map(stored)[0] ?? null });
    this.touched();
  }

  hint(): string {
    if (this.editor.isBusy) return "Finding the object's edge…";
    if (this.editor.polygon.length) return "Click the next corner. Enter closes the polygon, Backspace takes the last corner back, Esc drops it.";
    if (this.editor.mask.count() === 0) {
      return this.editor.suggestions.length ? "Take a suggestion with its number, or drag a box around the object." : "Drag a box around one object, then press R.";
    }
    if (this.isBareBox()) return "R finds the object's edge inside the box. Then mend it with D and X.";
    if (!this.naming.value().label) return "L: name the object. N: add another one. V shows the photo bare.";
    return "Enter submits. N adds another object of this photo.";
  }

  testHandle(): Record<string, unknown> {
    return {
      stage: () => ({ tool: this.editor.tool, maskPixels: this.editor.mask.count(), width: this.editor.mask.width, height: this.editor.mask.height, targets: this.marked.length, view: this.editor.view, busy: this.editor.isBusy }),
      renderInfo: () => ({ calls: 0 }),
    };
  }

  private addCommands(): void {
    const { commands } = this.host;
    const tool = (id: Tool, label: string, key: string) => ({ id: `tool.${id}`, label, keys: [key], scope: "object", run: () => this.useTool(id) });
    const isDrawn = () => this.editor.mask.count() > 0;
    const isFree = () => this.task !== null && !this.editor.isBusy;
    commands.add([
      tool("box", "Box", "B"), tool("polygon", "Polygon", "P"), tool("brush", "Brush", "D"), tool("eraser", "Eraser", "X"),
      { id: "refine", label: "Refine", keys: ["R"], scope: "object", enabled: () => isFree() && isDrawn(), run: () => void this.refine() },
      { id: "fill", label: "Fill holes", keys: ["F"], scope: "object", enabled: () => isFree() && isDrawn(), run: () => this.editor.apply("Fill", fillHoles) },
      { id: "invert", label: "Invert", keys: ["I"], scope: "object", enabled: isFree, run: () => this.editor.apply("Invert", invert) },
      { id: "clear", label: "Clear the mask", keys: ["Backspace"], scope: "object", enabled: () => isFree() && isDrawn(), run: () => this.clearMask() },
      { id: "bare", label: "Photo without mask (hold)", keys: ["V"], scope: "object", run: () => this.setBare(true), release: () => this.setBare(false) },
      { id: "pan", label: "Pan (hold and drag)", keys: ["Space"], scope: "object", run: () => this.editor.holdSpace(true), release: () => this.editor.holdSpace(false) },
      { id: "zoom.in", label: "Zoom in", keys: ["+"], scope: "object", repeats: true, run: () => this.editor.zoomBy(1.25) },
      { id: "zoom.out", label: "Zoom out", keys: ["-"], scope: "object", repeats: true, run: () => this.editor.zoomBy(0.8) },
      { id: "zoom.fit", label: "Whole photo", keys: ["0"], scope: "object", run: () => this.editor.zoomToFit() },
      { id: "brush.smaller", label: "Smaller brush", keys: ["["], scope: "object", repeats: true, run: () => this.setBrush(0.8) },
      { id: "brush.larger", label: "Larger brush", keys: ["]"], scope: "object", repeats: true, run: () => this.setBrush(1.25) },
      { id: "label", label: "Name it", keys: ["L", "/"], scope: "object", run: () => this.naming.focus() },
      { id: "another", label: "Add another object", keys: ["N"], scope: "object", enabled: () => isFree() && isDrawn(), run: () => this.addAnother() },
      { id: "discard", label: "Nothing usable here", keys: ["Delete"], scope: "object", enabled: isFree, run: () => void this.discard() },
      ...["occluded", "truncated", "transparent", "reflective"].map((flag, i) => ({ id: `flag.${flag}`, label: `Flag: ${flag}`, keys: [`Alt+${i + 1}`], scope: "object", run: () => this.naming.toggleFlag(i) })),
      ...Array.from({ length: 9 }, (_, i) => ({
        inHelp: i === 0, helpKeys: "1 … 9",
        id: `suggestion.${i + 1}`, label: `Take suggestion ${i + 1}`, keys: [`${i + 1}`], scope: "object", enabled: () => isFree() && i < this.editor.suggestions.length, run: () => this.takeSuggestion(i),
      })),
      { id: "polygon.close", label: "Close the polygon", keys: ["Enter"], scope: "polygon", run: () => this.editor.closePolygon() },
      { id: "polygon.back", label: "Take the last corner back", keys: ["Backspace", "Ctrl+Z"], scope: "polygon", repeats: true, run: () => this.editor.removePoint() },
      { id: "polygon.cancel", label: "Drop the polygon", keys: ["Escape"], scope: "polygon", run: () => this.editor.cancelPolygon() },
    ]);
  }

  private build(): void {
    const { commands, shell } = this.host;
    const tool = (id: Tool, icon: IconName) => commandButton(commands, `tool.${id}`, { icon, pressed: () => this.editor.tool === id });
    const rail = h("div", { class: "rail", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
      tool("box", "select"), tool("polygon", "polygon"), tool("brush", "brush"), tool("eraser", "eraser"), h("hr"),
      commandButton(commands, "refine", { icon: "refine" }), commandButton(commands, "fill", { icon: "fill", label: "Fill" }), commandButton(commands, "invert", { icon: "invert" }), h("hr"),
      commandButton(commands, "undo", { icon: "undo" }), commandButton(commands, "redo", { icon: "redo", label: "Redo" }));
    for (const button of rail.querySelectorAll("[data-command=undo] kbd, [data-command=redo] kbd")) button.remove();
    replace(shell.work, this.editor.element, rail, this.status);
    replace(shell.tools,
      this.naming.element,
      h("section", {}, h("h3", { text: "Objects of this photo" }), this.targetList, commandButton(commands, "another", { icon: "plus" })),
      h("section", {}, commandButton(commands, "discard", { icon: "remove" })));
  }

  private useTool(tool: Tool): void {
    if (tool !== "polygon") this.editor.cancelPolygon();
    this.editor.tool = tool;
    this.editor.redraw();
  }

  private setBare(isBare: boolean): void {
    this.editor.isBare = isBare;
    this.editor.redraw();
  }

  private setBrush(factor: number): void {
    this.editor.brushRadius_px = Math.min(160, Math.max(2, this.editor.brushRadius_px * factor));
    this.editor.redraw();
  }

  private syncPolygonScope(): void {
    const isDrawing = this.editor.polygon.length > 0;
    if (isDrawing !== this.host.commands.isIn("polygon")) isDrawing ? this.host.commands.enter("polygon") : this.host.commands.leave("polygon");
  }

  private clearMask(): void {
    this.editor.apply("Clear", (mask) => { mask.data.fill(0); return mask.bounds; }, { box: null, hints: [] });
    this.proposalId = null;
  }

  private takeSuggestion(index: number): void {
    const suggestion = this.editor.suggestions[index];
    const proposal = this.task?.proposals[index];
    if (!suggestion || !proposal) return;
    this.editor.replaceMask(`Suggestion ${index + 1}`, suggestion.mask, { box: null, hints: [] });
    this.proposalId = proposal.id;
    if (!this.naming.value().label && proposal.label) this.naming.set({ ...this.naming.value(), label: proposal.label });
    this.host.shell.announce(`Suggestion ${index + 1} taken`);
  }

  private suggestion(mask: Mask): Suggestion {
    let x = 0, y = 0, count = 0;
    for (let i = 0; i < mask.data.length; i++) {
      if (mask.data[i] === 0) continue;
      x += i % mask.width;
      y += Math.floor(i / mask.width);
      count += 1;
    }
    return { mask, layer: this.editor.layerFor(mask, "suggestion"), at: count ? [x / count, y / count] : [0, 0] };
  }

  /** Asks the server for the object's edge, from the box, the mask so far and the strokes as hard hints. */
  private async refine(): Promise<void> {
    const { editor, claim, task } = this;
    if (!claim || !task) return;
    editor.isBusy = true;
    this.host.commands.changed();
    try {
      const mask = await this.refined(task);
      if (mask && this.claim === claim) editor.replaceMask("Refine", mask, { hints: editor.hints });
    } catch (error) {
      this.host.complain(error);
    } finally {
      editor.isBusy = false;
      this.host.commands.changed();
    }
  }

  private async refined(task: ObjectTask): Promise<Mask | null> {
    const { editor, host } = this;
    const { width, height } = editor.mask;
    const small = workingSize(width, height, REFINE_PX);
    const encode = (mask: Mask | null) => (mask ? maskPngBase64(resize(mask, small.width, small.height)) : null);
    const toPhoto = task.photo.width / width;
    const around = editor.box ?? editor.mask.box();
    const started = await host.write<JobStarted>("refine", {
      box: around && this.inPhoto(around, toPhoto),
      mask_png: this.isBareBox() ? null : await encode(editor.mask),
      foreground_png: await encode(editor.hintMask(1)),
      background_png: await encode(editor.hintMask(0)),
    });
    if (!started) return null;
    const answer = await this.waitFor(started.job);
    const bytes = bytesFromBase64(String(answer["mask_png"]));
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    return maskOfCanvas(canvasOf(picture, width, height));
  }

  /** The mask is nothing but the box that was dragged, so it says nothing more than the box. */
  private isBareBox(): boolean {
    const { box, hints, mask } = this.editor;
    return box !== null && hints.length === 0 && mask.count() === box.width * box.height;
  }

  private inPhoto(rect: Rect, factor: number): number[] {
    return [rect.x, rect.y, rect.x + rect.width, rect.y + rect.height].map((v) => Math.round(v * factor));
  }

  private async waitFor(job: string): Promise<Record<string, unknown>> {
    const start = performance.now();
    while (performance.now() - start < REFINE_TIMEOUT_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const { status, result, error } = await this.host.api.get<Job>(`/jobs/${job}`);
      if (status === "DONE" && result) return result;
      if (status === "FAILED") throw new Problem(422, "refine_failed", "The refinement failed.", error ?? "Mend the mask by hand, or draw another box.");
    }
    throw new Problem(504, "refine_slow", "The refinement takes too long.", "The refinement takes too long. Mend the mask by hand, or try again.");
  }

  private current(): Marked {
    const { width, height, data } = this.editor.mask;
    return { mask: new Mask(width, height, data.slice()), ...this.naming.value(), proposal_id: this.proposalId };
  }

  private addAnother(): void {
    const problem = this.missing();
    if (problem) {
      this.host.shell.announce(problem);
      return;
    }
    this.marked = [...this.marked, this.current()];
    this.startNext();
  }

  private startNext(): void {
    this.editor.reset();
    this.host.history.clear();
    this.proposalId = null;
    this.naming.set({ label: "", taxonomy_key: null, flags: [] });
    this.refreshTaken();
    this.touched();
  }

  private remove(target: Marked): void {
    this.marked = this.marked.filter((other) => other !== target);
    this.refreshTaken();
    this.touched();
  }

  private refreshTaken(): void {
    const before = this.task?.taken.length ?? 0;
    this.editor.taken = [...this.editor.taken.slice(0, before), ...this.marked.map((target) => this.editor.layerFor(target.mask, "taken"))];
    this.editor.redraw();
    this.showTargets();
  }

  private async discard(): Promise<void> {
    const answer = await ask(this.host.shell.root, {
      title: "Discard this photo for stage 1?", action: "Discard",
      reasons: [["no_object", "It shows no single object that can be marked"], ["bad_photo", "Too blurred, too dark or too small"], ["unsuitable", "People, private or otherwise unsuitable"], ["duplicate", "The same as another photo"]],
    });
    if (answer) this.host.submit(async () => ({ discard: { reason: answer.reason } }));
  }

  private async restore(draft: Draft | null): Promise<void> {
    if (!draft) return;
    const { width, height } = this.editor.mask;
    const read = async (stored: StoredTarget): Promise<Marked> => {
      const { mask_png, ...rest } = stored;
      const picture = await createImageBitmap(new Blob([bytesFromBase64(mask_png)], { type: "image/png" }));
      return { ...rest, mask: maskOfCanvas(canvasOf(picture, width, height)) };
    };
    this.marked = await Promise.all((draft.targets ?? []).map(read));
    this.refreshTaken();
    if (!draft.current) return;
    const current = await read(draft.current);
    this.editor.reset(current.mask);
    this.naming.set(current);
    this.proposalId = current.proposal_id;
  }

  private touched(): void {
    if (!this.task) return;
    this.host.changed();
    clearTimeout(this.cardTimer);
    this.cardTimer = window.setTimeout(() => this.host.shell.photo.setMask(this.editor.mask), 250);
  }

  private showTargets(): void {
    const taken = (this.task?.taken ?? []).map((target) => h("div", {}, h("span", { text: target.label }), h("span", { class: "caption", text: "earlier" })));
    const added = this.marked.map((target) =>
      h("div", {}, h("span", { text: target.label }), h("button", { type: "button", class: "quiet danger", text: "Remove", "aria-label": `Remove ${target.label}`, on: { click: () => this.remove(target) } })));
    replace(this.targetList, ...(taken.length + added.length ? [...taken, ...added] : [h("p", { class: "caption", text: "None yet." })]));
  }

  private showStatus(): void {
    if (!this.task) return;
    const zoomed = Math.round((100 * this.editor.view.scale * this.editor.mask.width) / this.task.photo.width);
    this.status.textContent = `${zoomed} %${this.editor.tool === "brush" || this.editor.tool === "eraser" ? ` · brush ${Math.round(2 * this.editor.brushRadius_px)} px, [ and ]` : ""}`;
  }
}

const stored = ({ mask_png, label, taxonomy_key = null, flags = [], proposal_id = null }: ObjectTarget): StoredTarget => ({ mask_png, label, taxonomy_key, flags, proposal_id });
