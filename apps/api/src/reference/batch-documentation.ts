import { z } from 'zod';
import {
  batchPageViewSchema,
  batchStatuses,
  batchViewSchema,
  type batchSummaryViewSchema,
} from '@lipsync/core/contract';
import { maxBatchItems, storeErrorCodes } from '@lipsync/core/host';
import { manifestField } from '../http/batch-form.ts';
import { lineTypes } from '../http/batch-lines.ts';
import { documentedJobQuery } from '../http/job-query.ts';
import { consentErrorCodes } from '../http/problem.ts';
import { pageFields } from '../http/parse-query.ts';
import {
  documentEventStream,
  idempotencyKeyHeader,
  batchIdPath,
  jsonResponse,
  type Content,
  type RouteDocumentation,
} from './documentation.ts';
import { queuedJob } from './job-examples.ts';
import { createdHeaders, urlSchema } from './job-documentation.ts';

/** The query of the jobs of a batch: all of them unless a page is requested. */
export const batchItemQuery = z.strictObject(pageFields('items', { maximum: maxBatchItems, fallback: maxBatchItems }));

type BatchRoute = 'create' | 'list' | 'show' | 'events' | 'pause' | 'resume' | 'cancel' | 'delete';

export const batchStatusFilter = z.enum(batchStatuses).optional().describe('Only batches with this status.');

/** Documents the routes of batches; `options` are the optional fields of a lip-sync request. Pure. */
export function documentBatchRoutes(options: z.ZodObject): Readonly<Record<BatchRoute, RouteDocumentation>> {
  const ofBatch = { tag: 'Batches', parameters: { path: batchIdPath } } as const;
  const notFound = { 404: ['not_found'] } as const;
  return {
    create: documentCreate(options),
    list: {
      operationId: 'listBatches',
      tag: 'Batches',
      summary: 'List batches, newest first',
      description: 'As the list of jobs, without the jobs of the batches.',
      parameters: { query: documentedJobQuery([]).extend({ status: batchStatusFilter }) },
      responses: { 200: jsonResponse('A page of batches.', batchPageViewSchema) },
      problems: { 422: ['request_invalid'] },
    },
    show: {
      ...ofBatch,
      operationId: 'getBatch',
      summary: 'Show a batch with its jobs and totals',
      description:
        'Shows the jobs of all items, or of a page of items. The totals are always those of the whole batch.',
      parameters: { path: batchIdPath, query: batchItemQuery },
      responses: { 200: jsonResponse('The batch.', batchViewSchema, batchExample) },
      problems: { ...notFound, 422: ['request_invalid'] },
    },
    events: documentEvents(),
    pause: {
      ...ofBatch,
      operationId: 'pauseBatch',
      summary: 'Pause a batch',
      description:
        'Jobs that have started go on; the others wait until the batch is resumed, and keep their deadlines.',
      responses: { 202: jsonResponse('The batch.', batchViewSchema, batchExample) },
      problems: { ...notFound, 409: ['conflict'] },
    },
    resume: {
      ...ofBatch,
      operationId: 'resumeBatch',
      summary: 'Resume a paused batch',
      responses: { 202: jsonResponse('The batch.', batchViewSchema, batchExample) },
      problems: { ...notFound, 409: ['conflict'] },
    },
    cancel: {
      ...ofBatch,
      operationId: 'cancelBatch',
      summary: 'Cancel a batch',
      description: 'Its jobs are canceled like single jobs.',
      responses: { 202: jsonResponse('The batch, whose jobs may still run.', batchViewSchema, batchExample) },
      problems: { ...notFound, 409: ['canceled'] },
    },
    delete: {
      ...ofBatch,
      operationId: 'deleteBatch',
      summary: 'Erase a batch with its jobs',
      responses: {
        202: jsonResponse('A job of the batch still runs. The batch is erased after it has stopped.', batchViewSchema),
        204: { description: 'The batch is erased.' },
      },
      problems: notFound,
    },
  };
}

const batchCost = z
  .number()
  .min(0)
  .max(10_000)
  .optional()
  .describe('Limit on the cost of all jobs together, in USD. An item may have a lower one of its own.');

function batchItemSchema(options: z.ZodObject): z.ZodObject {
  return z.strictObject({
    video_url: urlSchema('The clip, a video or a still image.'),
    audio_url: urlSchema('The speech.'),
    output_name: z
      .string()
      .min(1)
      .max(120)
      .optional()
      .describe('Plain file name of the output, unique in the batch; `0001-<clip>.mp4` without one.'),
    ...options.shape,
  });
}

/** A batch of URLs: items, and fields for those without their own. */
export function urlBatchSchema(options: z.ZodObject, item = batchItemSchema(options)): z.ZodObject {
  return z.strictObject({
    items: z.array(item).min(1).max(maxBatchItems).describe('The jobs.'),
    ...options.shape,
    max_cost_usd: batchCost,
  });
}

function documentCreate(options: z.ZodObject): RouteDocumentation {
  const item = batchItemSchema(options).meta({
    id: 'BatchItem',
    description: 'A lip-sync job of a batch. Its fields replace those of the batch.',
  });
  const schema = urlBatchSchema(options, item).meta({
    id: 'BatchRequest',
    description: 'Items, and fields that apply to every item without its own. `optimize` is `cost` unless set.',
  });
  const urls = { video_url: 'https://example.org/a.mp4', audio_url: 'https://example.org/a.wav' };
  return {
    operationId: 'createBatch',
    tag: 'Batches',
    summary: 'Create a batch of up to 500 lip-sync jobs',
    description:
      'The batch is checked as a whole: one problem lists every problem by item, and then nothing is stored.',
    parameters: { header: idempotencyKeyHeader },
    body: {
      'application/json': {
        schema,
        examples: {
          two: {
            summary: 'Two items',
            value: {
              sync_mode: 'bounce',
              method: 'preview',
              max_cost_usd: 2,
              items: [
                { ...urls, output_name: 'intro.mp4' },
                { ...urls, max_cost_usd: 0.5 },
              ],
            },
          },
        },
      },
      'multipart/form-data': documentForm(options),
      ...Object.fromEntries(lineTypes.map((type) => [type, documentLines(urls)])),
    },
    responses: {
      202: {
        ...jsonResponse('The new batch, or that of an equal earlier request.', batchViewSchema, batchExample),
        headers: createdHeaders,
      },
    },
    problems: {
      400: ['request_invalid'],
      408: ['request_invalid'],
      409: ['idempotency_in_progress'],
      413: ['payload_too_large'],
      415: ['request_invalid'],
      422: ['request_invalid', 'url_forbidden', ...consentErrorCodes, 'not_supported', 'idempotency_mismatch'],
      503: ['storage_unwritable', ...storeErrorCodes],
    },
  };
}

/** The parts with files have any names, which OpenAPI can only state as further properties. */
function documentForm(options: z.ZodObject): Content {
  const file = z.custom<Blob>(() => true).meta({ type: 'string', format: 'binary' });
  const description = [
    'A row of names, then a row for each of up to 500 items, as CSV. `video` and `audio` are file names or URLs;',
    '`output_name` and the fields of an item may be further columns.',
  ].join(' ');
  return {
    schema: z
      .strictObject({
        [manifestField]: file.meta({ type: 'string', format: 'binary', description }),
        ...options.shape,
        max_cost_usd: batchCost,
      })
      .catchall(file)
      .meta({
        id: 'BatchForm',
        description: 'A CSV file, the files that its rows name, and fields that apply to every item without its own.',
      }),
    examples: {
      two: {
        summary: 'Two items with files, of which one has its speech at an address',
        value: {
          [manifestField]:
            'video,audio,output_name\nclip.mp4,speech.wav,intro.mp4\nclip.mp4,https://example.org/a.wav,\n',
          clip: 'clip.mp4',
          speech: 'speech.wav',
          method: 'preview',
        },
      },
    },
  };
}

function documentEvents(): RouteDocumentation {
  const { results: _, next_cursor: _cursor, ...batch } = batchExample.processing.value;
  const ended = {
    ...batch,
    status: 'completed',
    summary: { ...batch.summary, success: 1, total_duration: 2.04 },
    completed_at: '2026-11-27T09:31:00.000Z',
  } satisfies z.input<typeof batchSummaryViewSchema>;
  return {
    operationId: 'followBatch',
    tag: 'Batches',
    summary: 'Follow a batch',
    description: [
      'Sends server-sent events: `progress` when the status or the totals of the batch change, then `completed` or `canceled`, and ends.',
      'The data of each event is the batch without its jobs (`BatchSummary`). The first event shows the current state. Changes in quick succession are one event.',
      'A client that reconnects with `Last-Event-ID` receives an event once the batch differs from that event.',
    ].join(' '),
    ...documentEventStream(batchIdPath, {
      summary: 'The last event of a batch',
      value: `event: completed\nid: q8mSxkPz1YcV0aTn\ndata: ${JSON.stringify(ended)}\n\n`,
    }),
  };
}

/** Every line is a `BatchItem`, which OpenAPI 3.1 cannot state. */
function documentLines(urls: object): Content {
  const lines = [
    { batch: { sync_mode: 'bounce', method: 'preview' } },
    { ...urls, output_name: 'intro.mp4' },
    { ...urls, max_cost_usd: 0.5 },
  ];
  return {
    schema: z
      .string()
      .describe(
        'One item (`BatchItem`) per line, at most 64 KiB each. A first line `{"batch": {…}}` has the fields for all items. Empty lines do not count.',
      ),
    examples: {
      two: {
        summary: 'Fields for all items, and two items',
        value: lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
      },
    },
  };
}

const batchId = 'batch_0mij3f4kz0c8f3a6e1d2b4a59687f';

const batchExample = {
  processing: {
    summary: 'A batch of one job',
    value: {
      id: batchId,
      status: 'processing',
      results: [
        {
          ...queuedJob,
          id: `${batchId}-0001`,
          request: { ...queuedJob.request, optimize: 'cost' },
          plan: ['wav2lip', 'heygen'],
          batch: { id: batchId, item: 0 },
          item: 0,
          output_name: 'intro.mp4',
        },
      ],
      next_cursor: null,
      summary: { total: 1, success: 0, failed: 0, canceled: 0, total_duration: 0, total_cost_usd: 0 },
      user_id: null,
      metadata: {},
      max_cost_usd: 2,
      created_at: queuedJob.created_at,
      completed_at: null,
    } satisfies z.input<typeof batchViewSchema>,
  },
};
