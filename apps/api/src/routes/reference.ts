import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import { createOpenApiDocument } from '../reference/document.ts';
import { jsonResponse } from '../reference/documentation.ts';
import type { Route } from './route.ts';

type Dependencies = Pick<ApiDependencies, 'publicBaseUrl' | 'keys'>;

/** Path of the OpenAPI document. */
export const openApiPath = '/openapi.json';

/** The reference of `routes` and of itself. */
export function referenceRoutes({ publicBaseUrl, keys }: Dependencies, routes: readonly Route[]): readonly Route[] {
  let text: string | undefined;
  const own: readonly Route[] = [
    {
      method: 'get',
      path: openApiPath,
      access: 'browser',
      documentation: {
        operationId: 'getOpenApiDocument',
        tag: 'Operations',
        summary: 'This reference as an OpenAPI 3.1 document',
        responses: {
          200: jsonResponse('The document.', z.looseObject({ openapi: z.string().describe('Version of OpenAPI.') })),
        },
      },
      handle(_request, response) {
        text ??= JSON.stringify(
          createOpenApiDocument([...routes, ...own], { publicBaseUrl, hasKeys: keys.length > 0 }),
        );
        response.type('json').set('Cache-Control', 'no-cache').send(text);
      },
    },
  ];
  return own;
}
