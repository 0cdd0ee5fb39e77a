/** Two rows of five: how good the shape is, and how good the texture, each mark with the words that fix its meaning. */
import type { Commands } from "../core/commands";
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { Aspect, RatingAnchor } from "../tools/rating_anchors";
import { commandButton } from "../ui/buttons";
import { AnchorExample } from "./anchor_example";

export const RATING_KEYS: Record<Aspect, readonly string[]> = { shape: ["1", "2", "3", "4", "5"], texture: ["Q", "W", "E", "R", "T"] };

const titleOf = (aspect: Aspect) => (aspect === "shape" ? t("Shape") : t("Texture"));
const idOf = ({ aspect, value }: RatingAnchor) => `rate.${aspect}.${value}`;

export function addRatingCommands(commands: Commands, anchors: readonly RatingAnchor[], rate: (aspect: Aspect, value: number) => void): void {
  commands.add(anchors.map((anchor) => ({
    id: idOf(anchor), label: `${titleOf(anchor.aspect)} ${anchor.value}: ${anchor.name}`, keys: [RATING_KEYS[anchor.aspect][anchor.value - 1] as string], scope: "rating",
    enabled: () => commands.isIn("rating"), run: () => rate(anchor.aspect, anchor.value),
  })));
}

export interface RatingPanel {
  element: HTMLElement;
  /** The same marks with other words or examples. */
  explain: (anchors: readonly RatingAnchor[]) => void;
  /** Lets go of the example on the screen. */
  clear: () => void;
}

/** ``value`` is the mark given so far. Below stands what the mark under the pointer, or the last one given, means, with its example in 3D. */
export function ratingPanel(commands: Commands, first: readonly RatingAnchor[], value: (aspect: Aspect) => number | null): RatingPanel {
  const words = h("div", { class: "anchor caption" }), example = new AnchorExample();
  const before: Record<Aspect, number | null> = { shape: null, texture: null };
  let anchors = first, pointed: string | null = null, last: string | null = null;
  const given = (anchor: RatingAnchor | null | undefined) => anchor != null && value(anchor.aspect) === anchor.value;
  const find = (id: string | null) => anchors.find((anchor) => idOf(anchor) === id);
  const describe = () => {
    // By key or by mouse: the mark that was just given is the one to be told of.
    for (const aspect of ["shape", "texture"] as const) {
      if (value(aspect) === before[aspect]) continue;
      before[aspect] = value(aspect);
      const now = anchors.find((anchor) => anchor.aspect === aspect && given(anchor));
      last = now ? idOf(now) : last;
    }
    const rest = anchors.findLast(given);
    if (!given(find(last))) last = rest ? idOf(rest) : null;
    const anchor = find(pointed ?? last);
    replace(words, anchor && h("span", {}, h("b", { text: `${titleOf(anchor.aspect)} ${anchor.value}: ` }), anchor.text));
    example.show(anchor?.example ?? null);
  };
  const point = (id: string | null) => () => { pointed = id; describe(); };
  const buttons = new Map(first.map((anchor) => {
    const button = commandButton(commands, idOf(anchor), { label: anchor.name, pressed: () => given(anchor) });
    for (const type of ["pointerenter", "focus"]) button.addEventListener(type, point(idOf(anchor)));
    for (const type of ["pointerleave", "blur"]) button.addEventListener(type, point(null));
    return [idOf(anchor), { button, title: button.title }] as const;
  }));
  const explain = (now: readonly RatingAnchor[]) => {
    anchors = now;
    for (const anchor of now) {
      const made = buttons.get(idOf(anchor));
      if (made) made.button.title = `${made.title} – ${anchor.text}`;
    }
    describe();
  };
  const row = (aspect: Aspect) => h("section", {}, h("h3", { text: titleOf(aspect) }), h("div", { class: "rating", role: "group", "aria-label": titleOf(aspect) },
    ...first.filter((anchor) => anchor.aspect === aspect).map((anchor) => buttons.get(idOf(anchor))?.button ?? null)));
  commands.onChange(describe);
  explain(first);
  return { element: h("div", { class: "ratings" }, row("shape"), row("texture"), h("div", { class: "meaning" }, words, example.element)), explain, clear: () => example.clear() };
}
