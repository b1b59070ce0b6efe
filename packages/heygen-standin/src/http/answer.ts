/** An answer before it is sent, so that it can be kept for a repeat, spoilt by a fault, or thrown away. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function jsonAnswer(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

/** The envelope of one object. */
export function dataAnswer(data: unknown): Answer {
  return jsonAnswer(200, { data });
}

/** The envelope of a list. */
export function listAnswer(data: readonly unknown[], nextToken: string | null = null): Answer {
  return jsonAnswer(200, { data, has_more: nextToken !== null, next_token: nextToken });
}
