import { useEffect, useState } from "react";
import type { Segment } from "./api";
import { tokens, visible } from "./text";

export function Chips({ effects }: { effects: string[] }) {
  return (
    <span className="chips">
      {effects.map((effect) => (
        <span key={effect} className={`chip ${effect}`}>
          {effect}
        </span>
      ))}
    </span>
  );
}

export function Shown({ segments }: { segments: Segment[] }) {
  return (
    <bdi>
      {visible(segments).map((segment, index) =>
        segment.mark ? (
          <mark key={index}>{segment.mark}</mark>
        ) : (
          tokens(segment.text).map((token, at) => (
            <span key={`${index}-${at}`} className={token.kind}>
              {token.text}
            </span>
          ))
        ),
      )}
    </bdi>
  );
}

export function Countdown({ until }: { until: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.round((Date.parse(until) - now) / 1000));
  return (
    <time dateTime={until}>
      {Math.floor(left / 60)}:{String(left % 60).padStart(2, "0")}
    </time>
  );
}
