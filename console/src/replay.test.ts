import { expect, test } from "vitest";
import type { RecordedEvent } from "./api";
import { entriesOf, isMarked, merged } from "./replay";

const at = (t: number, type: string, fields: Record<string, unknown> = {}): RecordedEvent => ({ t, type, ...fields });

test("rows stand under the columns of their own command, and masked ones say by which rule", () => {
  const entries = entriesOf([
    at(0, "columns", { command_id: "a", names: ["ssn"], masked: ["no-ssn"] }),
    at(0, "columns", { command_id: "b", names: ["id"], masked: [""] }),
    at(1, "rows", { command_id: "a", values: [["***"], [null]] }),
  ]);
  expect(entries).toEqual([
    { t: 1, kind: "rows", label: "", text: "", rows: [["***"], [null]], names: ["ssn"], masked: ["no-ssn"] },
  ]);
});

test("an unknown type and missing fields are no trouble", () => {
  expect(entriesOf([at(0, "from the future"), at(1, "command"), at(2, "rows")])).toHaveLength(2);
});

test("what comes later is put behind what is held, once", () => {
  const held = [at(0, "session"), at(1, "command", { text: "one" }), at(1, "done")];
  const found = [at(1, "command", { text: "one" }), at(1, "done"), at(1, "ready"), at(2, "closed")];
  expect(merged(held, found).map((event) => event.type)).toEqual(["session", "command", "done", "ready", "closed"]);
  expect(merged([], held)).toBe(held);
});

test("what was held, denied or failed is marked", () => {
  const marked = [at(0, "held"), at(0, "error"), at(0, "decided", { state: "denied" })];
  expect(marked.every(isMarked)).toBe(true);
  expect(isMarked(at(0, "decided", { state: "approved" }))).toBe(false);
});
