import { Validator } from '@seriousme/openapi-schema-validator';
import { expect, it } from 'vitest';
import { apiRoutes } from '../src/app.ts';
import { createOpenApiDocument } from '../src/reference/document.ts';
import { json, startApi } from './running-api.ts';

async function fetchDocument() {
  const api = await startApi();
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  const document = await json(await api.fetch('/openapi.json'));
  return { document, routes: apiRoutes(api.dependencies) };
}

it('/openapi.json is a valid OpenAPI 3.1 document that contains every route.', async () => {
  const { document, routes } = await fetchDocument();
  expect(await new Validator().validate(document)).toEqual({ valid: true });
  expect(document.openapi).toMatch(/^3\.1\./);
  const documented = Object.entries<object>(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method} ${path}`),
  );
  const mounted = routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  expect(documented.toSorted()).toEqual(mounted.toSorted());
});

it('Every route documents the parameters of its path and has an operation id of its own.', async () => {
  const { routes } = await fetchDocument();
  for (const { path, documentation } of routes) {
    const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
    expect(Object.keys(documentation.parameters?.path?.shape ?? {}), path).toEqual(names);
  }
  const ids = routes.map(({ documentation }) => documentation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

it('The document requires a key exactly where the API does.', async () => {
  const { routes } = await fetchDocument();
  const { paths = {} } = createOpenApiDocument(routes, { publicBaseUrl: '', hasKeys: true });
  expect(paths['/health']?.get?.security).toEqual([]);
  expect(paths['/lipsync']?.post?.security).toEqual([{ key: [] }]);
});

it('Every field, parameter and response of the document is described.', async () => {
  const { document } = await fetchDocument();
  expect([...undescribed(document)]).toEqual([]);
});

/** Paths of schema properties and parameters without a description. */
function* undescribed(value: unknown, path = ''): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    const innerPath = `${path}/${name}`;
    if (name === 'examples') continue;
    if (name === 'properties') yield* propertiesWithoutDescription(inner, innerPath);
    else if (name === 'parameters') yield* parametersWithoutDescription(inner, innerPath);
    yield* undescribed(inner, innerPath);
  }
}

function* propertiesWithoutDescription(properties: Record<string, object>, path: string): Generator<string> {
  for (const [name, schema] of Object.entries(properties)) {
    if (!('description' in schema) && !('$ref' in schema)) yield `${path}/${name}`;
  }
}

function* parametersWithoutDescription(parameters: readonly { name: string }[], path: string): Generator<string> {
  for (const parameter of parameters) {
    if (!('description' in parameter)) yield `${path}/${parameter.name}`;
  }
}
