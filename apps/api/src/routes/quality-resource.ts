import { LipsyncError, toQualityJobView } from '@lipsync/core/host';
import {
  qualityJobPageViewSchema,
  qualityJobViewSchema,
  qualityOptionsSchema,
  toSnakeCaseFields,
} from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { checkWebhook } from '../http/job-body.ts';
import type { JobDocumentation } from '../reference/job-documentation.ts';
import { completedQualityJob, queuedQualityJob } from '../reference/job-examples.ts';
import type { JobResource } from './job-resource.ts';

/** Quality jobs over HTTP. */
export function qualityResource({ jobs, requireWebhooks }: ApiDependencies): JobResource<'quality'> {
  return {
    kind: 'quality',
    path: '/quality',
    methods: [],
    rules: {
      kind: 'quality',
      files: { required: ['video'], optional: ['audio', 'source'] },
      schema: qualityOptionsSchema,
      checkOptions: (options) => checkWebhook(options, requireWebhooks),
    },
    documentation: qualityDocumentation,
    submit({ inputs: { video, ...optional }, options }, sender, claim) {
      if (!video) throw new LipsyncError('internal', 'The request was accepted without a video.');
      return jobs.submitQuality({ video, ...optional, options, ...sender }, claim);
    },
    view: toQualityJobView,
  };
}

const qualityDocumentation: JobDocumentation = {
  tag: 'Quality jobs',
  name: 'QualityJob',
  noun: 'quality job',
  createDescription: 'Measures any video. Send files in a form, or addresses as JSON. It costs nothing.',
  options: toSnakeCaseFields(qualityOptionsSchema),
  inputs: {
    video: 'The video to measure.',
    audio: 'The speech that the video was made from, instead of the sound of the video.',
    source: 'The clip that the video was made from; adds comparisons with it.',
  },
  view: qualityJobViewSchema,
  page: qualityJobPageViewSchema,
  formExamples: {
    video: { summary: 'A video', value: { video: 'clip.mp4' } },
    sources: {
      summary: 'A video with what it was made from',
      value: { video: 'clip.mp4', source: 'clip.mp4', audio: 'speech.wav', quality_windows: 'all' },
    },
  },
  jsonExamples: { url: { summary: 'An address', value: { video_url: 'https://example.org/clip.mp4' } } },
  queued: queuedQualityJob,
  ended: completedQualityJob,
};
