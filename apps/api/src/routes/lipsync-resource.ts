import { LipsyncError, toJobView } from '@lipsync/core/host';
import type { LipsyncOptions } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { requireSupported, type BodyRules } from '../http/job-body.ts';
import type { JobResource } from './job-resource.ts';

/** Lip-sync jobs over HTTP. */
export function lipsyncResource(dependencies: ApiDependencies): JobResource<'lipsync'> {
  const { jobs, providers, publicBaseUrl } = dependencies;
  return {
    kind: 'lipsync',
    path: '/lipsync',
    rules: bodyRules(dependencies),
    methods: ['auto', ...providers.map(({ id }) => id)],
    submit({ inputs: { video, audio }, options }, sender, claim) {
      if (!video || !audio) throw new LipsyncError('internal', 'The request was accepted without an input.');
      return jobs.submit({ video, audio, options, ...sender }, claim);
    },
    view: (record) => toJobView(record, `${publicBaseUrl}/lipsync/${record.id}/output`),
  };
}

function bodyRules(dependencies: ApiDependencies): BodyRules<LipsyncOptions> {
  return {
    kind: 'lipsync',
    files: { required: ['video', 'audio'], optional: [] },
    schema: dependencies.optionsSchema,
    checkOptions: (options) => requireSupportedOptions(dependencies, options),
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
