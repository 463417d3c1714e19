import { useEffect, useRef, useState } from "react";
import { BlastRadius } from "./BlastRadius";
import { type DecisionKind, type GrantWish, type Review, type Step, decide, getReview } from "./api";
import { GrantFields } from "./Grants";
import { Chips, Countdown, Shown } from "./parts";

/** One review in full. What is decided on is the digest that stands on this page. */
export function ReviewPage({ id, known }: { id: string; known: Review | undefined }) {
  const [full, setFull] = useState<Review | null>(null);
  const [problem, setProblem] = useState("");
  const [counted, setCounted] = useState<number | null>(null);
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
      {full.command.not_bound.length > 0 && (
        <div className="warning" data-testid="not-bound">
          Content not bound: no approval covers these, which may be something else by the time the command runs.
          <ul>
            {full.command.not_bound.map((part) => (
              <li key={part}>
                <Shown segments={[{ text: part }]} />
              </li>
            ))}
          </ul>
        </div>
      )}
      <Command review={full} counted={counted} onDecided={setFull} />
      {full.state === "pending" && <BlastRadius review={full} onCounted={setCounted} />}
      <Facts review={full} />
    </main>
  );
}

interface Deciding {
  review: Review;
  /** The rows that a dry run counted. */
  counted: number | null;
  onDecided: (review: Review) => void;
}

function Command({ review, counted, onDecided }: Deciding) {
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
      {(review.state === "pending" || review.state === "approved") && <Decide review={review} read={read} counted={counted} onDecided={onDecided} />}
    </section>
  );
}

const QUESTIONS: Record<DecisionKind, { label: string; reason: string; confirm: string; style: string }> = {
  approve: { label: "Approve", reason: "", confirm: "Yes, run it", style: "approve" },
  deny: { label: "Deny", reason: "Reason, which the agent reads", confirm: "Deny", style: "deny" },
  "take-back": { label: "Take back my approval", reason: "", confirm: "Take it back", style: "deny" },
  force: { label: "Break the glass", reason: "Reason, which others will ask for", confirm: "Run it past all steps", style: "deny" },
};

function Decide({ review, read, counted, onDecided }: Deciding & { read: boolean }) {
  const [asking, setAsking] = useState<DecisionKind | "">("");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const may = (review.may ?? []).map((kind) => kind.replace("_", "-") as DecisionKind);
  const [wish, setWish] = useState<GrantWish | null>(null);
  const [bound, setBound] = useState("");
  const [proposal, setProposal] = useState("");
  const terms = wish ? { grant: wish } : bound !== "" ? { at_most_rows: Number(bound) } : {};
  const send = (kind: DecisionKind) => {
    setBusy(true);
    decide(review, kind, reason, kind === "approve" ? terms : kind === "deny" && proposal.trim() ? { proposal } : {})
      .then(() => getReview(review.id))
      .then(
        (after) => {
          setAsking("");
          onDecided(after);
        },
        (error: Error) => setProblem(error.message),
      )
      .finally(() => setBusy(false));
  };
  const question = asking && QUESTIONS[asking];
  return (
    <div className="decide">
      {asking === "" &&
        may.map((kind) => (
          <button
            key={kind}
            className={QUESTIONS[kind].style}
            data-testid={kind}
            disabled={!read && (kind === "approve" || kind === "force")}
            onClick={() => setAsking(kind)}
          >
            {QUESTIONS[kind].label}
          </button>
        ))}
      {asking === "" && may.length === 0 && review.state === "pending" && <p className="faint">Others decide this.</p>}
      {(asking === "approve" || asking === "force") && (
        <p>
          Run exactly this command, once: <strong>{review.command.statements.map((one) => one.summary).join("; ")}</strong>?
        </p>
      )}
      {asking === "approve" && !review.bound_problem && !wish && (
        <label>
          and undo it where it changes more rows than{" "}
          <input
            type="number"
            min={0}
            data-testid="at-most-rows"
            placeholder={counted === null ? "any number" : `${counted}, as counted`}
            value={bound}
            onChange={(event) => setBound(event.target.value)}
          />
          {counted !== null && bound === "" && <button onClick={() => setBound(String(counted))}>as counted</button>}
        </label>
      )}
      {asking === "approve" && review.shape && review.steps.length === 1 && review.steps[0]?.approvals === 1 && (
        <GrantFields shape={review.shape} onChange={setWish} />
      )}
      {question && (
        <>
          {question.reason && (
            <label>
              {question.reason}
              <textarea
                data-testid={`${asking}-reason`}
                autoFocus
                value={reason}
                onChange={(event) => setReason(event.target.value)}
              />
            </label>
          )}
          {asking === "deny" && (
            <label>
              What passes once instead, if anything
              <textarea data-testid="proposal" value={proposal} onChange={(event) => setProposal(event.target.value)} />
            </label>
          )}
          <button
            className={question.style}
            data-testid={`${asking}-confirm`}
            disabled={busy || (question.reason !== "" && !reason.trim())}
            onClick={() => send(asking)}
          >
            {question.confirm}
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

function Steps({ steps }: { steps: Step[] }) {
  return (
    <ol className="steps" data-testid="steps">
      {steps.map((step, index) => (
        <li key={index}>
          {step.is_done ? "✓ " : ""}
          {step.approved_by.length} of {step.approvals}, by {step.reviewers.join(" or ") || "any administrator or reviewer"}
          {step.approved_by.length > 0 && <>: {step.approved_by.join(", ")}</>}
          {step.escalates_at && (
            <span className="faint">
              {" "}
              — in <Countdown until={step.escalates_at} /> also {step.escalate_to.join(" or ")}
            </span>
          )}
        </li>
      ))}
    </ol>
  );
}

function Facts({ review }: { review: Review }) {
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
        {Object.entries(review.claims).map(([name, value]) => (
          <Claim key={name} name={name} value={value} />
        ))}
        <dt>Rule</dt>
        <dd>{review.rule}</dd>
        <dt>Approvals</dt>
        <dd>
          <Steps steps={review.steps} />
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
      {review.decisions.map((decision, index) => (
        <p key={index}>
          {decision.reviewer}: {decision.kind.replace("_", " ")} {decision.reason && `— ${decision.reason}`}
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

/** What the issuer of a token says of who asks. */
function Claim({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>Claim {name}</dt>
      <dd>
        <Shown segments={[{ text: value }]} />
      </dd>
    </>
  );
}
