/** What the page says in the person's language: English texts are the keys, a catalogue per language has the others. */

type Values = Record<string, string | number>;

let catalogue: Readonly<Record<string, string>> = {};

/** Everything said from now on comes from this catalogue; a text that it lacks is said in English. */
export function speak(texts: Readonly<Record<string, string>>): void {
  catalogue = texts;
}

/**
 * A text in the person's language, ``{name}`` in it replaced by the value of that name.
 *
 * Call it when something is said, never while a module loads: the catalogue comes later. The English text is written
 * out at the call, so that the test that compares catalogues with the code finds it. What stands after `` || `` is for
 * translators alone, where one English word means two things.
 */
export function t(text: string, values: Values = {}): string {
  return (catalogue[text] ?? text.split(" || ", 1)[0] ?? text).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
