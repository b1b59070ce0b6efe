import { once } from 'node:events';
import type { Request, Response } from 'express';
import { z } from 'zod';
import { originViewSchema, parseRequest, toFieldProblem, type OriginView } from '@lipsync/core/contract';
import type { CallerScope } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, mayAccess } from '../http/access.ts';
import { readFormParts } from '../http/form-reader.ts';
import { readJsonFields } from '../http/json-body.ts';
import { maxUrlLength } from '../http/job-body.ts';
import { HttpError, invalidFields } from '../http/problem.ts';
import { jsonResponse, type RouteDocumentation } from '../reference/documentation.ts';
import type { Route } from './route.ts';

type Dependencies = Pick<ApiDependencies, 'bodyTime' | 'checkUrl' | 'originVerifier'>;

const advice = 'Send one file as "video", or JSON with "video_url".';

const bodySchema = z
  .strictObject({
    video_url: z
      .url({ protocol: /^https?$/ })
      .max(maxUrlLength)
      .describe('Address of the file.'),
  })
  .meta({ id: 'VerifyRequest', description: 'The file whose origin is read.' });

/** The origin of any file, without a job. */
export function verifyRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'post',
      path: '/verify',
      documentation,
      handle: (request, response) => verify(dependencies, request, response),
    },
  ];
}

async function verify(dependencies: Dependencies, request: Request, response: Response): Promise<void> {
  const closed = new AbortController();
  void once(response, 'close').then(() => closed.abort());
  const caller = callerOf(response);
  const scope = { signal: closed.signal, mayAccess: (owner: string | null) => mayAccess(caller, owner) };
  if (request.is('multipart/form-data')) response.json(await verifyUpload(dependencies, request, scope));
  else if (request.is('application/json')) response.json(await verifyUrl(dependencies, { request, response, scope }));
  else throw new HttpError('request_invalid', advice, { httpStatus: 415 });
}

async function verifyUpload(
  { bodyTime, originVerifier }: Dependencies,
  request: Request,
  scope: CallerScope,
): Promise<OriginView> {
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const refused = new AbortController();
  let reading: Promise<OriginView> | undefined;
  try {
    const { fields, problems } = await readFormParts(
      request,
      {
        limits: { fields: 1, files: 1, parts: 2 },
        advice: 'Send one file as "video"',
        isFile: (field) => field === 'video',
        takeFile({ field, content }) {
          if (field !== 'video') return 'is not a known file';
          reading = originVerifier.verifyContent(content, {
            ...scope,
            signal: AbortSignal.any([scope.signal, refused.signal]),
          });
          reading.catch(failure.reject);
          return undefined;
        },
        checkField: () => undefined,
      },
      { bodyTime, failure: failure.promise },
    );
    const unknown = [...fields.keys()].map((field) => ({ field, message: 'is not a known field' }));
    const missing = reading ? [] : [{ field: 'video', message: 'is missing: send the file' }];
    const all = [...problems, ...unknown, ...missing];
    if (!reading || all.length > 0) throw invalidFields('request', all);
    return await reading;
  } catch (error) {
    refused.abort();
    await reading?.catch(() => undefined);
    throw error;
  }
}

async function verifyUrl(
  { bodyTime, checkUrl, originVerifier }: Dependencies,
  { request, response, scope }: { readonly request: Request; readonly response: Response; readonly scope: CallerScope },
): Promise<OriginView> {
  const parsed = parseRequest(bodySchema, Object.fromEntries(await readJsonFields(request, response, bodyTime)));
  if (parsed.type === 'invalid') throw invalidFields('request', parsed.problems.map(toFieldProblem));
  checkUrl(parsed.value.video_url);
  return originVerifier.verify(parsed.value.video_url, scope);
}

const documentation: RouteDocumentation = {
  operationId: 'verifyOrigin',
  tag: 'Planning',
  summary: 'Who signed the origin of a file, and whether it was changed since',
  body: {
    'multipart/form-data': {
      schema: z.strictObject({
        video: z.custom<Blob>(() => true).meta({ type: 'string', format: 'binary', description: 'The file.' }),
      }),
      examples: { file: { summary: 'A file', value: { video: 'output.mp4' } } },
    },
    'application/json': {
      schema: bodySchema,
      examples: { url: { summary: 'An address', value: { video_url: 'https://example.org/output.mp4' } } },
    },
  },
  responses: { 200: jsonResponse('The origin. A file without a manifest is no error.', originViewSchema) },
  problems: {
    400: ['request_invalid'],
    408: ['request_invalid'],
    413: ['payload_too_large'],
    415: ['request_invalid'],
    422: ['request_invalid', 'url_forbidden', 'clip_unusable'],
    502: ['fetch_failed'],
    503: ['resource_exhausted', 'storage_unwritable'],
    504: ['fetch_timeout'],
  },
};
