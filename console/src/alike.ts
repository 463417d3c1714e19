import type { Review } from "./api";

type Asked = Pick<Review, "id" | "identity" | "on_behalf_of" | "target" | "rule" | "state" | "shape"> & {
  command: Pick<Review["command"], "text">;
};

/** Reviews of one state in groups: the same asks the same of the same target by the same rule, but for the literals where they are told apart.
 * Groups and what is in them stay in the order that was given. */
export function alike<T extends Asked>(reviews: T[]): [T, ...T[]][] {
  const groups = new Map<string, [T, ...T[]]>();
  for (const review of reviews) {
    const what = review.shape?.text ?? review.command.text;
    const key = JSON.stringify([review.state, review.identity, review.on_behalf_of, review.target, review.rule, what]);
    const group = groups.get(key);
    if (group) group.push(review);
    else groups.set(key, [review]);
  }
  return [...groups.values()];
}
