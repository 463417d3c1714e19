import { useState } from "react";
import { alike } from "./alike";
import type { Review } from "./api";
import { Chips, Countdown, Shown } from "./parts";

export function Inbox({ reviews }: { reviews: Review[] }) {
  const [decided, setDecided] = useState(false);
  const listed = reviews
    .filter((review) => (review.state === "pending") !== decided)
    .sort((one, other) => other.created_at.localeCompare(one.created_at));
  return (
    <main>
      <nav>
        <button aria-pressed={!decided} onClick={() => setDecided(false)}>
          Pending
        </button>
        <button aria-pressed={decided} onClick={() => setDecided(true)}>
          Decided
        </button>
      </nav>
      {listed.length === 0 && <p className="empty">{decided ? "Nothing was decided yet." : "Nothing waits for you."}</p>}
      <ul className="inbox">
        {alike(listed).map(([first, ...others]) => (
          <li key={first.id}>
            <Row review={first} />
            {others.length > 0 && (
              <details className="alike" data-testid={`alike-${first.id}`}>
                <summary>and {others.length} alike, each to be decided by itself</summary>
                <ul className="inbox">
                  {others.map((review) => (
                    <li key={review.id}>
                      <Row review={review} />
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </li>
        ))}
      </ul>
    </main>
  );
}

function Row({ review }: { review: Review }) {
  return (
    <a href={`#/reviews/${review.id}`} data-testid={`review-row-${review.id}`}>
      <span className="line">
        <strong>{review.identity}</strong> → <strong>{review.target}</strong>
        <Chips effects={review.command.effects} />
        <span className="when">{review.state === "pending" ? <Countdown until={review.expires_at} /> : review.state}</span>
      </span>
      <span className="faint">{review.command.statements.map((statement) => statement.summary).join("; ")}</span>
      <code className="preview">
        <Shown segments={review.command.text_shown} />
      </code>
    </a>
  );
}
