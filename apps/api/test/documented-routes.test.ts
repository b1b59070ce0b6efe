import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { configFromEnvironment } from '@lipsync/core/config';
import {
  jobViewSchema,
  jobStages,
  listOptionFields,
  qualityJobViewSchema,
  qualityOptionsSchema,
  silenceModes,
  syncModes,
  toSnakeCase,
} from '@lipsync/core/contract';
import { apiRoutes, queueBoardPath, referencePath } from '../src/app.ts';
import { startApi } from './running-api.ts';

const documentation = await readFile(new URL('../../../docs/http-api.md', import.meta.url), 'utf8');

it('docs/http-api.md lists exactly the routes of the API.', async () => {
  const api = await startApi();
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  const documented = [...documentation.matchAll(/^\| `(GET|POST|DELETE|OPTIONS) ([^`]+)` \|/gm)].map(
    ([, method, path]) => `${method} ${path}`,
  );
  const mounted = apiRoutes(api.dependencies).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect(documented.toSorted()).toEqual(mounted.toSorted());
  for (const path of [queueBoardPath, referencePath]) expect(documentation).toContain(`\`${path}\``);
});

it('docs/http-api.md lists exactly the fields of a request.', () => {
  const fromTable = documentation.slice(documentation.indexOf('| field |'));
  const table = fromTable.slice(0, fromTable.indexOf('\n\n'));
  const documented = [...table.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, names = '']) =>
    names.split(', ').map((name) => name.replaceAll('`', '')),
  );
  const definitions = configFromEnvironment({}).providers.map(({ definition }) => definition);
  expect(documented.toSorted()).toEqual(listOptionFields(definitions).map(toSnakeCase).toSorted());
});

it('docs/http-api.md lists exactly the options of the built-in providers.', () => {
  const documented = [...documentation.matchAll(/^\| `provider_options\.([^`]+)` \|/gm)].map(([, name = '']) => name);
  const options = configFromEnvironment({}).providers.flatMap(
    ({
      definition: {
        id,
        options: { schema },
      },
    }) => Object.keys(schema.shape).map((option) => `${id}.${toSnakeCase(option)}`),
  );
  expect(documented.toSorted()).toEqual(options.toSorted());
});

it('docs/http-api.md describes every field of a job and every mode.', () => {
  const fields = documentation.slice(documentation.indexOf('### The job'), documentation.indexOf('### Execution plan'));
  const documented = [...fields.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names = '']) => names.match(/\w+/g) ?? []);
  expect(documented.toSorted()).toEqual(Object.keys(jobViewSchema.shape).toSorted());
  const modes = documentation.slice(documentation.indexOf('### Modes'), documentation.indexOf('### `GET /lipsync`'));
  for (const mode of [...syncModes, ...silenceModes]) expect(modes).toContain(`\n| \`${mode}\` | `);
});

it('docs/http-api.md describes every field of a quality request and of its job.', () => {
  const start = documentation.indexOf('### `POST /quality`');
  const section = documentation.slice(start, documentation.indexOf('### `GET /providers`'));
  const fields = Object.keys(qualityOptionsSchema.shape).map(toSnakeCase);
  for (const field of fields) expect(section).toContain(`\`${field}\``);
  const rows = section.slice(section.indexOf('| field of the job |'));
  const documented = [...rows.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names = '']) => names.match(/\w+/g) ?? []);
  expect(documented.toSorted()).toEqual(Object.keys(qualityJobViewSchema.shape).toSorted());
});

it('docs/http-api.md describes every stage of a job.', () => {
  const start = documentation.indexOf('### Stages');
  const section = documentation.slice(start, documentation.indexOf('###', start + 3));
  const documented = [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, names = '']) => names.match(/\w+/g) ?? []);
  expect(documented.toSorted()).toEqual([...jobStages].toSorted());
});
