/** What each mark of a rating stands for, in words; a project's guidelines may say it better, with an example. */
import { t } from "../core/language";
import type { GuidelineExample } from "../net/contract";

export type Aspect = "shape" | "texture";

export interface RatingAnchor {
  aspect: Aspect;
  value: number;
  /** One word for the button. */
  name: string;
  /** One sentence that two people would understand alike. */
  text: string;
  /** A shape that deserves this mark, of the project's guidelines. */
  example?: GuidelineExample;
}

/** The same marks, with the words and shapes that a project's guidelines give them; of several examples the first good one. */
export function anchorsOfGuidelines(anchors: readonly RatingAnchor[], examples: readonly GuidelineExample[]): RatingAnchor[] {
  return anchors.map((anchor) => {
    const mine = examples.filter(({ aspect, value }) => aspect === anchor.aspect && value === anchor.value);
    const example = mine.find(({ verdict }) => verdict === "good") ?? mine[0];
    return example ? { ...anchor, text: example.caption || anchor.text, example } : anchor;
  });
}

/** For projects whose guidelines say nothing else. */
export function defaultAnchors(): RatingAnchor[] {
  const anchor = (aspect: Aspect, value: number, name: string, text: string): RatingAnchor => ({ aspect, value, name, text });
  return [
    anchor("shape", 1, t("wrong"), t("Another object: nobody would recognise the one in the photo.")),
    anchor("shape", 2, t("poor"), t("The rough masses are right, but large parts are missing, added or bent.")),
    anchor("shape", 3, t("fair"), t("Clearly this object; some parts are wrong in form or proportion.")),
    anchor("shape", 4, t("good"), t("All parts are there and right; only small details differ.")),
    anchor("shape", 5, t("exact"), t("Seen from all sides, nothing differs from what the photo shows or suggests.")),
    anchor("texture", 1, t("wrong"), t("Colours and patterns have nothing to do with the photo.")),
    anchor("texture", 2, t("poor"), t("The main colour is about right; patterns are missing, smeared or misplaced.")),
    anchor("texture", 3, t("fair"), t("Colours are right on the side one sees; the hidden side is implausible or blurred.")),
    anchor("texture", 4, t("good"), t("Right all around; small marks, writing or edges are blurred.")),
    anchor("texture", 5, t("exact"), t("Sharp and right on the side one sees, plausible on the hidden side.")),
  ];
}
