/** What the checks found, in words, with what to do; they warn and never stop anybody. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";
import type { Warning } from "../tools/mask_checks";
import { icon } from "../ui/icons";

export class WarningPanel {
  readonly element = h("section", { class: "mask-warnings", hidden: true });
  private said = "";

  /** ``announce`` tells people who cannot see the panel, when something new stands in it. */
  constructor(private readonly announce: (text: string) => void) {}

  show(warnings: readonly Warning[]): void {
    const texts = warnings.map(warningText);
    const all = texts.join(" ");
    if (all === this.said) return;
    this.said = all;
    this.element.hidden = texts.length === 0;
    replace(this.element, h("h3", { text: t("Please look again") }), ...texts.map((text) => h("p", { class: "notice warning" }, icon("warning"), h("span", { text }))));
    if (texts.length) this.announce(all);
  }
}

export function warningText(warning: Warning): string {
  switch (warning.code) {
    case "parts":
      return t("The mask has {count} parts. Erase the stray ones (X), or join what belongs together (D). Another object: N.", { count: warning.count });
    case "border":
      return t("The mask touches the photo's border. If the object goes on outside, set the flag truncated (Alt+2).");
    case "small":
      return t("The object is only {side} px long. Is it large enough to be seen from all sides?", { side: warning.side });
    case "large":
      return t("The mask covers {share} % of the photo. Did you mean the rest? I inverts it.", { share: Math.round(100 * warning.share) });
    case "overlap":
      return t("{share} % overlap with “{label}”, which is taken already. One of them should give way.", { share: Math.round(100 * warning.share), label: warning.label });
  }
}
