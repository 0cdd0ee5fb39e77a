/** Says whether the shape looks the same from several headings, turns it to the next of them, and keeps what was declared. */
import { h } from "../core/dom";
import { t } from "../core/language";
import type { PoseJson, Vec3 } from "../net/contract";
import { ANY, headingSymmetry, sampleSurface, SYMMETRIES, turnedHeading } from "../tools/heading_symmetry";
import type { Symmetry } from "../tools/heading_symmetry";
import { commandButton } from "../ui/buttons";
import type { Model } from "../viewer/models";
import { surfaceTriangles } from "../viewer/surface";
import type { StageHost } from "./stage";

/** Where every heading is equal, a turn this large shows that it is. */
const ANY_TURN_DEG = 30;

export class PoseSymmetry {
  readonly element: HTMLElement;
  private readonly choice: HTMLSelectElement;
  private readonly text = h("p", { class: "caption", role: "status" });
  private centre: Vec3 = [0, 0, 0];
  private found: Symmetry | null = null;
  private declared: Symmetry = 1;
  private isByHand = false;
  private run = 0;

  constructor(private readonly host: StageHost, private readonly changed: () => void) {
    this.choice = h("select", { "aria-label": t("The shape looks the same when turned by"), on: { change: () => this.declare(Number(this.choice.value) as Symmetry) } },
      ...SYMMETRIES.map((symmetry) => h("option", { value: symmetry, text: nameOf(symmetry) })));
    this.element = h("section", { class: "symmetry" }, this.choice, commandButton(host.commands, "heading", { label: t("Turn") }), this.text);
  }

  get value(): Symmetry {
    return this.declared;
  }

  get state(): { found: Symmetry | null; declared: Symmetry } {
    return { found: this.found, declared: this.declared };
  }

  /** Looks at the shape, which stands in no scene yet, while the person works; ``declared`` is what they said before. */
  async look(model: Model, declared: Symmetry | undefined): Promise<void> {
    const run = ++this.run;
    this.found = null;
    this.isByHand = declared !== undefined;
    this.set(declared ?? 1);
    const sample = sampleSurface(surfaceTriangles(model.root));
    this.centre = sample.centre;
    const found = await headingSymmetry(sample, () => new Promise((resolve) => setTimeout(resolve)));
    if (run !== this.run) return;
    this.found = found;
    this.set(this.isByHand ? this.declared : found);
    this.host.commands.changed();
  }

  end(): void {
    this.run += 1;
    this.found = null;
    this.set(1);
  }

  /** The pose at the next heading that looks the same; null when there is none. */
  next(pose: PoseJson): PoseJson | null {
    if (this.declared === 1) return null;
    return turnedHeading(pose, this.declared === ANY ? ANY_TURN_DEG : 360 / this.declared, this.centre);
  }

  declare(symmetry: Symmetry): void {
    this.isByHand = true;
    this.set(symmetry);
    this.changed();
  }

  private set(symmetry: Symmetry): void {
    this.declared = symmetry;
    this.choice.value = String(symmetry);
    this.text.textContent = this.found === null ? t("Looking for symmetry…") : hintOf(symmetry);
  }
}

function nameOf(symmetry: Symmetry): string {
  if (symmetry === 1) return t("Heading matters");
  return symmetry === ANY ? t("Same at any heading") : t("Same every {degrees}°", { degrees: 360 / symmetry });
}

function hintOf(symmetry: Symmetry): string {
  if (symmetry === 1) return t("It looks different from every side: check that its front is right.");
  if (symmetry === ANY) return t("It looks the same from every side: its heading does not matter.");
  return t("It looks the same turned by {degrees}°. If its front can be told all the same (colours, print), check it.", { degrees: 360 / symmetry });
}
