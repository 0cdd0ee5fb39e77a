/** Keys, commands, history and the queue. */
import { describe, expect, it } from "vitest";
import { Commands } from "../src/core/commands";
import { History } from "../src/core/history";
import { ariaKeys, keyLabel, strokeName } from "../src/core/keys";
import { Queue } from "../src/core/queue";

const stroke = (key: string, code: string, held: Partial<Record<"shiftKey" | "ctrlKey" | "altKey" | "metaKey", boolean>> = {}) => ({
  key, code, shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, ...held,
});

describe("keys", () => {
  it("names digits by their place, so that Shift+1 is Shift+1 on every layout", () => {
    expect(strokeName(stroke("!", "Digit1", { shiftKey: true }))).toBe("Shift+1");
    expect(strokeName(stroke("5", "Numpad5"))).toBe("5");
  });

  it("names letters by what they type, and by place where no Latin letter is typed", () => {
    expect(strokeName(stroke("z", "KeyY", { ctrlKey: true }))).toBe("Ctrl+Z");
    expect(strokeName(stroke("я", "KeyZ"))).toBe("Z");
  });

  it("does not count the Shift that a symbol needs, and takes = for + ", () => {
    expect(strokeName(stroke("?", "Slash", { shiftKey: true }))).toBe("?");
    expect(strokeName(stroke("=", "Equal"))).toBe("+");
  });

  it("writes keys for people and for assistive technology", () => {
    expect(keyLabel("Shift+ArrowLeft")).toBe("Shift+Left");
    expect(keyLabel("+")).toBe("+");
    expect(ariaKeys(["Ctrl+Z", "U"])).toBe("Control+Z U");
  });
});

describe("commands", () => {
  const log: string[] = [];
  const command = (id: string, key: string, scope: string) => ({ id, label: id, keys: [key], scope, run: () => log.push(id) });

  it("a text names the keys that reach its commands now, also a person's own", () => {
    const commands = new Commands({ rating: "shell" });
    commands.add([{ ...command("none", "E", "shell"), keys: ["E", "Shift+E"] }, command("three", "E", "rating")]);
    commands.enter("shell");
    expect(commands.withKeys("[[none]]: none")).toBe("E: none");
    commands.enter("rating");
    expect(commands.withKeys("[[none]]: none, [[three]]")).toBe("Shift+E: none, E");
    commands.useKeys({ none: ["F4"] });
    expect(commands.withKeys("[[none]], [[nothing.such]]")).toBe("F4, (no key)");
  });

  it("lets the scope entered last answer first", () => {
    const commands = new Commands();
    commands.add([command("pick-1", "1", "pick"), command("rate-1", "1", "rating")]);
    commands.enter("pick");
    expect(commands.find("1")?.id).toBe("pick-1");
    commands.enter("rating");
    expect(commands.find("1")?.id).toBe("rate-1");
    commands.leave("rating");
    expect(commands.find("1")?.id).toBe("pick-1");
  });

  it("refuses two commands on one key of one scope", () => {
    const commands = new Commands();
    expect(() => commands.add([command("a", "1", "pick"), command("b", "1", "pick")])).toThrow("a and b");
  });

  it("releases a held key once, also when the window loses the keyboard", () => {
    const commands = new Commands();
    let bare = 0;
    commands.add([{ id: "bare", label: "", keys: ["V"], scope: "x", run: () => { bare += 1; }, release: () => { bare -= 1; } }]);
    commands.enter("x");
    commands.keyDown(stroke("v", "KeyV"));
    commands.keyDown({ ...stroke("v", "KeyV"), repeat: true });
    expect(bare).toBe(1);
    commands.releaseAll();
    commands.keyUp({ code: "KeyV" });
    expect(bare).toBe(0);
  });

  it("does not run a disabled command but still owns its key", () => {
    const commands = new Commands();
    commands.add([{ ...command("never", "Enter", "x"), enabled: () => false }]);
    commands.enter("x");
    expect(commands.keyDown(stroke("Enter", "Enter"))).toBe(true);
    expect(log).not.toContain("never");
  });

  it("gives a command the person's own key, for its buttons too, and the usual one again", () => {
    const commands = new Commands();
    commands.add([command("brush", "D", "object"), command("box", "B", "object")]);
    commands.enter("object");
    commands.useKeys({ brush: ["Shift+D"], unknown: ["Q"] });
    expect(commands.find("Shift+D")?.id).toBe("brush");
    expect(commands.find("D")).toBeUndefined();
    expect(commands.get("brush")?.keys).toEqual(["Shift+D"]);
    commands.add([{ ...command("late", "L", "object") }]);
    commands.useKeys({});
    expect(commands.find("D")?.id).toBe("brush");
  });

  it("gives a key of one's own also to a command that comes later", () => {
    const commands = new Commands();
    commands.useKeys({ late: ["Ctrl+L"] });
    commands.add([command("late", "L", "x")]);
    commands.enter("x");
    expect(commands.find("Ctrl+L")?.id).toBe("late");
  });

  it("says whose key it is before it gives it away, also across scopes that can be entered together", () => {
    const commands = new Commands({ grid: "pick", rating: "pick" });
    commands.add([command("submit", "Enter", "shell"), command("mesh", "M", "pick"), command("pick-1", "1", "grid"), command("rate-1", "1", "rating"), command("move", "W", "pose")]);
    expect(commands.inTheWay("pick-1", "M")?.id).toBe("mesh");
    expect(commands.inTheWay("mesh", "1")?.id).toBe("pick-1");
    expect(commands.inTheWay("rate-1", "Enter")?.id).toBe("submit");
    expect(commands.inTheWay("submit", "W")?.id).toBe("move");
    expect(commands.inTheWay("mesh", "M")).toBeUndefined();
    expect(commands.inTheWay("pick-1", "W")).toBeUndefined();
    expect(commands.inTheWay("mesh", "W")).toBeUndefined();
  });

  it("switches single-character keys off on request and keeps the others", () => {
    const commands = new Commands();
    commands.add([command("single", "B", "x"), command("chord", "Ctrl+Z", "x")]);
    commands.enter("x");
    commands.singleKeys = false;
    expect(commands.find("B")).toBeUndefined();
    expect(commands.find("Ctrl+Z")?.id).toBe("chord");
  });
});

describe("history", () => {
  it("undoes and redoes in order, and forgets what was undone after a new edit", () => {
    const history = new History(() => 0);
    let value = 0;
    const set = (to: number) => {
      const from = value;
      value = to;
      history.push({ label: `${to}`, undo: () => { value = from; }, redo: () => { value = to; } });
    };
    set(1); set(2);
    history.undo();
    expect(value).toBe(1);
    history.redo();
    expect(value).toBe(2);
    history.undo();
    set(5);
    expect(history.redo()).toBeUndefined();
    history.undo(); history.undo();
    expect(value).toBe(0);
  });

  it("makes quick nudges of one kind one step and slow ones two", () => {
    let now = 0, value = 0;
    const history = new History(() => now);
    const bump = () => {
      const from = value, to = value + 1;
      value = to;
      history.push({ label: "nudge", mergeKey: "x", undo: () => { value = from; }, redo: () => { value = to; } });
    };
    bump(); now = 100; bump(); now = 5000; bump();
    history.undo();
    expect(value).toBe(2);
    history.undo();
    expect(value).toBe(0);
    history.redo();
    expect(value).toBe(2);
  });
});

it("the queue starts work in order and goes on after a failure", async () => {
  const queue = new Queue();
  const seen: number[] = [];
  const failing = queue.add(async () => { seen.push(1); throw new Error("no"); });
  const after = queue.add(async () => seen.push(2));
  await expect(failing).rejects.toThrow("no");
  await after;
  expect(seen).toEqual([1, 2]);
});
