import express, { type Request, type Response } from 'express';
import { HttpError } from './problem.ts';

const maxBytes = 65_536;
const parse = express.json({ limit: maxBytes });

/**
 * The fields of a JSON body. Throws `request_invalid` (400) unless it is an object, `payload_too_large` above 64 KiB.
 */
export async function readJsonFields(request: Request, response: Response): Promise<Map<string, unknown>> {
  await new Promise<void>((resolve, reject) => {
    parse(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  const body: unknown = request.body;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new HttpError('request_invalid', 'The body must be a JSON object.', { httpStatus: 400 });
  }
  return new Map(Object.entries(body));
}
