import { LipsyncError, toJobView } from '@lipsync/core/host';
import { jobViewSchema, jobPageViewSchema, type LipsyncOptions } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { checkWebhook, requireSupported, type BodyRules } from '../http/job-body.ts';
import { consentErrorCodes } from '../http/problem.ts';
import type { JobDocumentation } from '../reference/job-documentation.ts';
import { completedJob, queuedJob } from '../reference/job-examples.ts';
import type { JobResource } from './job-resource.ts';

/** Lip-sync jobs over HTTP. */
export function lipsyncResource(dependencies: ApiDependencies): JobResource<'lipsync'> {
  const { expectedMs, jobs, providers, publicBaseUrl } = dependencies;
  return {
    kind: 'lipsync',
    path: '/lipsync',
    rules: bodyRules(dependencies),
    methods: ['auto', ...providers.map(({ id }) => id)],
    documentation: documentLipsync(dependencies),
    async submit({ inputs: { video, audio }, options }, sender, claim) {
      if (!video || !audio) throw new LipsyncError('internal', 'The request was accepted without an input.');
      return jobs.submit({ video, audio, options, expectedMs: await expectedMs(options), ...sender }, claim);
    },
    view: (record) => toJobView(record, `${publicBaseUrl}/lipsync/${record.id}/output`),
  };
}

function bodyRules(dependencies: ApiDependencies): BodyRules<LipsyncOptions> {
  return {
    kind: 'lipsync',
    files: { required: ['video', 'audio'], optional: [] },
    schema: dependencies.optionsSchema,
    checkOptions(options) {
      checkWebhook(options, dependencies.requireWebhooks);
      requireSupportedOptions(dependencies, options);
    },
    checkRequest(options) {
      const problem = options.consent ? 'has expired' : 'is missing';
      requireSupported('consent', () => dependencies.checkConsent(options), problem);
    },
  };
}

/** Throws `not_supported`, with the name of the field, for options that this installation cannot serve. */
export function requireSupportedOptions(
  { checkMethod, checkMinSyncScore }: Pick<ApiDependencies, 'checkMethod' | 'checkMinSyncScore'>,
  options: LipsyncOptions,
): void {
  requireSupported('method', () => checkMethod(options.method));
  requireSupported('min_sync_score', () => checkMinSyncScore(options));
}

function documentLipsync({ documentedOptions }: ApiDependencies): JobDocumentation {
  const urls = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };
  return {
    tag: 'Lip-sync jobs',
    name: 'LipsyncJob',
    noun: 'lip-sync job',
    refusals: consentErrorCodes,
    createDescription: [
      'Send the files in a form, or their addresses as JSON; the service downloads them.',
      'The job runs in the background: poll it, or follow its events.',
    ].join(' '),
    options: documentedOptions,
    inputs: { video: 'The clip, a video or a still image.', audio: 'The speech.' },
    view: jobViewSchema,
    page: jobPageViewSchema,
    formExamples: {
      files: { summary: 'Two files', value: { video: 'clip.mp4', audio: 'speech.wav', method: 'preview' } },
      options: {
        summary: 'Files with options',
        value: {
          video: 'clip.mp4',
          audio: 'speech.wav',
          method: 'preview',
          sync_mode: 'bounce',
          silence_mode: 'keep',
          start_ms: 0,
          end_ms: 2_000,
          user_id: 'user-42',
          metadata: { order: 'A-17' },
          consent: { subject: 'Ada', scope: 'one film', expires_at: '2999-12-31T00:00:00Z', reference: 'A-17' },
        },
      },
    },
    jsonExamples: {
      urls: { summary: 'Two addresses', value: { ...urls, method: 'preview' } },
      limits: {
        summary: 'Limits on cost and time',
        value: {
          ...urls,
          optimize: 'cost',
          allow_preview: true,
          max_cost_usd: 2,
          deadline_ms: 600_000,
          priority: 3,
          provider_options: {},
        },
      },
    },
    queued: queuedJob,
    ended: completedJob,
  };
}
