export interface MemoizeOptions {
  /** Whether a rejection is dropped, so that the next call runs `create` again; false by default. */
  readonly retryAfterFailure?: boolean;
}

/** Returns a function that calls `create` on its first call and returns the same promise to every caller. */
export function memoizeAsync<Value>(
  create: () => Promise<Value>,
  { retryAfterFailure = false }: MemoizeOptions = {},
): () => Promise<Value> {
  let created: Promise<Value> | undefined;
  return () => {
    if (created) return created;
    const current = create();
    created = current;
    if (retryAfterFailure)
      current.catch(() => {
        if (created === current) created = undefined;
      });
    return current;
  };
}
