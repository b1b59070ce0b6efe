import { isUtf8 } from 'node:buffer';
import { LipsyncError } from '../errors/index.ts';
import type { GuardedResponse } from '../net/index.ts';
import type { InputField } from './job-record.ts';

/** Bytes at the beginning of a file that show whether it is text. */
const headBytes = 512;

const textTypes: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^(text\/html|application\/xhtml\+xml)$/, 'a web page'],
  [/[/+]json$/, 'JSON'],
  [/[/+]xml$/, 'XML'],
];

const textBeginnings: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^<(!--|(!doctype\s+html|html|head|body|script|meta|title)\b)/i, 'a web page'],
  [/^</, 'XML'],
  [/^[[{]/, 'JSON'],
];

/**
 * Yields the content of a response, unless it is a web page, JSON or XML instead of a media file, as servers send for
 * share links, logins and errors. Judged by the content: the declared type alone is often wrong. Throws `clip_unusable`
 * or `speech_unusable` before it yields anything.
 */
export async function* refuseTextFile(
  { body, contentType, finalUrl }: Pick<GuardedResponse, 'body' | 'contentType' | 'finalUrl'>,
  { field, url }: { readonly field: InputField; readonly url: string },
): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  const check = (bytes: Buffer): void => {
    const kind = detectText(bytes, contentType);
    if (kind === undefined) return;
    const { host } = new URL(finalUrl);
    const server = host === new URL(url).host ? 'the server' : `${host}, to which it redirects,`;
    throw new LipsyncError(
      field === 'audio' ? 'speech_unusable' : 'clip_unusable',
      `${server} sent ${kind}, not a media file. Use the address of the file itself, which needs no login.`,
    );
  };
  // `as`: a response body without an encoding yields buffers.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.byteLength < headBytes) continue;
    check(head);
    yield head;
    head = undefined;
  }
  if (head === undefined) return;
  check(head);
  yield head;
}

/** What the text is, for messages; undefined for anything that may be a media file. */
function detectText(bytes: Buffer, contentType: string | null): string | undefined {
  const text = decodeText(bytes.subarray(0, headBytes));
  if (text === undefined) return undefined;
  const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  const declared = textTypes.find(([pattern]) => pattern.test(type))?.[1];
  const kind = textBeginnings.find(([pattern]) => pattern.test(text))?.[1] ?? declared;
  if (kind === undefined) return undefined;
  return declared === undefined ? kind : `${kind} (${type})`;
}

/** The beginning of a text without byte order mark and white space; undefined for binary content. */
function decodeText(bytes: Buffer): string | undefined {
  // The last character may be cut in the middle.
  const whole = [0, 1, 2, 3].map((cut) => bytes.subarray(0, bytes.byteLength - cut)).find((part) => isUtf8(part));
  const text = whole
    ?.toString()
    .replace(/^\ufeff/, '')
    .trimStart();
  // oxlint-disable-next-line no-control-regex -- control characters are what tells binary content from text
  return text === undefined || text === '' || /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? undefined : text;
}
