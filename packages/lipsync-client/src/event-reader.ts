import { invalidResponse } from './transport.ts';
import { readChunks } from './waits.ts';

/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

const maxEventLength = 8 * 1_048_576;

/** Yields the events of a stream, without comments. Throws when the stream breaks or nothing arrives for `idleMs`. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  limits: { readonly idleMs: number; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<ServerEvent, void> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of readChunks(body, limits)) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > maxEventLength) throw invalidResponse(`An event is longer than ${maxEventLength} characters.`);
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event.data !== '') yield event;
    }
  }
}

function parseEvent(block: string): ServerEvent {
  const lines = block.split(/\r?\n/);
  const valuesOf = (field: string): string[] =>
    lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).replace(/^ /, ''));
  return {
    event: valuesOf('event').at(-1) ?? 'message',
    id: valuesOf('id').at(-1) ?? '',
    data: valuesOf('data').join('\n'),
  };
}
