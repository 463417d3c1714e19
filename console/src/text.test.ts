import { expect, test } from "vitest";
import { tokens, visible } from "./text";

test("bidi, zero-width and control characters become marks", () => {
  const shown = visible([{ text: "drop\u202etable\u200b\u001b[2J" }]);
  expect(shown.filter((part) => part.mark).map((part) => part.mark)).toEqual(["U+202E", "U+200B", "U+001B"]);
});

test("line breaks and tabs stay what they are", () => {
  expect(visible([{ text: "a\n\tb" }])).toEqual([{ text: "a\n\tb" }]);
});

test("colouring loses no letter", () => {
  const sql = "DELETE FROM orders -- approved\nWHERE id = 12 AND name = 'it''s' /* x";
  expect(
    tokens(sql)
      .map((token) => token.text)
      .join(""),
  ).toBe(sql);
});
