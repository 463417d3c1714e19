import { expect, test } from "vitest";
import { alike } from "./alike";

const review = (id: string, text: string, more: object = {}) => ({
  id,
  identity: "crew",
  on_behalf_of: "",
  target: "shop",
  rule: "writes",
  state: "pending",
  shape: null,
  command: { text },
  ...more,
});

const shape = { shape: { text: "DELETE FROM t WHERE id = $1" } };

test("the same shape of the same identity is one group, in the order in which it came", () => {
  const found = alike([
    review("a", "DELETE FROM t WHERE id = 1", shape),
    review("b", "DROP TABLE t"),
    review("c", "DELETE FROM t WHERE id = 2", shape),
  ] as never[]) as unknown as { id: string }[][];
  expect(found.map((group) => group.map((one) => one.id))).toEqual([["a", "c"], ["b"]]);
});

test.each([{ identity: "other" }, { on_behalf_of: "ann" }, { target: "books" }, { rule: "deletes" }, { state: "denied" }])(
  "what differs in %o is not alike",
  (more) => {
    expect(alike([review("a", "x", shape), review("b", "x", { ...shape, ...more })] as never[])).toHaveLength(2);
  },
);

test("without a shape the whole text counts", () => {
  expect(alike([review("a", "DROP TABLE t"), review("b", "DROP TABLE u")] as never[])).toHaveLength(2);
});
