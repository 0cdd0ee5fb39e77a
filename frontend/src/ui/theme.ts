/** Dark or light, remembered; and the tokens of app.css for canvases, which cannot use custom properties. */

const KEY = "candid8.theme";

/** The person's choice came with the page (see base.html); before they chose, the browser may remember one. */
export function restoreTheme(): void {
  const theme = localStorage.getItem(KEY);
  if (theme && !document.documentElement.dataset.theme) document.documentElement.dataset.theme = theme;
}

export function showTheme(theme: string): void {
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEY, theme);
  dispatchEvent(new Event("candid8:theme"));
}

/** The other one; returns which it is now. */
export function toggleTheme(): "dark" | "light" {
  const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  showTheme(theme);
  return theme;
}

/** The value of a custom property, such as token("--accent"). */
export function token(name: `--${string}`): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
