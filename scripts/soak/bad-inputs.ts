import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { getLipsyncService, LipsyncError } from '@lipsync/core';
import { jobViewSchema } from '@lipsync/core/contract';
import { makeBadInputs, type BadInput } from './bad-input-files.ts';
import { descendantsRunning } from './processes.ts';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';

const timeLimitMs = 20 * 60_000;
const maxUploadBytes = 50_000_000;

interface Answer {
  /** HTTP status of the request and, if a job was created, its status. */
  readonly outcome: string;
  readonly code: string;
  readonly message: string;
}

/** Sends every kind of bad input. Each must get the expected response and leave no file; no process may restart. */
export async function proveBadInputs(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-bad-'));
  const stack = await startScratchStack({ LIPSYNC_MAX_UPLOAD_BYTES: String(maxUploadBytes) }, signal);
  const processIds = (): string =>
    ['apps/api/src/main.ts', 'apps/worker/src/main.ts'].flatMap(descendantsRunning).join();
  const processIdsBefore = processIds();
  let holds = true;
  const report = (name: string, expected: string, { outcome, code, message }: Answer): void => {
    const isExpected = (code || outcome) === expected;
    holds &&= isExpected;
    console.log(
      `| ${name} | ${outcome} | ${code} | ${message.replaceAll('\n', ' ').replaceAll('|', '\\|')} |${isExpected ? '' : ` expected ${expected}`}`,
    );
  };
  console.log('| input | answer | code | message |\n|---|---|---|---|');
  try {
    for (const input of await makeBadInputs(folder, maxUploadBytes))
      report(input.name, input.expected, await send(stack, input, signal));
    report('an interrupted upload', 'closed', await interruptUpload(stack, signal));
    report('two jobs, one output path (in-process)', 'output_exists', await useOneOutputTwice(folder));
    const leftovers = await stack.leftovers();
    const isUnchanged = processIds() === processIdsBefore;
    console.log(
      `\nleft behind: ${leftovers.length === 0 ? 'nothing' : leftovers.join(', ')}; processes: ${isUnchanged ? 'the same as before' : 'NOT the same as before'}`,
    );
    return holds && leftovers.length === 0 && isUnchanged;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function send(stack: ScratchStack, input: BadInput, signal: AbortSignal): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of Object.entries(input.fields ?? {})) form.set(name, value);
  form.set('video', new Blob([await readFile(input.video ?? samplePaths.videoPath)]), input.fileName ?? 'clip.mp4');
  form.set('audio', new Blob([await readFile(input.audio ?? samplePaths.audioPath)]), 'speech.wav');
  const response = await fetch(`${stack.url}/lipsync`, { method: 'POST', body: form, signal });
  const body: unknown = await response.json();
  if (response.status !== 202) {
    const { code, detail } = body as { code: string; detail: string };
    return { outcome: String(response.status), code, message: detail };
  }
  const job = await stack.waitFor(jobViewSchema.parse(body).id);
  const warnings = job.warnings.filter(({ code }) => code !== 'degraded');
  const code = job.error?.code ?? warnings.map((warning) => warning.code).join();
  return {
    outcome: `202, ${job.status}`,
    code: code || job.status,
    message: job.error?.message ?? warnings.map(({ message }) => message).join(' '),
  };
}

/** Sends half a body and closes the connection. No job and no file may remain. */
async function interruptUpload(stack: ScratchStack, signal: AbortSignal): Promise<Answer> {
  const jobsBefore = await countJobs(stack, signal);
  const { hostname, port } = new URL(stack.url);
  const half = (await readFile(samplePaths.videoPath)).subarray(0, 100_000);
  const socket = connect(Number(port), hostname);
  const head =
    '--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n';
  socket.write(
    `POST /lipsync HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 999999\r\n\r\n${head}`,
  );
  socket.write(half);
  await sleep(500, undefined, { signal });
  socket.destroy();
  await sleep(1_000, undefined, { signal });
  const isClean = (await countJobs(stack, signal)) === jobsBefore && (await stack.leftovers()).length === 0;
  return {
    outcome: isClean ? 'closed' : 'left files or a job behind',
    code: '',
    message: isClean ? 'no job, nothing stored' : '',
  };
}

async function countJobs({ url }: ScratchStack, signal: AbortSignal): Promise<number> {
  const page = z
    .object({ jobs: z.array(z.unknown()) })
    .parse(await (await fetch(`${url}/lipsync?limit=100`, { signal })).json());
  return page.jobs.length;
}

async function useOneOutputTwice(folder: string): Promise<Answer> {
  const service = getLipsyncService({ dataDir: join(folder, 'data') });
  const outputPath = join(folder, 'same.mp4');
  try {
    const results = await Promise.allSettled([1, 2].map(() => service.generateLipsync({ ...samplePaths, outputPath })));
    const refused = results.flatMap((result) =>
      result.status === 'rejected' && LipsyncError.isInstance(result.reason) ? [result.reason] : [],
    );
    const first = refused[0];
    return { outcome: `${2 - refused.length} completed`, code: first?.code ?? '', message: first?.message ?? '' };
  } finally {
    await service.close();
  }
}
