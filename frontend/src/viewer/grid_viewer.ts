/** A few candidates side by side for pages that only look: labels, one camera for all, M C N on buttons. */
import { h, prefersReducedMotion, replace } from "../core/dom";
import { t } from "../core/language";
import { gridCells } from "../tools/cell_layout";
import type { Rect } from "../tools/mask";
import { CellGrid } from "./cell_grid";
import type { CellLook } from "./cell";

export interface ViewedCell { id?: number; label: string; note?: string; mesh_url: string; preview_url?: string }

const looksOffered = (): [CellLook, string][] => [["colour", t("Mesh")], ["clay", t("Clay")], ["normals", t("Normals")]];

export class GridViewer {
  private readonly grid: CellGrid;
  private readonly frames = h("div");
  private turning: () => void = () => undefined;
  private cells: readonly (ViewedCell & { key: number })[] = [];

  /** Raises NoWebGl. ``box`` must have a size and a position. A bare viewer has no buttons and turns by itself.
   * ``columns``: how many to a row, when that is not left to the room. */
  constructor(box: HTMLElement, private readonly options: { isBare?: boolean; columns?: number } = {}) {
    this.grid = new CellGrid({ layout: () => this.layout(), clicked: () => undefined, drawn: () => undefined, changed: () => this.describe() });
    const looks = h("div", { class: "row look-buttons" }, ...looksOffered().map(([look, label]) => h("button", { type: "button", text: label, on: { click: () => this.grid.setLook(look) } })));
    if (!prefersReducedMotion()) looks.append(this.turnButton());
    box.append(this.grid.element, this.frames, ...(options.isBare ? [] : [looks]));
  }

  async show(cells: readonly ViewedCell[]): Promise<void> {
    this.cells = cells.map((cell, key) => ({ ...cell, key }));
    // A cell without a mesh keeps its place and says why.
    await Promise.all(this.grid.show(this.cells.filter((cell) => cell.mesh_url).map((cell) => ({ id: cell.key, mesh_url: cell.mesh_url, preview_url: cell.preview_url || cell.mesh_url, splat_url: null, pose: null })), null));
    this.layout();
    if (this.options.isBare) this.grid.startTurntable();
  }

  dispose(): void {
    this.grid.dispose();
    this.frames.remove();
  }

  private turnButton(): HTMLElement {
    const button = h("button", { type: "button", text: t("Turn"), "aria-pressed": "false", on: { click: () => { this.grid.setTurning(!this.grid.isTurning); this.turning(); } } });
    this.turning = () => button.setAttribute("aria-pressed", String(this.grid.isTurning));
    return button;
  }

  private layout(): void {
    const { clientWidth, clientHeight } = this.grid.element;
    if (clientWidth === 0) return;
    const rects = gridCells(this.cells.length, clientWidth, clientHeight, this.options.columns);
    this.grid.place(this.cells.map((cell, i) => ({ id: cell.key, rect: rects[i] as Rect, isLarge: false })));
    replace(this.frames, ...this.cells.map((cell, i) => {
      const rect = rects[i] as Rect;
      const frame = h("div", { class: "cell", data: { key: String(cell.key) } }, cell.label !== "" && h("span", { class: "number", text: cell.label }), h("span", { class: "state caption" }));
      Object.assign(frame.style, { left: `${rect.x}px`, top: `${rect.y}px`, width: `${rect.width}px`, height: `${rect.height}px` });
      return frame;
    }));
    this.describe();
  }

  private describe(): void {
    this.turning();
    for (const frame of this.frames.children) {
      const cell = this.cells[Number((frame as HTMLElement).dataset.key)];
      const text = (cell && this.grid.cell(cell.key)?.state) || cell?.note || "";
      const label = frame.querySelector(".state") as HTMLElement;
      label.textContent = text;
      label.hidden = text === "";
    }
  }
}
