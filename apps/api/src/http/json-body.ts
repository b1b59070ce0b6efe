import express, { type Request, type RequestHandler, type Response } from 'express';
import { JsonLimitError, parseJson } from '@lipsync/core/contract';
import { lineTypes, parseBatchLines } from './batch-lines.ts';
import { limitBodyTime, type BodyTimeLimits } from './body-time.ts';
import { HttpError } from './problem.ts';

const maxBytes = 65_536;
const maxBatchBytes = 4_194_304;
/** Maximum number of fields of a request. Each one is checked, and listed if it is unknown, while nothing else is served. */
export const maxFields = 100;
// Not `express.text`, which replaces bytes that are not valid in the encoding.
const readBytes = express.raw({ limit: maxBytes, type: 'application/json' });
const readMessageBytes = express.raw({ limit: maxBatchBytes, type: 'application/json' });
const readBatchBytes = express.raw({ limit: maxBatchBytes, type: ['application/json', ...lineTypes] });

/**
 * The fields of a JSON body. Throws `request_invalid` (400) unless it is an object, `payload_too_large` above 64 KiB,
 * `request_invalid` (408) when it does not arrive in time, (415) for an encoding other than UTF-8 and UTF-16.
 */
export function readJsonFields(
  request: Request,
  response: Response,
  limits: BodyTimeLimits,
): Promise<Map<string, unknown>> {
  return readFields({ request, response }, limits, { read: readBytes, parse: parseBody });
}

/** As `readJsonFields`, with up to 4 MiB, and also for a body with one item per line, see `parseBatchLines`. */
export function readBatchFields(
  request: Request,
  response: Response,
  limits: BodyTimeLimits,
): Promise<Map<string, unknown>> {
  const parse = request.is([...lineTypes]) ? parseBatchLines : parseBody;
  return readFields({ request, response }, limits, { read: readBatchBytes, parse });
}

/** As `readJsonFields`, with up to 4 MiB, for a message that may have a batch. */
export function readMessageFields(
  request: Request,
  response: Response,
  limits: BodyTimeLimits,
): Promise<Map<string, unknown>> {
  return readFields({ request, response }, limits, { read: readMessageBytes, parse: parseBody });
}

async function readFields(
  { request, response }: { readonly request: Request; readonly response: Response },
  limits: BodyTimeLimits,
  { read, parse }: { readonly read: RequestHandler; readonly parse: (text: string) => unknown },
): Promise<Map<string, unknown>> {
  const reading = new Promise<void>((resolve, reject) => {
    void read(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  await limitBodyTime(reading, limits);
  const body = parse(decodeBody(request));
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalidBody('must be a JSON object');
  const fields = Object.entries(body);
  requireFewFields(fields.length);
  return new Map(fields);
}

/** Throws `request_invalid` for more fields than a request may have. */
export function requireFewFields(count: number): void {
  if (count > maxFields) throw invalidBody(`has more than ${maxFields} fields`);
}

function decodeBody({ body, headers }: Request): string {
  const bytes: unknown = body;
  if (!Buffer.isBuffer(bytes)) return '';
  const encoding = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'UTF-8';
  if (!/^utf-?(8|16(le|be)?)$/i.test(encoding)) throw invalidBody('must be UTF-8', { httpStatus: 415 });
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalidBody(`is not valid ${encoding.toUpperCase()}`, { cause });
  }
}

/** An empty body is an object without fields: then the response names the missing ones. */
function parseBody(text: string): unknown {
  if (text === '') return {};
  try {
    return parseJson(text);
  } catch (cause) {
    throw invalidBody(cause instanceof JsonLimitError ? cause.problem : 'is not valid JSON', { cause });
  }
}

function invalidBody(
  problem: string,
  options: { readonly httpStatus?: number; readonly cause?: unknown } = {},
): HttpError {
  return new HttpError('request_invalid', `The body ${problem}.`, { httpStatus: 400, ...options });
}
