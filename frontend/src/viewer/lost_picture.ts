/** What a 3D view says while the graphics card has taken its memory back. */
import { h, replace } from "../core/dom";
import { t } from "../core/language";

/** After this a lost picture is not expected to come back by itself. */
const LOST_FOR_LONG_MS = 8000;

export class LostPicture {
  readonly element = h("div", { class: "viewport-lost", role: "status", hidden: true });
  private timer = 0;

  setLost(isLost: boolean): void {
    clearTimeout(this.timer);
    this.element.hidden = !isLost;
    if (!isLost) return;
    const line = (text: string) => h("p", { text });
    const message = h("div", { class: "notice warning stack" }, h("strong", { text: t("The graphics card let go of the picture") }), line(t("It comes back by itself in a moment. Everything you did is kept.")));
    replace(this.element, message);
    this.timer = window.setTimeout(() => message.append(
      line(t("It takes longer than usual. Your draft is kept if you load the page again.")),
      h("button", { type: "button", text: t("Load the page again"), on: { click: () => location.reload() } }),
    ), LOST_FOR_LONG_MS);
  }
}
