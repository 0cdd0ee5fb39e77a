/** Dark or light, remembered; and the tokens of app.css for canvases, which cannot use custom properties. */

const KEY = "candid8.theme";

export function restoreTheme(): void {
  const theme = localStorage.getItem(KEY);
  if (theme) document.documentElement.dataset.theme = theme;
}

export function toggleTheme(): void {
  const isLight = document.documentElement.dataset.theme === "light";
  document.documentElement.dataset.theme = isLight ? "dark" : "light";
  localStorage.setItem(KEY, isLight ? "dark" : "light");
  dispatchEvent(new Event("candid8:theme"));
}

/** The value of a custom property, such as token("--accent"). */
export function token(name: `--${string}`): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
