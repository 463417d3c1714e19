import { useEffect, useState } from "react";
import { type Grant, type GrantRange, type GrantWish, type Shape, listGrants, revokeGrant } from "./api";
import { Countdown, Shown } from "./parts";

/** Approvals that hold for more than one command, and the end of them. */
export function Grants() {
  const [grants, setGrants] = useState<Grant[] | null>(null);
  const [problem, setProblem] = useState("");
  const told = (error: Error) => setProblem(error.message);
  useEffect(() => {
    listGrants().then((found) => setGrants(found.grants), told);
  }, []);
  const revoke = (grant: Grant) =>
    revokeGrant(grant.id).then(() => setGrants((before) => (before ?? []).filter((one) => one.id !== grant.id)), told);
  return (
    <main>
      {problem && <p className="problem">{problem}</p>}
      {grants?.length === 0 && <p className="empty">Nothing is granted.</p>}
      {grants?.map((grant) => (
        <section key={grant.id} data-testid={`grant-${grant.id}`}>
          <p>
            <strong>{grant.identity}</strong> → <strong>{grant.target}</strong> ({grant.database}), used {grant.used} of {grant.uses},{" "}
            <Countdown until={grant.expires_at} /> left
          </p>
          <pre>
            <Shown segments={grant.shape_shown} />
          </pre>
          <ol>
            {grant.ranges.map((range, index) => (
              <li key={index}>{inWords(range)}</li>
            ))}
          </ol>
          <p className="faint">
            by {grant.granted_by} in <a href={`#/reviews/${grant.review_id}`}>{grant.review_id}</a> {grant.reason}
          </p>
          <button className="deny" onClick={() => void revoke(grant)}>
            Revoke
          </button>
        </section>
      ))}
    </main>
  );
}

function inWords(range: GrantRange): string {
  if (range.any) return "anything";
  if (range.values) return range.values.map(([kind, value]) => (kind === "number" || kind === "text" ? value : kind)).join(" or ");
  return `a whole number from ${range.from} to ${range.to}`;
}

/** What an approval is to grant beyond its command; `onChange` hears null where it is nothing. */
export function GrantFields({ shape, onChange }: { shape: Shape; onChange: (wish: GrantWish | null) => void }) {
  const [on, setOn] = useState(false);
  const [minutes, setMinutes] = useState(30);
  const [uses, setUses] = useState(10);
  const [literals, setLiterals] = useState<Record<number, string>>({});
  useEffect(() => {
    onChange(on ? { seconds: minutes * 60, uses, literals } : null);
  }, [on, minutes, uses, literals, onChange]);
  return (
    <fieldset>
      <label>
        <input type="checkbox" data-testid="grant" checked={on} onChange={(event) => setOn(event.target.checked)} /> also let others of this
        shape through, without asking again
      </label>
      {on && (
        <>
          <pre>
            <Shown segments={shape.text_shown} />
          </pre>
          <label>
            for minutes{" "}
            <input
              type="number"
              min={1}
              max={10080}
              data-testid="grant-minutes"
              value={minutes}
              onChange={(event) => setMinutes(Number(event.target.value))}
            />
          </label>
          <label>
            at most{" "}
            <input
              type="number"
              min={1}
              max={10000}
              data-testid="grant-uses"
              value={uses}
              onChange={(event) => setUses(Number(event.target.value))}
            />{" "}
            times
          </label>
          {shape.literals.map(([, value], index) => (
            <label key={index}>
              ⟨{index + 1}⟩ is{" "}
              <input
                data-testid={`grant-literal-${index + 1}`}
                placeholder={`as here: ${value}`}
                value={literals[index + 1] ?? ""}
                onChange={(event) => setLiterals((before) => withValue(before, index + 1, event.target.value))}
              />
            </label>
          ))}
          <p className="faint">Leave a value empty to keep it as it is; or any, a range such as 1..100, or a list such as open|closed.</p>
        </>
      )}
    </fieldset>
  );
}

function withValue(before: Record<number, string>, number: number, value: string): Record<number, string> {
  const after = { ...before, [number]: value };
  return Object.fromEntries(Object.entries(after).filter(([, one]) => one !== ""));
}
