import { scalingViewSchema } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { jsonResponse } from '../reference/documentation.ts';
import type { Route } from './route.ts';

/** Work that waits for workers, for autoscalers. It names no job, so every key may read it. */
export function scalingRoutes({ waitingWork }: Pick<ApiDependencies, 'waitingWork'>): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/scaling',
      documentation: {
        operationId: 'getScaling',
        tag: 'Operations',
        summary: 'Seconds of work that wait for the workers of each lane',
        description: 'For autoscalers such as the `metrics-api` scaler of KEDA. An answer is at most 2 s old.',
        responses: { 200: jsonResponse('Seconds by lane.', scalingViewSchema) },
      },
      async handle(_request, response) {
        response.json(await waitingWork.readSeconds());
      },
    },
  ];
}
