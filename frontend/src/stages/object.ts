/** Stage 1: mark an object in the photo, name it, and add more if there are more. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { Claim, ObjectResult, ObjectTarget, ObjectTask, Result } from "../net/contract";
import { Mask, resize } from "../tools/mask";
import { MaskCanvas } from "../tools/mask_canvas";
import { checkMask } from "../tools/mask_checks";
import type { TakenObject, Warning } from "../tools/mask_checks";
import { MaskEditor } from "../tools/mask_editor";
import type { Tool } from "../tools/mask_editor";
import type { Suggestion } from "../tools/mask_marks";
import { bytesFromBase64, maskPngBase64 } from "../tools/mask_png";
import { commandButton } from "../ui/buttons";
import { ask } from "../ui/dialogs";
import type { IconName } from "../ui/icons";
import { canvasOf, loadImage, loadMask, maskOfCanvas } from "../ui/raster";
import { flagNames, LabelPanel } from "./label_panel";
import { WarningPanel } from "./mask_warnings";
import "./object.css";
import { objectCommands } from "./object_commands";
import { ObjectList, stored } from "./object_list";
import type { Marked, StoredTarget } from "./object_list";
import { RecentLabels } from "./recent_labels";
import { canRefine, refinedMask } from "./refinement";
import type { StageHost, StageView } from "./stage";

interface Draft { targets: StoredTarget[]; current: StoredTarget | null }

const LOOK_AGAIN_MS = 250;

export function createObjectStage(host: StageHost): StageView<ObjectTask> {
  return new ObjectStage(host);
}

class ObjectStage implements StageView<ObjectTask> {
  private readonly editor: MaskEditor;
  private readonly canvas: MaskCanvas;
  private readonly naming: LabelPanel;
  private readonly recent: RecentLabels;
  private readonly list = new ObjectList({ edit: (target) => this.edit(target), remove: (target) => this.remove(target) });
  private readonly checks: WarningPanel;
  private readonly status = h("div", { class: "status-line caption" });
  private claim: Claim | null = null;
  private task: ObjectTask | null = null;
  private taken: TakenObject[] = [];
  private marked: Marked[] = [];
  private warnings: Warning[] = [];
  private proposalId: number | null = null;
  private isBusy = false;
  private lookTimer = 0;

  constructor(private readonly host: StageHost) {
    this.editor = new MaskEditor({
      edited: (edit) => { this.host.history.push(edit); this.touched(); },
      changed: () => { this.syncOutlineScope(); this.host.commands.changed(); this.touched(); },
      repaint: (rect) => this.canvas.repaint(rect),
      pointed: () => void this.refine(),
    }, () => this.canvas.makeWire());
    this.canvas = new MaskCanvas(this.editor, () => this.showStatus(), () => this.isBusy);
    this.recent = new RecentLabels(host.project.id);
    this.naming = new LabelPanel(host.project.taxonomy, this.recent, () => { host.changed(); this.lookSoon(); });
    this.checks = new WarningPanel((text) => host.shell.announce(text));
    this.addCommands();
    this.build();
    host.commands.enter("object");
    host.commands.onChange(() => this.showStatus());
  }

  async load(claim: Claim, task: ObjectTask, draft: object | null): Promise<void> {
    this.claim = claim;
    this.task = task;
    const photo = await loadImage(task.photo.url);
    await this.canvas.load(photo);
    this.host.shell.photo.show(task.photo, photo, null);
    const { width, height } = this.editor.mask;
    const [proposals, taken] = await Promise.all([
      Promise.all(task.proposals.map((proposal) => loadMask(proposal.mask_url, width, height))),
      Promise.all(task.taken.map((target) => loadMask(target.mask_url, width, height))),
    ]);
    this.canvas.suggestions = proposals.map((mask) => this.suggestion(mask));
    this.taken = taken.map((mask, i) => ({ mask, label: task.taken[i]?.label ?? "" }));
    await this.restore(draft as Draft | null);
    this.refreshTaken();
    this.showStatus();
    requestAnimationFrame(() => requestAnimationFrame(() => this.host.ready()));
  }

  clear(): void {
    this.canvas.clear();
    this.editor.load(1, 1);
    this.host.shell.photo.clear();
    this.claim = this.task = this.proposalId = null;
    this.taken = [];
    this.marked = [];
    this.warnings = [];
    clearTimeout(this.lookTimer);
    this.checks.show([]);
    this.naming.set({ label: "", taxonomy_key: null, flags: [] });
    this.list.show([], []);
  }

  missing(): string | null {
    if (this.isBusy) return t("The refinement is still running.");
    const isDrawn = this.editor.area > 0;
    if (!isDrawn && this.marked.length === 0) return t("Mark the object first: drag a box (B), then refine it (R).");
    if (isDrawn && !this.naming.value().label) {
      this.naming.focus();
      return t("Name the object: type, or choose from the list.");
    }
    return null;
  }

  submit(): void {
    const photo = this.task?.photo;
    if (!photo) return;
    const all = this.editor.area > 0 ? [...this.marked, this.current()] : this.marked;
    for (const { label } of all) this.recent.add(label);
    const encode = async ({ mask, ...rest }: Marked): Promise<ObjectTarget> => ({ ...rest, mask_png: await maskPngBase64(resize(mask, photo.width, photo.height)) });
    this.host.submit(async () => ({ targets: await Promise.all(all.map(encode)) }));
  }

  async draft(): Promise<Draft> {
    const store = async ({ mask, ...rest }: Marked): Promise<StoredTarget> => ({ ...rest, mask_png: await maskPngBase64(mask) });
    const isDrawn = this.editor.area > 0 || this.naming.value().label !== "";
    return { targets: await Promise.all(this.marked.map(store)), current: isDrawn ? await store(this.current()) : null };
  }

  async takeUp(result: Result): Promise<void> {
    const { targets = [], discard } = result as ObjectResult;
    if (discard) this.host.submit(async () => ({ discard }));
    else await this.restore({ targets: targets.slice(0, -1).map(stored), current: targets.slice(-1).map(stored)[0] ?? null });
    this.touched();
  }

  hint(): string {
    const { editor } = this;
    if (this.isBusy) return t("Finding the object's edge…");
    if (editor.gesture?.kind === "box") return t("Space or Enter ends the box, Esc drops it.");
    if (editor.outline.length) return editor.tool === "scissors" ? t("The path follows the edge: click (or Space) to fix it. Enter closes, Backspace takes back, Esc drops.") : t("Click the next corner. Enter closes the polygon, Backspace takes the last corner back, Esc drops it.");
    if (editor.tool === "point") return t("Click on the object; Alt or the right button beside it. By keys: arrows, Space, Shift+Space.");
    if (editor.area === 0) {
      if (this.canvas.cursor) return t("Space begins a box here, the arrows move on (Shift far, Ctrl finely), Space again ends it.");
      return this.canvas.suggestions.length ? t("Take a suggestion with its number, or drag a box around the object.") : t("Drag a box around one object, then press [[refine]].");
    }
    if (this.isBareBox()) return t("[[refine]] finds the object's edge inside the box. Then mend it with [[tool.brush]] and [[tool.eraser]].");
    if (!this.naming.value().label) return t("[[label]]: name the object. [[another]]: add another one. [[bare]] shows the photo bare.");
    return t("[[submit]] submits. [[another]] adds another object of this photo.");
  }

  testHandle(): Record<string, unknown> {
    const { editor, canvas } = this;
    return {
      stage: () => ({
        tool: editor.tool, maskPixels: editor.area, countedPixels: editor.mask.count(), width: editor.mask.width, height: editor.mask.height, targets: this.marked.length, view: canvas.view, busy: this.isBusy,
        cursor: canvas.cursor, corners: editor.cornerPoints().length, points: editor.guides.points.length, hints: editor.guides.hints.length, brush: canvas.brushRadius_px, painted: canvas.numPainted,
        warnings: this.warnings.map((warning) => warning.code), isBoxing: editor.gesture?.kind === "box",
      }),
      renderInfo: () => ({ calls: 0 }),
    };
  }

  private addCommands(): void {
    this.host.commands.add(objectCommands(this.editor, this.canvas, {
      useTool: (tool) => this.useTool(tool), refine: () => void this.refine(), clearMask: () => this.clearMask(), setBare: (isBare) => this.setBare(isBare),
      focusName: () => this.naming.focus(), another: () => this.addAnother(), goBack: () => this.goBack(), discard: () => void this.discard(),
      toggleFlag: (index) => this.toggleFlag(index), takeSuggestion: (index) => this.takeSuggestion(index),
      isFree: () => this.task !== null && !this.isBusy, canRefine: () => canRefine(this.editor), canGoBack: () => this.marked.length > 0,
    }));
  }

  private build(): void {
    const { commands, shell } = this.host;
    const tool = (id: Tool, icon: IconName) => commandButton(commands, `tool.${id}`, { icon, pressed: () => this.editor.tool === id });
    const rail = h("div", { class: "rail", role: "toolbar", "aria-label": t("Tools"), "aria-orientation": "vertical" },
      tool("box", "select"), tool("point", "point"), tool("scissors", "scissors"), tool("polygon", "polygon"), tool("brush", "brush"), tool("eraser", "eraser"), h("hr"),
      commandButton(commands, "refine", { icon: "refine" }), commandButton(commands, "fill", { icon: "fill", label: t("Fill") }), commandButton(commands, "invert", { icon: "invert" }), h("hr"),
      commandButton(commands, "undo", { icon: "undo" }), commandButton(commands, "redo", { icon: "redo", label: t("Redo") }));
    for (const button of rail.querySelectorAll("[data-command=undo] kbd, [data-command=redo] kbd")) button.remove();
    replace(shell.work, this.canvas.element, rail, this.checks.element, this.status);
    replace(shell.tools,
      this.naming.element,
      h("section", {}, h("h3", { text: t("Objects of this photo") }), this.list.element, h("div", { class: "row wrap" }, commandButton(commands, "another", { icon: "plus", label: t("Add another") }), commandButton(commands, "back", { icon: "undo", label: t("Back") }))),
      h("section", {}, commandButton(commands, "discard", { icon: "remove" })));
  }

  private useTool(tool: Tool): void {
    if (tool !== this.editor.tool) this.editor.dropOutline();
    this.editor.tool = tool;
    // Else Space would press the tool's button again instead of using the tool.
    this.canvas.focus();
    this.canvas.redraw();
  }

  private setBare(isBare: boolean): void {
    this.canvas.isBare = isBare;
    this.canvas.redraw();
  }

  private toggleFlag(index: number): void {
    const isSet = this.naming.toggleFlag(index);
    this.host.shell.announce(isSet ? t("{flag}: set", { flag: flagNames()[index] ?? "" }) : t("{flag}: not set", { flag: flagNames()[index] ?? "" }));
  }

  private syncOutlineScope(): void {
    const { isOutlining } = this.editor;
    if (isOutlining !== this.host.commands.isIn("polygon")) isOutlining ? this.host.commands.enter("polygon") : this.host.commands.leave("polygon");
    this.canvas.redraw();
  }

  private clearMask(): void {
    this.editor.clearMask("Clear");
    this.proposalId = null;
  }

  private takeSuggestion(index: number): void {
    const suggestion = this.canvas.suggestions[index];
    const proposal = this.task?.proposals[index];
    if (!suggestion || !proposal) return;
    this.editor.replaceMask(`Suggestion ${index + 1}`, suggestion.mask, { box: null, hints: [], points: [], isDrawn: true });
    this.proposalId = proposal.id;
    if (!this.naming.value().label && proposal.label) this.naming.set({ ...this.naming.value(), label: proposal.label });
    this.host.shell.announce(t("Suggestion {number} taken", { number: index + 1 }));
  }

  private suggestion(mask: Mask): Suggestion {
    let x = 0, y = 0, count = 0;
    for (let i = 0; i < mask.data.length; i++) {
      if (mask.data[i] === 0) continue;
      x += i % mask.width;
      y += Math.floor(i / mask.width);
      count += 1;
    }
    return { mask, layer: this.canvas.layerFor(mask, "suggestion"), at: count ? [x / count, y / count] : [0, 0] };
  }

  /** Asks for the object's edge; what is put while it is under way is asked for right after. */
  private async refine(): Promise<void> {
    const { editor, claim, task } = this;
    if (!claim || !task || this.isBusy || !canRefine(editor)) return;
    const asked = editor.guides;
    this.isBusy = true;
    this.host.commands.changed();
    try {
      const mask = await refinedMask(this.host, editor, task);
      if (mask && this.claim === claim) editor.replaceMask("Refine", mask, {});
    } catch (error) {
      this.host.complain(error);
    } finally {
      this.isBusy = false;
      this.host.commands.changed();
    }
    if (this.claim === claim && editor.guides.points.length > asked.points.length) await this.refine();
  }

  /** The mask is nothing but the box that was dragged. */
  private isBareBox(): boolean {
    const { area, guides } = this.editor;
    return guides.box !== null && guides.hints.length === 0 && area === guides.box.width * guides.box.height;
  }

  private current(): Marked {
    const { width, height, data } = this.editor.mask;
    return { mask: new Mask(width, height, data.slice()), ...this.naming.value(), proposal_id: this.proposalId, warnings: this.look().map((warning) => warning.code) };
  }

  private addAnother(): void {
    if (this.putAside()) this.startNext();
  }

  /** Puts the object in hand into the list; false when something is missing, which is said. */
  private putAside(): boolean {
    const problem = this.missing();
    if (problem) {
      this.host.shell.announce(problem);
      return false;
    }
    const current = this.current();
    this.recent.add(current.label);
    this.marked = [...this.marked, current];
    return true;
  }

  private startNext(): void {
    this.editor.reset();
    this.host.history.clear();
    this.proposalId = null;
    this.naming.set({ label: "", taxonomy_key: null, flags: [] });
    this.refreshTaken();
    this.touched();
  }

  /** The object that was marked longest ago comes back into the hands; the one in hand goes to the end of the list. */
  private goBack(): void {
    const [first] = this.marked;
    if (first) this.edit(first);
  }

  private edit(target: Marked): void {
    if (this.isBusy || (this.editor.area > 0 && !this.putAside())) return;
    this.marked = this.marked.filter((other) => other !== target);
    this.editor.reset(target.mask);
    this.host.history.clear();
    this.naming.set(target);
    this.proposalId = target.proposal_id;
    this.refreshTaken();
    this.touched();
    this.host.shell.announce(t("{label} is in your hands again", { label: target.label }));
  }

  private remove(target: Marked): void {
    this.marked = this.marked.filter((other) => other !== target);
    this.refreshTaken();
    this.touched();
  }

  private refreshTaken(): void {
    this.canvas.taken = [...this.taken, ...this.marked].map(({ mask }) => this.canvas.layerFor(mask, "taken"));
    this.canvas.redraw();
    this.list.show(this.task?.taken ?? [], this.marked);
  }

  private async discard(): Promise<void> {
    const answer = await ask(this.host.shell.root, {
      title: t("Discard this photo for stage 1?"), action: t("Discard"),
      reasons: [["no_object", t("It shows no single object that can be marked")], ["bad_photo", t("Too blurred, too dark or too small")], ["unsuitable", t("People, private or otherwise unsuitable")], ["duplicate", t("The same as another photo")]],
    });
    if (answer) this.host.submit(async () => ({ discard: { reason: answer.reason } }));
  }

  private async restore(draft: Draft | null): Promise<void> {
    if (!draft) return;
    const { width, height } = this.editor.mask;
    const read = async (kept: StoredTarget): Promise<Marked> => {
      const { mask_png, ...rest } = kept;
      const picture = await createImageBitmap(new Blob([bytesFromBase64(mask_png)], { type: "image/png" }));
      return { ...rest, warnings: rest.warnings ?? [], mask: maskOfCanvas(canvasOf(picture, width, height)) };
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
    this.lookSoon();
  }

  private lookSoon(): void {
    clearTimeout(this.lookTimer);
    this.lookTimer = window.setTimeout(() => {
      if (!this.task) return;
      this.host.shell.photo.setMask(this.editor.mask);
      if (this.editor.gesture) return;
      this.warnings = this.look();
      this.checks.show(this.warnings);
    }, LOOK_AGAIN_MS);
  }

  /** What the checks say of the mask in hand; a person who flagged an object as truncated knows about the border. */
  private look(): Warning[] {
    if (!this.task || this.isBareBox()) return [];
    const isTruncated = this.naming.value().flags.includes("truncated");
    return checkMask(this.editor.mask, this.task.photo.width, [...this.taken, ...this.marked]).filter((warning) => warning.code !== "border" || !isTruncated);
  }

  private showStatus(): void {
    if (!this.task) return;
    const zoomed = Math.round((100 * this.canvas.view.scale * devicePixelRatio * this.editor.mask.width) / this.task.photo.width);
    const brush = this.editor.tool === "brush" || this.editor.tool === "eraser" ? ` · ${t("brush {size} px, [ and ]", { size: Math.round(2 * this.canvas.brushRadius_px) })}` : "";
    const [x, y] = this.canvas.cursor ?? [];
    const toPhoto = this.task.photo.width / this.editor.mask.width;
    const at = x === undefined || y === undefined ? "" : ` · ${Math.floor(x * toPhoto)}, ${Math.floor(y * toPhoto)}`;
    this.status.textContent = `${zoomed} %${brush}${at}`;
  }
}
