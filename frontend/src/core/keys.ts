/** Names of key strokes: "Shift+1", "Ctrl+Z", "ArrowLeft", "?"; the same on every keyboard layout that has the character. */
import { t } from "./language";

export interface Stroke {
  key: string;
  code: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
}

const SYMBOLS = new Set(["?", "+", "-", "=", "/", "[", "]", ",", "."]);

export function strokeName(event: Stroke): string {
  const base = baseKey(event);
  const shift = event.shiftKey && !SYMBOLS.has(base);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${base}`;
}

function baseKey(event: Stroke): string {
  // Shift+1 types "!" or something else by layout, so digits go by their place on the board.
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  if (digit) return digit[1] as string;
  if (event.code === "Space") return "Space";
  if (SYMBOLS.has(event.key)) return event.key === "=" ? "+" : event.key;
  if (/^[a-z]$/i.test(event.key)) return event.key.toUpperCase();
  // A layout without Latin letters, or Alt that types a special character: the place on the board decides.
  const letter = /^Key([A-Z])$/.exec(event.code);
  return letter ? (letter[1] as string) : event.key;
}

const shownNames = (): Record<string, string> => ({
  ArrowLeft: t("Left"), ArrowRight: t("Right || the side"), ArrowUp: t("Up"), ArrowDown: t("Down"), Backspace: t("Bksp"), PageUp: t("PgUp"), PageDown: t("PgDn"),
  Escape: "Esc", Delete: t("Del"), Home: t("Home"), Space: t("Space"), Ctrl: t("Ctrl"),
});

/** How a key is written on a button. */
export function keyLabel(name: string): string {
  const shown = shownNames();
  return name.split(/\+(?=.)/).map((part) => shown[part] ?? part).join("+");
}

/** The same for the keys held along: "Ctrl+" is such a prefix. */
export const prefixLabel = (prefix: string): string => (prefix ? `${keyLabel(prefix.slice(0, -1))}+` : "");

/** The value of aria-keyshortcuts for some keys. */
export function ariaKeys(names: readonly string[]): string {
  return names.map((name) => name.replace("Ctrl+", "Control+")).join(" ");
}

/** Keys that browsers and assistive technology keep for themselves, so that no page may have them. */
const KEPT_BY_THE_BROWSER = new Set([
  "Tab", "Shift+Tab", "Escape", "F5", "F11", "F12", "Ctrl+W", "Ctrl+T", "Ctrl+N", "Ctrl+Shift+N", "Ctrl+Shift+T", "Ctrl+Shift+W", "Ctrl+Q", "Ctrl+L", "Ctrl+R", "Ctrl+Tab",
  "Ctrl+C", "Ctrl+V", "Ctrl+X", "Ctrl+A", "Ctrl+F", "Ctrl+P", "Alt+F4", "Alt+ArrowLeft", "Alt+ArrowRight",
]);

export const isKeptByTheBrowser = (name: string): boolean => KEPT_BY_THE_BROWSER.has(name);

/** Only held along with others. */
export const isModifier = (key: string): boolean => ["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"].includes(key);

/** Can be struck by accident while speaking or typing: one printable character and no Ctrl or Alt. */
export const isSingleCharacter = (name: string): boolean => !/^(Ctrl|Alt)\+/.test(name) && name.replace("Shift+", "").length === 1;
