import { useEffect, useRef, useState } from "react";
import { BlastRadius } from "./BlastRadius";
import { type Review, decide, getReview } from "./api";
import { Chips, Countdown, Shown } from "./parts";

/** One review in full. What is decided on is the digest that stands on this page. */
export function ReviewPage({ id, known }: { id: string; known: Review | undefined }) {
  const [full, setFull] = useState<Review | null>(null);
  const [problem, setProblem] = useState("");
  const moved = known?.updated_at;
  useEffect(() => {
    getReview(id).then(setFull, (error: Error) => setProblem(error.message));
  }, [id, moved]);
  if (!full) return <main>{problem && <p className="problem">{problem}</p>}</main>;
  return (
    <main>
      <a href="#/">← all reviews</a>
      <h1>
        {full.identity} → {full.target} <span data-testid="review-state">{full.state}</span>
      </h1>
      {full.outcome && <p className="faint">{full.outcome}</p>}
      {full.spoofing.map((warning) => (
        <p key={warning} className="warning" role="alert">
          The command {warning}.
        </p>
      ))}
      <Command review={full} onDecided={setFull} />
      {full.state === "pending" && <BlastRadius review={full} />}
      <Facts review={full} />
    </main>
  );
}

function Command({ review, onDecided }: { review: Review; onDecided: (review: Review) => void }) {
  const box = useRef<HTMLPreElement>(null);
  const [read, setRead] = useState(false);
  const look = () => {
    const shown = box.current;
    if (shown && shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 4) setRead(true);
  };
  useEffect(look, [review.id]);
  const { statements, parameters, text, text_shown, effects } = review.command;
  return (
    <section>
      <Chips effects={effects} />
      <ul className="reading">
        {statements.map((statement, index) => (
          <li key={index}>
            <strong>{statement.kind}</strong> {statement.summary}
            {statement.reasons.length > 0 && <span className="faint"> — {statement.reasons.join("; ")}</span>}
          </li>
        ))}
      </ul>
      <pre ref={box} onScroll={look} tabIndex={0} data-testid="command-text" aria-label="the exact command">
        <Shown segments={text_shown} />
      </pre>
      <p className="faint">
        {text.length.toLocaleString("en")} characters, {text.split("\n").length} lines
        {read ? "" : ": scroll to the end to approve"}
      </p>
      {parameters.length > 0 && (
        <table>
          <tbody>
            {parameters.map((parameter, index) => (
              <tr key={index}>
                <th>${index + 1}</th>
                <td>
                  <code>{parameter.is_null ? "NULL" : <Shown segments={[{ text: parameter.shown }]} />}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {review.state === "pending" && <Decide review={review} read={read} onDecided={onDecided} />}
    </section>
  );
}

function Decide({ review, read, onDecided }: { review: Review; read: boolean; onDecided: (review: Review) => void }) {
  const [asking, setAsking] = useState<"" | "approve" | "deny">("");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const send = (kind: "approve" | "deny") => {
    setBusy(true);
    decide(review, kind, reason)
      .then(onDecided, (error: Error) => setProblem(error.message))
      .finally(() => setBusy(false));
  };
  return (
    <div className="decide">
      {asking === "" && (
        <>
          <button className="approve" data-testid="approve" disabled={!read} onClick={() => setAsking("approve")}>
            Approve
          </button>
          <button className="deny" data-testid="deny" onClick={() => setAsking("deny")}>
            Deny
          </button>
        </>
      )}
      {asking === "approve" && (
        <>
          <p>
            Run exactly this command, once: <strong>{review.command.statements.map((one) => one.summary).join("; ")}</strong>?
          </p>
          <button className="approve" data-testid="approve-confirm" disabled={busy} onClick={() => send("approve")}>
            Yes, run it
          </button>
          <button onClick={() => setAsking("")}>Back</button>
        </>
      )}
      {asking === "deny" && (
        <>
          <label>
            Reason, which the agent reads
            <textarea data-testid="deny-reason" autoFocus value={reason} onChange={(event) => setReason(event.target.value)} />
          </label>
          <button className="deny" data-testid="deny-confirm" disabled={busy || !reason.trim()} onClick={() => send("deny")}>
            Deny
          </button>
          <button onClick={() => setAsking("")}>Back</button>
        </>
      )}
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

function Facts({ review }: { review: Review }) {
  const approvals = review.decisions.filter((decision) => decision.kind === "approve").length;
  const named = [...review.terms.reviewer_groups, ...review.terms.reviewer_names];
  return (
    <section>
      <dl>
        <dt>Asked by</dt>
        <dd>
          {review.identity}
          {review.on_behalf_of && ` on behalf of ${review.on_behalf_of}`}, from {review.client_address}
          {review.application && (
            <>
              {" "}
              (calls itself <Shown segments={[{ text: review.application }]} />)
            </>
          )}
        </dd>
        <dt>Target</dt>
        <dd>
          {review.target}, database {review.database}
        </dd>
        <dt>Rule</dt>
        <dd>{review.rule}</dd>
        <dt>Approvals</dt>
        <dd>
          {approvals} of {review.terms.approvals}
          {named.length > 0 && `, by ${named.join(", ")}`}
        </dd>
        {review.state === "pending" && (
          <>
            <dt>Expires in</dt>
            <dd>
              <Countdown until={review.expires_at} />
            </dd>
          </>
        )}
        <dt>Digest</dt>
        <dd>
          <code className="digest">{review.digest}</code>
        </dd>
      </dl>
      {review.decisions.map((decision) => (
        <p key={decision.reviewer}>
          {decision.reviewer}: {decision.kind} {decision.reason && `— ${decision.reason}`}
        </p>
      ))}
      {review.recent.length > 0 && (
        <>
          <h2>What {review.identity} did just before</h2>
          <ul className="recent">
            {review.recent.map((command, index) => (
              <li key={index}>
                <span className="faint">{command.verdict}</span>{" "}
                <code>
                  <Shown segments={[{ text: command.text }]} />
                </code>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
