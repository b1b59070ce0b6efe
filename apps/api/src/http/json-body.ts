import express, { type Request, type Response } from 'express';
import { parseJson } from '@lipsync/core/contract';
import { limitBodyTime, type BodyTimeLimits } from './body-time.ts';
import { HttpError } from './problem.ts';

const maxBytes = 65_536;
const readText = express.text({ limit: maxBytes, type: 'application/json' });

/**
 * The fields of a JSON body. Throws `request_invalid` (400) unless it is an object, `payload_too_large` above 64 KiB,
 * `request_invalid` (408) when it does not arrive in time.
 */
export async function readJsonFields(
  request: Request,
  response: Response,
  limits: BodyTimeLimits,
): Promise<Map<string, unknown>> {
  const reading = new Promise<void>((resolve, reject) => {
    readText(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  await limitBodyTime(reading, limits);
  const body = parseBody(request.body);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalidBody('must be a JSON object');
  return new Map(Object.entries(body));
}

/** An empty body is an object without fields: then the response names the missing ones. */
function parseBody(text: unknown): unknown {
  if (typeof text !== 'string' || text === '') return {};
  try {
    return parseJson(text);
  } catch (cause) {
    throw invalidBody('is not valid JSON', cause);
  }
}

function invalidBody(problem: string, cause?: unknown): HttpError {
  return new HttpError('request_invalid', `The body ${problem}.`, { httpStatus: 400, cause });
}
