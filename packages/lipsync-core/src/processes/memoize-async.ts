/** The same work for however many ask for it: `make` is called when the first one does, and its outcome is everybody's. */
export function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}
