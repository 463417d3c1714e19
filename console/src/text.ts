// Text that cannot lie: what is invisible becomes a mark, in addition to what the gateway has marked already.

import type { Segment } from "./api";

const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u00a0\u115f\u1160\u3164\uffa0]/u;

export function isHidden(letter: string): boolean {
  return letter !== "\n" && letter !== "\t" && HIDDEN.test(letter);
}

export function visible(segments: Segment[]): Segment[] {
  return segments.flatMap((segment) => (segment.mark ? [segment] : split(segment.text)));
}

function split(text: string): Segment[] {
  const found: Segment[] = [];
  let plain = "";
  for (const letter of text) {
    if (!isHidden(letter)) {
      plain += letter;
      continue;
    }
    if (plain) found.push({ text: plain });
    plain = "";
    found.push({ text: "", mark: `U+${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}` });
  }
  if (plain) found.push({ text: plain });
  return found;
}

export type Token = { kind: "keyword" | "string" | "comment" | "number" | "plain"; text: string };

const TOKENS =
  /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<string>'(?:[^']|'')*'?)|(?<number>\b\d+(?:\.\d+)?\b)|(?<keyword>\b(?:select|insert|into|values|update|set|delete|from|where|drop|truncate|alter|create|table|and|or|not|null|join|on|group|order|by|limit|returning|with|as|grant|revoke|copy|cascade|union|all)\b)/giu;

/** Colours only: a wrong guess here never hides a letter. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  for (const match of text.matchAll(TOKENS)) {
    if (match.index > at) found.push({ kind: "plain", text: text.slice(at, match.index) });
    const groups = match.groups ?? {};
    const kind = (Object.keys(groups).find((name) => groups[name] !== undefined) ?? "plain") as Token["kind"];
    found.push({ kind, text: match[0] });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "plain", text: text.slice(at) });
  return found;
}
