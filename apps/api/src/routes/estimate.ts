import type { Request, Response } from 'express';
import { z } from 'zod';
import {
  outputDurationMs,
  payerOf,
  microsToUsd,
  type Estimate,
  type ProviderEstimate,
  listProviderIds,
  type PlanStep,
} from '@lipsync/core/host';
import {
  estimateViewSchema,
  parseRequest,
  type EstimateView,
  type LipsyncOptions,
  parseOptions,
  toFieldProblem,
} from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf } from '../http/access.ts';
import { readJsonFields } from '../http/json-body.ts';
import { HttpError, invalidFields } from '../http/problem.ts';
import { jsonResponse, type RouteDocumentation } from '../reference/documentation.ts';
import { requireSupportedOptions } from './lipsync-resource.ts';
import type { Route } from './route.ts';

type Dependencies = Pick<
  ApiDependencies,
  | 'bodyTime'
  | 'checkMethod'
  | 'checkMinSyncScore'
  | 'documentedOptions'
  | 'estimator'
  | 'maxDurationMs'
  | 'optionsSchema'
>;

/** Plan, cost and expected completion of a job, without starting or reserving anything. */
export function estimateRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'post',
      path: '/estimate',
      documentation: documentEstimate(dependencies),
      handle: (request, response) => showEstimate(dependencies, request, response),
    },
  ];
}

async function showEstimate(dependencies: Dependencies, request: Request, response: Response): Promise<void> {
  if (!request.is('application/json'))
    throw new HttpError('request_invalid', 'Send application/json with the durations of the inputs.', {
      httpStatus: 415,
    });
  const { lengths, options } = readBody(await readJsonFields(request, response, dependencies.bodyTime), dependencies);
  requireSupportedOptions(dependencies, options);
  const { syncMode, startMs, endMs } = options;
  const durationMs = outputDurationMs(
    { clipMs: lengths.video_duration_ms, speechMs: lengths.audio_duration_ms },
    { syncMode, window: { startMs, endMs } },
  );
  response.json(
    viewEstimate(
      await dependencies.estimator.estimate({
        options,
        durationMs,
        payer: payerOf(callerOf(response).owner, options.userId),
      }),
    ),
  );
}

function lengthsSchema(maxDurationMs: number) {
  const length = z.int().min(1).max(maxDurationMs);
  return z.object({
    video_duration_ms: length
      .nullable()
      .default(null)
      .describe('Length of the clip in milliseconds; null for a still image.'),
    audio_duration_ms: length.describe('Length of the speech in milliseconds.'),
  });
}

type Lengths = z.output<ReturnType<typeof lengthsSchema>>;

/** Throws `request_invalid` with every problem at once. */
function readBody(
  fields: Map<string, unknown>,
  { maxDurationMs, optionsSchema }: Dependencies,
): { readonly lengths: Lengths; readonly options: LipsyncOptions } {
  const schema = lengthsSchema(maxDurationMs);
  const isLength = ([name]: readonly [string, unknown]): boolean => name in schema.shape;
  const lengths = parseRequest(schema, Object.fromEntries([...fields].filter(isLength)));
  const { options, problems } = parseOptions(new Map([...fields].filter((field) => !isLength(field))), optionsSchema);
  if (lengths.type === 'valid' && options !== undefined) return { lengths: lengths.value, options };
  const lengthProblems = lengths.type === 'invalid' ? lengths.problems.map(toFieldProblem) : [];
  throw invalidFields('request', [...lengthProblems, ...problems]);
}

function viewEstimate({ durationMs, plan, first, providers }: Estimate): EstimateView {
  return {
    duration: durationMs / 1000,
    plan: [...listProviderIds(plan)],
    plan_steps: plan.map(viewStep),
    first,
    providers: providers.map(viewProvider),
  };
}

function viewStep({ provider, kind, maxTries, conditions, costCapUsd }: PlanStep): EstimateView['plan_steps'][number] {
  return { provider, kind, max_tries: maxTries, conditions: [...conditions], cost_cap_usd: costCapUsd };
}

function viewProvider({
  provider,
  costMicros,
  expectedMs,
  isMeasured,
  cap,
}: ProviderEstimate): EstimateView['providers'][number] {
  return {
    provider,
    cost_usd: microsToUsd(costMicros),
    expected_seconds: expectedMs === null ? null : expectedMs / 1000,
    measured: isMeasured,
    cap,
  };
}

function documentEstimate({ documentedOptions, maxDurationMs }: Dependencies): RouteDocumentation {
  const schema = z
    .strictObject({ ...lengthsSchema(maxDurationMs).shape, ...documentedOptions.shape })
    .meta({ id: 'EstimateRequest', description: 'Lengths of the inputs, and any field of a lip-sync request.' });
  return {
    operationId: 'estimateLipsync',
    tag: 'Planning',
    summary: 'Plan, cost and time of a job, without starting it',
    body: {
      'application/json': {
        schema,
        examples: {
          limited: {
            summary: 'A clip of 12 s and a speech of 30 s',
            value: { video_duration_ms: 12_000, audio_duration_ms: 30_000, max_cost_usd: 2 },
          },
          image: { summary: 'A still image', value: { audio_duration_ms: 30_000, allow_preview: true } },
        },
      },
    },
    responses: { 200: jsonResponse('The estimate.', estimateViewSchema) },
    problems: {
      400: ['request_invalid'],
      408: ['request_invalid'],
      413: ['payload_too_large'],
      415: ['request_invalid'],
      422: ['request_invalid', 'not_supported'],
    },
  };
}
