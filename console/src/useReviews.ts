import { useEffect, useState } from "react";
import { type Review, listReviews } from "./api";

/** Every review, kept up by server-sent events; after a lost connection the list is fetched again. */
export function useReviews(): { reviews: Review[]; connected: boolean } {
  const [reviews, setReviews] = useState<Review[]>([]);
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    const source = new EventSource("/api/v1/events");
    source.onopen = () => {
      listReviews().then(
        (answer) => {
          setReviews(answer.reviews);
          setConnected(true);
        },
        () => setConnected(false),
      );
    };
    source.onerror = () => setConnected(false);
    source.addEventListener("review", (event: MessageEvent<string>) => {
      const moved = JSON.parse(event.data) as Review;
      setReviews((before) => [moved, ...before.filter((review) => review.id !== moved.id)]);
    });
    return () => source.close();
  }, []);
  return { reviews, connected };
}
