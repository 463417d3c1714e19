import { useEffect, useState } from "react";
import { type Reach, type Review, type Sample, dryRun, getEstimate } from "./api";
import { Shown } from "./parts";

/** What the held command would touch: the target's estimate, and on request the count of a run that is rolled back. `onCounted` hears the
 * rows of one that was counted exactly. */
export function BlastRadius({ review, onCounted }: { review: Review; onCounted: (rows: number) => void }) {
  const [reach, setReach] = useState<Reach | null>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let shown = true;
    getEstimate(review.id).then(
      (found) => shown && setReach(found),
      (error: Error) => shown && setProblem(error.message),
    );
    return () => {
      shown = false;
    };
  }, [review.id]);
  const run = () => {
    setBusy(true);
    setProblem("");
    dryRun(review)
      .then(
        (found) => {
          setReach(found);
          onCounted(found.statements.reduce((rows, one) => rows + one.rows, 0));
        },
        (error: Error) => setProblem(error.message),
      )
      .finally(() => setBusy(false));
  };
  return (
    <section data-testid="blast-radius">
      <h2>What it would touch</h2>
      {reach === null && !problem && <p className="faint">asking the target…</p>}
      {problem && (
        <p className="faint" role="status">
          Not known: {problem}
        </p>
      )}
      {reach?.statements.map((statement, index) => (
        <div key={index}>
          <p>
            {statement.kind}: {reach.is_exact ? "exactly" : "about"}{" "}
            <strong data-testid="reach-rows">{statement.rows.toLocaleString("en")}</strong> {statement.rows === 1 ? "row" : "rows"}
          </p>
          {statement.touched.length > 0 && (
            <ul className="faint">
              {statement.touched.map((one, at) => (
                <li key={at}>
                  {one.how} on <Shown segments={[{ text: one.relation }]} />, {one.rows.toLocaleString("en")} rows
                </li>
              ))}
            </ul>
          )}
          {statement.sample && <Rows sample={statement.sample} />}
        </div>
      ))}
      {reach?.notes.map((note) => (
        <p key={note} className="faint">
          {note}
        </p>
      ))}
      {reach !== null && !reach.is_exact && (
        <button data-testid="dry-run" disabled={busy} onClick={run}>
          {busy ? "running…" : "Count exactly: run it and roll it back"}
        </button>
      )}
    </section>
  );
}

/** Some of the rows: each line says what stands there before or after; a row that is changed has two. */
function Rows({ sample }: { sample: Sample }) {
  const lines = sample.rows.flatMap(({ before, after }, index) => [
    ...(before ? [{ index, when: "before", values: before, other: after }] : []),
    ...(after ? [{ index, when: "after", values: after, other: before }] : []),
  ]);
  return (
    <div className="scrolls">
      <table data-testid="sample">
        <thead>
          <tr>
            <th></th>
            {sample.columns.map((column, at) => (
              <th key={at} className={sample.masked[at] ? "masked" : ""} title={sample.masked[at] ? "masked" : ""}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map(({ index, when, values, other }) => (
            <tr key={`${index} ${when}`}>
              <th className="faint">{when}</th>
              {values.map((value, at) => (
                <td key={at}>
                  {other && other[at] !== value ? <strong>{value ?? "NULL"}</strong> : value === null ? <em>NULL</em> : value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
