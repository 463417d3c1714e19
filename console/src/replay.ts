// Events of a recording (docs/recordings.md) as entries to show. What is not known is passed over, and what is not there is empty.

import type { RecordedEvent } from "./api";

export interface Entry {
  t: number;
  kind: "note" | "command" | "good" | "warning" | "error" | "rows";
  label: string;
  text: string;
  review?: string;
  names?: string[];
  masked?: string[];
  rows?: (string | null)[][];
}

const words = (value: unknown): string => (typeof value === "string" ? value : value == null ? "" : String(value));
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const cells = (row: unknown): (string | null)[] => list(row).map((cell) => (cell === null ? null : words(cell)));

/** What a reader looks for on a timeline. */
export function isMarked(event: RecordedEvent): boolean {
  return event.type === "held" || event.type === "error" || (event.type === "decided" && event.state !== "approved");
}

/** New events behind those that are held; both begin again at the last time that is held, and events of one time keep their order. */
export function merged(held: RecordedEvent[], found: RecordedEvent[]): RecordedEvent[] {
  const last = held.at(-1)?.t;
  if (last === undefined) return found;
  const known = held.filter((event) => event.t === last).length;
  const again = found.filter((event) => event.t === last).slice(known);
  return [...held, ...again, ...found.filter((event) => event.t > last)];
}

/** Whether a text, in any case of its letters, is in what an entry shows. */
export function holds(entry: Entry, wanted: string): boolean {
  const shown = [entry.label, entry.text, entry.review ?? "", ...(entry.rows ?? []).flat().map((cell) => cell ?? "NULL")];
  return shown.some((text) => text.toLowerCase().includes(wanted.toLowerCase()));
}

export function entriesOf(events: RecordedEvent[]): Entry[] {
  const columns = new Map<string, { names: string[]; masked: string[] }>();
  return events.flatMap((event) => {
    const command = words(event.command_id);
    if (event.type === "columns") {
      columns.set(command, { names: list(event.names).map(words), masked: list(event.masked).map(words) });
      return [];
    }
    if (event.type !== "rows") return entry(event);
    const found = columns.get(command);
    const text = event.withheld ? "rows that are not kept: this client saw what is masked for others" : event.more ? "and more" : "";
    const rows = list(event.values).map(cells);
    return [{ t: event.t, kind: "rows" as const, label: "", text, rows, ...(found ?? {}) }];
  });
}

function entry(event: RecordedEvent): Entry[] {
  const one = (kind: Entry["kind"], label: string, text: string, review = ""): Entry[] => [
    { t: event.t, kind, label, text, ...(review ? { review } : {}) },
  ];
  const review = words(event.review_id);
  switch (event.type) {
    case "session":
      return one("note", "session of", `${words(event.identity)} on ${words(event.target)}, database ${words(event.database)}`);
    case "command": {
      const values = list(event.parameters).map((value, at) => `$${at + 1} = ${words(value)}`);
      return one("command", "", [words(event.text), ...values].join("\n"));
    }
    case "verdict":
      return event.action === "allow" ? [] : one("warning", "verdict", `${words(event.action)} by rule ${words(event.rule)}`);
    case "held":
      return one("warning", "held for review", "", review);
    case "decision":
      return one("warning", `${words(event.decision)} by`, `${words(event.reviewer)} ${words(event.reason)}`);
    case "decided":
      return one(event.state === "approved" ? "good" : "error", words(event.state), words(event.reason), review);
    case "error":
    case "notice": {
      const more = [words(event.detail), words(event.hint)].filter(Boolean);
      const kind = event.type === "error" ? "error" : "note";
      return one(kind, `${words(event.severity)} ${words(event.code)}`, [words(event.message), ...more].join("\n"));
    }
    case "done":
      return one("good", "", `${words(event.tag)} (${words(event.rows)} rows)`);
    case "closed":
      return one("note", "closed", words(event.reason));
    default:
      return [];
  }
}
