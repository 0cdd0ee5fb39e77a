/** Every text that a person reads can be said in German, and nothing is said before the catalogue is there. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterEach, describe, expect, it } from "vitest";
import { speak, t } from "../src/core/language";
import GERMAN from "../src/languages/de";
import { OBJECT } from "../src/languages/de/object";
import { PAGES } from "../src/languages/de/pages";
import { PICK } from "../src/languages/de/pick";
import { POSE } from "../src/languages/de/pose";
import { SHELL } from "../src/languages/de/shell";

const SRC = join(import.meta.dirname, "../src");

/** Whole files that speak English, with the reason. */
const ENGLISH_FILES: Record<string, string> = {
  "console.ts": "belongs to Django's admin, which speaks English",
  "ui/curve.ts": "plots of Django's admin, which speaks English",
};

/** Texts that are the same in all languages, or that nobody reads. */
const SAME_EVERYWHERE = new Set([
  "Candid8", // the product's name
  "English", "Deutsch", // each language in its own words
  "OK", "Enter", "Esc", // so on every keyboard and button
]);
/** Keys are called so in German too. */
const KEY_NAMES = /\b(Shift|Alt)\+/g;

/** Steps of the history: names for tests and for joining gestures, shown nowhere. */
const STEP_TAKERS = new Set(["apply", "record", "clearMask", "replaceMask"]);

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.includes(".generated.") && !name.startsWith("languages"))
  .map((name) => name.replaceAll("\\", "/"))
  .map((name) => ({ name, source: ts.createSourceFile(name, readFileSync(join(SRC, name), "utf8"), ts.ScriptTarget.Latest, true) }));

const isCallOf = (node: ts.Node, ...names: string[]): node is ts.CallExpression =>
  ts.isCallExpression(node) && names.includes(ts.isPropertyAccessExpression(node.expression) ? node.expression.name.text : node.expression.getText());

function eachNode(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => eachNode(child, see));
}

const place = (node: ts.Node): string => {
  const source = node.getSourceFile();
  return `${source.fileName}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${node.getText().slice(0, 90)}`;
};

const said = new Map<string, ts.CallExpression>();
const notWrittenOut: string[] = [];
for (const { source } of files) {
  eachNode(source, (node) => {
    if (!ts.isCallExpression(node) || node.expression.getText() !== "t") return;
    const [text] = node.arguments;
    if (text && ts.isStringLiteralLike(text)) said.set(text.text, node);
    else notWrittenOut.push(place(node));
  });
}

const placeholders = (text: string): string[] => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string))].sort();

/** The expressions that a value may come from: both branches of a choice, what stands in for nothing, and so on. */
function sources(node: ts.Expression): ts.Expression[] {
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return sources(node.expression);
  if (ts.isConditionalExpression(node)) return [...sources(node.whenTrue), ...sources(node.whenFalse)];
  if (ts.isBinaryExpression(node)) return node.operatorToken.kind === ts.SyntaxKind.AmpersandAmpersandToken ? sources(node.right) : [...sources(node.left), ...sources(node.right)];
  if (ts.isTemplateExpression(node)) return [node, ...node.templateSpans.flatMap((span) => sources(span.expression))];
  return [node];
}

/** What a literal says by itself, values left out; units and key names of one or two letters are no words. */
function words(node: ts.Expression): string {
  if (ts.isStringLiteralLike(node)) return node.text;
  return ts.isTemplateExpression(node) ? [node.head.text, ...node.templateSpans.map((span) => span.literal.text)].join(" ") : "";
}

const isForPeople = (text: string): boolean => /\p{L}{3}/u.test(text.replace(KEY_NAMES, "")) && !SAME_EVERYWHERE.has(text.trim());

const SHOWN_PROPERTIES = new Set(["text", "title", "aria-label", "placeholder", "label", "hint", "alt", "noteLabel", "helpKeys", "note"]);
const SHOWN_MEMBERS = new Set(["textContent", "title", "placeholder", "ariaLabel"]);
const SAYING = ["toast", "announce", "setHint", "showPace", "offer", "says", "primary", "complain", "Problem", "act"];

function shownIn(node: ts.Node): ts.Expression[] {
  if (ts.isPropertyAssignment(node) && SHOWN_PROPERTIES.has(ts.isStringLiteral(node.name) ? node.name.text : node.name.getText())) return sources(node.initializer);
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken && ts.isPropertyAccessExpression(node.left) && SHOWN_MEMBERS.has(node.left.name.text)) return sources(node.right);
  if (isCallOf(node, "setAttribute") && /^(aria-label|title|placeholder)$/.test(words(node.arguments[0] as ts.Expression))) return sources(node.arguments[1] as ts.Expression);
  // What the button of a dialog does; the address of a form and the step of a history are called so too.
  if (ts.isPropertyAssignment(node) && node.name.getText() === "action") return sources(node.initializer).filter((value) => /^\p{Lu}/u.test(words(value)));
  if (isCallOf(node, "h")) return node.arguments.slice(2).flatMap((argument) => (ts.isSpreadElement(argument) ? [] : sources(argument)));
  if (isCallOf(node, ...SAYING)) return node.arguments.filter((argument) => /^[\p{Lu}]/u.test(words(argument))).flatMap(sources);
  return [];
}

/** A sentence or a title, whoever shows it: a capital, a word, and another word after it. */
const isSentence = (text: string): boolean => /^\p{Lu}\p{Ll}* \p{Ll}/u.test(text);

/** Where sentences may be English: exceptions that tell programmers what they did wrong, steps of the history, and t itself. */
function isForProgrammers(node: ts.Node): boolean {
  for (let at = node.parent; at && !ts.isSourceFile(at); at = at.parent) {
    if (isCallOf(at, "t") || isCallOf(at, ...STEP_TAKERS)) return true;
    if (ts.isNewExpression(at) && /^(Range|Type)?Error$/.test(at.expression.getText())) return true;
  }
  return false;
}

/** All that a person would read in English whatever their language. */
function bareTexts(source: ts.SourceFile): string[] {
  const bare = new Set<string>();
  eachNode(source, (node) => {
    for (const shown of shownIn(node)) if (isForPeople(words(shown))) bare.add(place(shown));
    if ((ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) && isSentence(words(node)) && !isForProgrammers(node)) bare.add(place(node));
  });
  return [...bare];
}

const callsAtLoad = (source: ts.SourceFile): ts.Node[] => {
  const found: ts.Node[] = [];
  const look = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) return;
    if (ts.isPropertyDeclaration(node) && !node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword)) return;
    if (ts.isCallExpression(node) && node.expression.getText() === "t") found.push(node);
    ts.forEachChild(node, look);
  };
  look(source);
  return found;
};

describe("The second language", () => {
  afterEach(() => speak({}));

  it("has a German text for all that the pages say", () => {
    expect([...said.keys()].filter((text) => !(text in GERMAN)).sort()).toEqual([]);
    expect(Object.entries(GERMAN).filter(([, german]) => !german.trim())).toEqual([]);
  });

  it("has no text that is said nowhere, and none twice", () => {
    expect(Object.keys(GERMAN).filter((text) => !said.has(text))).toEqual([]);
    const parts = [SHELL, PAGES, OBJECT, PICK, POSE].flatMap((part) => Object.keys(part));
    expect(parts.filter((text, i) => parts.indexOf(text) !== i)).toEqual([]);
  });

  it("fills the same values in as the English one", () => {
    const differing = Object.entries(GERMAN).filter(([english, german]) => placeholders(english).join() !== placeholders(german).join());
    expect(differing).toEqual([]);
  });

  it("is given every value that its texts name", () => {
    const lacking = [...said].filter(([text, { arguments: [, values] }]) => {
      const given = values && ts.isObjectLiteralExpression(values) ? values.properties.map((property) => property.name?.getText()) : [];
      return placeholders(text).some((name) => !given.includes(name));
    });
    expect(lacking.map(([, call]) => place(call))).toEqual([]);
  });

  it("finds each text, since it stands written out at the call", () => {
    expect(notWrittenOut).toEqual([]);
    expect(said.size).toBeGreaterThan(400);
  });

  it("speaks to people formally, as one does at work", () => {
    expect(Object.values(GERMAN).filter((text) => /\b([Dd]u|[Dd]ir|[Dd]ich|[Dd]eine?[rmns]?)\b/.test(text))).toEqual([]);
  });

  it("is there before anything is said: no module says something while it loads", () => {
    expect(files.flatMap(({ source }) => callsAtLoad(source)).map(place)).toEqual([]);
  });

  it("reaches everything that is shown: no label, title, message or sentence is written past it", () => {
    expect(files.filter(({ name }) => !(name in ENGLISH_FILES)).flatMap(({ source }) => bareTexts(source))).toEqual([]);
  });

  it("would notice a text that is written past it, or said too early", () => {
    const source = ts.createSourceFile("wrong.ts", `
      const TITLE = t("Too early");
      h("p", { class: "caption", text: isMine ? t("Mine") : "Somebody else's" });
      commands.add([{ id: "go", label: "Go there", keys: ["G"] }]);
      button.title = \`\${count} waiting\`;
      toast(root, "Nothing there.");
      h("div", { "aria-label": "Photos" }, h("span", {}, "photo"));
      const why = "This went wrong.";
      throw new RangeError("A programmer's mistake.");
    `, ts.ScriptTarget.Latest, true);
    expect(bareTexts(source).map((at) => at.split(" ")[0])).toEqual([3, 4, 5, 6, 7, 7, 8].map((line) => `wrong.ts:${line}`));
    expect(callsAtLoad(source).map(place)).toEqual(['wrong.ts:2 t("Too early")', 'wrong.ts:3 t("Mine")']);
  });

  it("is spoken once it is there, and English where a text is lacking", () => {
    speak(GERMAN);
    expect(t("Quiz {number} of {of}", { number: 2, of: 5 })).toBe("Quiz 2 von 5");
    expect(t("Not in any catalogue: {name}", { name: "x" })).toBe("Not in any catalogue: x");
    speak({});
    expect(t("Candidate {number} won. Rate it.", { number: 3 })).toBe("Candidate 3 won. Rate it.");
  });

  it("tells two meanings of one English word apart by a note that English does not show", () => {
    expect(t("Right || the side")).toBe("Right");
    speak(GERMAN);
    expect([t("Right || the side"), t("Right")]).toEqual(["Rechts", "Richtig"]);
  });
});

it("a text names the same keys in German, and only those of commands that there are", () => {
  const marked = Object.entries(GERMAN).filter(([english]) => english.includes("[["));
  expect(marked.length).toBeGreaterThan(8);
  const ids = (text: string) => [...text.matchAll(/\[\[([\w.-]+)\]\]/g)].map(([, id]) => id as string).sort();
  const sources = files.map(({ source }) => source.text).join("\n");
  for (const [english, german] of marked) {
    expect(ids(german), english).toEqual(ids(english));
    for (const id of ids(english)) expect(sources.includes(`"${id}"`) || sources.includes(`\`${id.split(".")[0]}.\${`), id).toBe(true);
  }
});
