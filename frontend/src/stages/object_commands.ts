/** The commands of stage 1: every one has a key, so that all of it can be done without a pointer. */
import type { Command } from "../core/commands";
import { prefixLabel } from "../core/keys";
import { t } from "../core/language";
import { fillHoles, invert } from "../tools/mask";
import type { MaskCanvas, StepSize } from "../tools/mask_canvas";
import type { MaskEditor, Tool } from "../tools/mask_editor";
import { flagNames, FLAGS } from "./label_panel";

/** What the stage does itself. */
export interface ObjectActions {
  useTool: (tool: Tool) => void;
  refine: () => void;
  clearMask: () => void;
  setBare: (isBare: boolean) => void;
  focusName: () => void;
  another: () => void;
  goBack: () => void;
  discard: () => void;
  toggleFlag: (index: number) => void;
  takeSuggestion: (index: number) => void;
  isFree: () => boolean;
  canRefine: () => boolean;
  canGoBack: () => boolean;
}

const ARROWS = [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]] as const;
const PAN_PX = 64;

export function objectCommands(editor: MaskEditor, canvas: MaskCanvas, act: ObjectActions): Command[] {
  const tool = (id: Tool, label: string, key: string): Command => ({ id: `tool.${id}`, label, keys: [key], scope: "object", run: () => act.useTool(id) });
  const { isFree } = act;
  const isDrawn = () => isFree() && editor.area > 0;
  const hasAnything = () => isFree() && (editor.area > 0 || editor.guides.points.length > 0);
  const flags = flagNames();
  return [
    tool("box", t("Box"), "B"), tool("scissors", t("Scissors"), "C"), tool("polygon", t("Polygon"), "P"), tool("brush", t("Brush"), "D"), tool("eraser", t("Eraser"), "X"), tool("point", t("Points"), "T"),
    { id: "refine", label: t("Refine"), keys: ["R"], scope: "object", enabled: () => isFree() && act.canRefine(), run: act.refine },
    { id: "fill", label: t("Fill holes"), keys: ["F"], scope: "object", enabled: isDrawn, run: () => editor.apply("Fill", fillHoles) },
    { id: "invert", label: t("Invert"), keys: ["I"], scope: "object", enabled: isFree, run: () => editor.apply("Invert", invert) },
    { id: "clear", label: t("Clear the mask"), keys: ["Backspace"], scope: "object", enabled: hasAnything, run: act.clearMask },
    { id: "bare", label: t("Photo without mask (hold)"), keys: ["V"], scope: "object", run: () => act.setBare(true), release: () => act.setBare(false) },
    { id: "act", label: t("Put a corner, begin or end a box, paint while held; over the photo with the mouse: pan"), keys: ["Space"], scope: "object", enabled: isFree, run: () => canvas.keyPress(false), release: () => canvas.keyRelease() },
    { id: "act.background", label: t("Put a point beside the object"), keys: ["Shift+Space"], scope: "object", enabled: isFree, run: () => canvas.keyPress(true), release: () => canvas.keyRelease() },
    ...moves(canvas, "normal", "", t("Move the crosshair")), ...moves(canvas, "coarse", "Shift+", t("Move it far")), ...moves(canvas, "fine", "Ctrl+", t("Move it by one pixel")),
    ...ARROWS.map(([arrow, x, y], i): Command => ({ id: `pan.${arrow}`, label: t("Pan"), keys: [`Alt+${arrow}`], scope: "object", repeats: true, inHelp: i === 0, helpKeys: t("Alt+arrows"), run: () => canvas.panBy(-x * PAN_PX, -y * PAN_PX) })),
    { id: "zoom.in", label: t("Zoom in"), keys: ["+"], scope: "object", repeats: true, run: () => canvas.zoomBy(1.25) },
    { id: "zoom.out", label: t("Zoom out"), keys: ["-"], scope: "object", repeats: true, run: () => canvas.zoomBy(0.8) },
    { id: "zoom.fit", label: t("Whole photo"), keys: ["0"], scope: "object", run: () => canvas.zoomToFit() },
    { id: "zoom.pixels", label: t("Real pixels (1:1)"), keys: ["Z"], scope: "object", run: () => canvas.zoomToPixels() },
    { id: "brush.smaller", label: t("Smaller brush"), keys: ["["], scope: "object", repeats: true, run: () => canvas.setBrush(0.8) },
    { id: "brush.larger", label: t("Larger brush"), keys: ["]"], scope: "object", repeats: true, run: () => canvas.setBrush(1.25) },
    { id: "label", label: t("Name it"), keys: ["L", "/"], scope: "object", run: act.focusName },
    { id: "another", label: t("Add another object"), keys: ["N"], scope: "object", enabled: isDrawn, run: act.another },
    { id: "back", label: t("Go back to a marked object"), keys: ["O"], scope: "object", enabled: () => isFree() && act.canGoBack(), run: act.goBack },
    { id: "discard", label: t("Nothing usable here"), keys: ["Delete"], scope: "object", enabled: isFree, run: act.discard },
    ...FLAGS.map((flag, i): Command => ({ id: `flag.${flag}`, label: t("Flag: {flag}", { flag: flags[i] as string }), keys: [`Alt+${i + 1}`], scope: "object", run: () => act.toggleFlag(i) })),
    ...Array.from({ length: 9 }, (_, i): Command => ({
      inHelp: i === 0, helpKeys: "1 … 9",
      id: `suggestion.${i + 1}`, label: t("Take suggestion {number}", { number: i + 1 }), keys: [`${i + 1}`], scope: "object", enabled: () => isFree() && i < canvas.suggestions.length, run: () => act.takeSuggestion(i),
    })),
    { id: "polygon.close", label: t("Close the outline, or end the box"), keys: ["Enter"], scope: "polygon", run: () => editor.finishOutline() },
    { id: "polygon.back", label: t("Take the last corner back"), keys: ["Backspace", "Ctrl+Z"], scope: "polygon", repeats: true, run: () => editor.takeCornerBack() },
    { id: "polygon.cancel", label: t("Drop the outline"), keys: ["Escape"], scope: "polygon", run: () => editor.dropOutline() },
  ];
}

function moves(canvas: MaskCanvas, size: StepSize, modifier: string, label: string): Command[] {
  return ARROWS.map(([arrow, x, y], i) => ({
    id: `cursor.${size}.${arrow}`, label, keys: [`${modifier}${arrow}`], scope: "object", repeats: true, inHelp: i === 0, helpKeys: modifier ? t("{modifier} arrows", { modifier: prefixLabel(modifier) }) : t("arrows"),
    run: () => canvas.moveCursor(x, y, size),
  }));
}
