/** The icons of the product, all from lucide, always beside a word or a tool-tip. */
import {
  Axis3d, BookOpen, Box, Brush, Check, CircleQuestionMark, Contrast, Crosshair, Crown, Eraser, Eye, EyeOff, Grid2x2, Hand, Image, LogOut, Move3d, Palette, PaintBucket, PenTool, Plus,
  Redo2, Rotate3d, RotateCcw, Scale3d, Scissors, SquareDashed, Sun, Trash2, TriangleAlert, Undo2, Upload, WandSparkles, WifiOff, createElement,
} from "lucide";

const ICONS = {
  axes: Axis3d, guide: BookOpen, box: Box, brush: Brush, check: Check, help: CircleQuestionMark, invert: Contrast, king: Crown, eraser: Eraser, eye: Eye, hidden: EyeOff, grid: Grid2x2,
  hand: Hand, image: Image, leave: LogOut, move: Move3d, colour: Palette, fill: PaintBucket, polygon: PenTool, plus: Plus, redo: Redo2, rotate: Rotate3d,
  turntable: RotateCcw, scale: Scale3d, select: SquareDashed, theme: Sun, remove: Trash2, warning: TriangleAlert, undo: Undo2, upload: Upload, refine: WandSparkles,
  offline: WifiOff, scissors: Scissors, point: Crosshair,
};
export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGElement {
  return createElement(ICONS[name], { class: "icon", "aria-hidden": "true", width: 16, height: 16 });
}
