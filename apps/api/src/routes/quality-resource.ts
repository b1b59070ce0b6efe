import { LipsyncError, toQualityJobView } from '@lipsync/core/host';
import { qualityOptionsSchema } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import type { JobResource } from './job-resource.ts';

/** Quality jobs over HTTP. */
export function qualityResource({ jobs }: ApiDependencies): JobResource<'quality'> {
  return {
    kind: 'quality',
    path: '/quality',
    methods: [],
    rules: {
      kind: 'quality',
      files: { required: ['video'], optional: ['audio', 'source'] },
      schema: qualityOptionsSchema,
    },
    submit({ inputs: { video, ...optional }, options }, sender, claim) {
      if (!video) throw new LipsyncError('internal', 'The request was accepted without a video.');
      return jobs.submitQuality({ video, ...optional, options, ...sender }, claim);
    },
    view: toQualityJobView,
  };
}
