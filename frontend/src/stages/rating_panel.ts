/** Two rows of five: how good the shape is, and how good the texture, each mark with the words that fix its meaning. */
import type { Commands } from "../core/commands";
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { Aspect, RatingAnchor } from "../tools/rating_anchors";
import { commandButton } from "../ui/buttons";

export const RATING_KEYS: Record<Aspect, readonly string[]> = { shape: ["1", "2", "3", "4", "5"], texture: ["Q", "W", "E", "R", "T"] };

const titleOf = (aspect: Aspect) => (aspect === "shape" ? t("Shape") : t("Texture"));
const idOf = ({ aspect, value }: RatingAnchor) => `rate.${aspect}.${value}`;

export function addRatingCommands(commands: Commands, anchors: readonly RatingAnchor[], rate: (aspect: Aspect, value: number) => void): void {
  commands.add(anchors.map((anchor) => ({
    id: idOf(anchor), label: `${titleOf(anchor.aspect)} ${anchor.value}: ${anchor.name}`, keys: [RATING_KEYS[anchor.aspect][anchor.value - 1] as string], scope: "rating",
    enabled: () => commands.isIn("rating"), run: () => rate(anchor.aspect, anchor.value),
  })));
}

/** ``value`` is the mark given so far. One line below says what the mark under the pointer, or the last one given, stands for. */
export function ratingPanel(commands: Commands, anchors: readonly RatingAnchor[], value: (aspect: Aspect) => number | null): HTMLElement {
  const meaning = h("div", { class: "anchor caption" });
  const given = (anchor: RatingAnchor | null) => anchor !== null && value(anchor.aspect) === anchor.value;
  const before: Record<Aspect, number | null> = { shape: null, texture: null };
  let pointed: RatingAnchor | null = null, last: RatingAnchor | null = null;
  const describe = () => {
    // By key or by mouse: the mark that was just given is the one to be told of.
    for (const aspect of ["shape", "texture"] as const) {
      if (value(aspect) === before[aspect]) continue;
      before[aspect] = value(aspect);
      last = anchors.find((anchor) => anchor.aspect === aspect && given(anchor)) ?? last;
    }
    if (!given(last)) last = anchors.findLast(given) ?? null;
    const anchor = pointed ?? last;
    replace(meaning, anchor && h("span", {}, h("b", { text: `${titleOf(anchor.aspect)} ${anchor.value}: ` }), anchor.text), anchor?.exampleUrl && h("img", { src: anchor.exampleUrl, alt: anchor.text, loading: "lazy" }));
  };
  const point = (anchor: RatingAnchor | null) => () => { pointed = anchor; describe(); };
  const button = (anchor: RatingAnchor) => {
    const button = commandButton(commands, idOf(anchor), { label: anchor.name, pressed: () => given(anchor) });
    button.title = `${button.title} – ${anchor.text}`;
    for (const type of ["pointerenter", "focus"]) button.addEventListener(type, point(anchor));
    for (const type of ["pointerleave", "blur"]) button.addEventListener(type, point(null));
    return button;
  };
  const row = (aspect: Aspect) => h("section", {}, h("h3", { text: titleOf(aspect) }), h("div", { class: "rating", role: "group", "aria-label": titleOf(aspect) }, ...anchors.filter((anchor) => anchor.aspect === aspect).map(button)));
  commands.onChange(describe);
  return h("div", { class: "ratings" }, row("shape"), row("texture"), meaning);
}
