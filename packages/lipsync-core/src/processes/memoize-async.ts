export interface MemoizeOptions {
  /** Whether a rejection is dropped, so that the next call runs `create` again; false by default. */
  readonly retryAfterFailure?: boolean;
  /** Time after which a result is dropped; unlimited by default. */
  readonly lifetimeMs?: number;
}

/**
 * Returns a function that returns the promise of one call of `create` to every caller. It calls `create` again after
 * the result was dropped.
 */
export function memoizeAsync<Value>(
  create: () => Promise<Value>,
  { retryAfterFailure = false, lifetimeMs }: MemoizeOptions = {},
): () => Promise<Value> {
  let created: Promise<Value> | undefined;
  return () => {
    if (created) return created;
    const current = create();
    created = current;
    const drop = (): void => {
      if (created === current) created = undefined;
    };
    current.then(
      () => lifetimeMs !== undefined && setTimeout(drop, lifetimeMs).unref(),
      () => retryAfterFailure && drop(),
    );
    return current;
  };
}
