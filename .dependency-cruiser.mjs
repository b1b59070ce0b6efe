/** Which folder may import which. test/import-rules.test.ts breaks every rule on purpose. Type imports count. */

const core = '^packages/lipsync-core/src';
const testCode = '(\\.test\\.ts$|/test/|/testing/)';
const productCode = '^(apps|packages)/[^/]+/src/';

/** Folders of the core, lowest layer first: a folder imports only folders that stand before it. */
export const layers = [
  'contract',
  'errors',
  'tracing',
  'net',
  'processes',
  'image',
  'storage',
  'billing',
  'scheduling',
  'inference',
  'marking',
  'media',
  'audio',
  'face',
  'fingerprint',
  'quality',
  'providers',
  'jobs',
  'config',
  'service',
  'cli',
];

/**
 * A package, whether it is installed or not.
 * @param {string[]} names
 */
const packages = (...names) => `(^|node_modules/)(${names.join('|')})(/|$)`;

/** @type {import('dependency-cruiser').IForbiddenRuleType[]} */
const layerRules = layers.slice(0, -1).map((folder, index) => ({
  name: `${folder}/ imports only lower layers of the core`,
  severity: 'error',
  from: { path: `${core}/${folder}/`, pathNot: testCode },
  to: { path: `${core}/(${layers.slice(index + 1).join('|')})/` },
}));

/** @type {import('dependency-cruiser').IForbiddenRuleType[]} */
export const forbidden = [
  { name: 'no file imports itself through others', severity: 'error', from: {}, to: { circular: true } },
  { name: 'every import resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ...layerRules,
  {
    name: 'contract/ and errors/ import nothing of the core',
    severity: 'error',
    from: { path: `${core}/(contract|errors)/`, pathNot: testCode },
    to: { path: '^packages/', pathNot: `${core}/$1/` },
  },
  {
    name: 'apps import packages, never each other',
    severity: 'error',
    from: { path: '^apps/([^/]+)/' },
    to: { path: '^apps/', pathNot: '^apps/$1/' },
  },
  {
    name: 'packages import neither apps nor scripts',
    severity: 'error',
    from: { path: '^packages/', pathNot: testCode },
    to: { path: '^(apps|scripts)/' },
  },
  {
    name: 'the core imports neither HTTP server nor queue',
    severity: 'error',
    from: { path: '^packages/lipsync-core/' },
    to: { path: `${packages('express', 'bullmq', '@bull-board')}|^packages/lipsync-queue/` },
  },
  {
    name: 'only inference/ imports the ONNX runtime',
    severity: 'error',
    from: { path: productCode, pathNot: `${core}/inference/` },
    to: { path: packages('onnxruntime-node', 'onnxruntime-common', 'onnxruntime-web') },
  },
  {
    name: 'media/sound/ and media/picture/ do not import each other, and media/containers/ neither of them',
    severity: 'error',
    from: { path: `${core}/media/(containers|sound|picture)/` },
    to: { path: `${core}/media/(sound|picture|takes|threads)/`, pathNot: `${core}/media/$1/` },
  },
  {
    name: 'only tracing/ imports OpenTelemetry',
    severity: 'error',
    from: { path: productCode, pathNot: [testCode, `${core}/tracing/`] },
    to: { path: packages('@opentelemetry') },
  },
  {
    name: 'only media/ imports fluent-ffmpeg',
    severity: 'error',
    from: { path: productCode, pathNot: `${core}/media/` },
    to: { path: packages('fluent-ffmpeg') },
  },
  {
    name: 'only media/, processes/, the engine and the doctor start programs',
    severity: 'error',
    from: {
      path: productCode,
      pathNot: [
        testCode,
        '^packages/heygen-standin/src/media/',
        `${core}/(media|processes)/`,
        `${core}/inference/models/try-model-apart\\.ts$`,
        `${core}/providers/wav2lip/engine/engine-child\\.ts$`,
        `${core}/cli/doctor-command\\.ts$`,
      ],
    },
    to: { path: '^(node:)?child_process$' },
  },
  {
    name: 'the product imports no stand-in',
    severity: 'error',
    from: { path: '^(apps/|packages/(?!heygen-standin/))', pathNot: testCode },
    to: { path: '^packages/heygen-standin/' },
  },
  {
    // A stand-in built from the product's own code would repeat its mistakes. One program draws new lips.
    name: 'the stand-in imports nothing of the product',
    severity: 'error',
    from: { path: '^packages/heygen-standin/', pathNot: '/src/media/draw-mouth\\.ts$' },
    to: { path: '^packages/(?!heygen-standin/)' },
  },
  {
    name: 'the stand-in draws lips by the public entry of the core',
    severity: 'error',
    from: { path: '^packages/heygen-standin/src/media/draw-mouth\\.ts$' },
    to: { path: '^packages/(?!heygen-standin/)', pathNot: `${core}/index\\.ts$` },
  },
  {
    name: 'the product imports no test code',
    severity: 'error',
    from: { path: productCode, pathNot: testCode },
    to: { path: testCode, pathNot: 'node_modules' },
  },
];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden,
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import', 'types', 'default'] },
  },
};
