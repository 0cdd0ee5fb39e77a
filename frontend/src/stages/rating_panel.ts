/** Two rows of five: how good the shape is, and how good the texture. */
import type { Commands } from "../core/commands";
import { h } from "../core/dom";
import { commandButton } from "../ui/buttons";

export type Aspect = "shape" | "texture";
export const RATING_KEYS: Record<Aspect, readonly string[]> = { shape: ["1", "2", "3", "4", "5"], texture: ["Q", "W", "E", "R", "T"] };
const MEANING = ["wrong", "poor", "fair", "good", "exact"];

export function addRatingCommands(commands: Commands, rate: (aspect: Aspect, value: number) => void): void {
  for (const aspect of ["shape", "texture"] as const) {
    commands.add(RATING_KEYS[aspect].map((key, i) => ({
      id: `rate.${aspect}.${i + 1}`, label: `${aspect === "shape" ? "Shape" : "Texture"} ${i + 1}: ${MEANING[i]}`, keys: [key], scope: "rating",
      enabled: () => commands.isIn("rating"), run: () => rate(aspect, i + 1),
    })));
  }
}

export function ratingPanel(commands: Commands, value: (aspect: Aspect) => number | null): HTMLElement {
  const row = (aspect: Aspect, title: string) =>
    h("section", {}, h("h3", { text: title }),
      h("div", { class: "rating", role: "group", "aria-label": title }, ...MEANING.map((meaning, i) =>
        commandButton(commands, `rate.${aspect}.${i + 1}`, { label: meaning, pressed: () => value(aspect) === i + 1 }))));
  return h("div", { class: "stack" }, row("shape", "Shape"), row("texture", "Texture"));
}
