/** The person's settings: what the page came with, and what they change on it. */
import type { Commands } from "../core/commands";
import type { Config } from "../core/config";
import { t } from "../core/language";
import { showTheme } from "./theme";
import type { Api } from "../net/api";
import type { Settings } from "../net/contract";

const NOTHING_CHOSEN: Settings = { keys: {}, single_keys: true, language: "", theme: "", motion: "" };

/** What the pages speak, each language in its own words; the first follows the browser. */
export const languages = (): [code: string, name: string][] => [["", t("As the browser")], ["en", "English"], ["de", "Deutsch"]];

export class PersonalSettings {
  current: Settings;

  constructor(private readonly api: Api, private readonly commands: Commands, config: Config) {
    this.current = { ...NOTHING_CHOSEN, ...config.settings };
    this.wear();
  }

  /** Raises as the API does when the server does not take it; nothing has changed then. */
  async change(wishes: Partial<Settings>): Promise<void> {
    this.current = (await this.api.send<Settings>("PATCH", "/me/settings", wishes)).body;
    this.wear();
  }

  private wear(): void {
    const { keys, single_keys, theme, motion } = this.current;
    this.commands.singleKeys = single_keys;
    this.commands.useKeys(keys ?? {});
    if (motion) document.documentElement.dataset.motion = motion;
    else delete document.documentElement.dataset.motion;
    if (theme) showTheme(theme);
  }
}
