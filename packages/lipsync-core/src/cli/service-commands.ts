import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { JobView, LipsyncClient } from '@lipsync/client';
import { InvalidArgumentError, type Command } from 'commander';
import { jobStatuses } from '../contract/index.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { OutputFiles } from '../service/output-file.ts';
import { modesHelp, OptionFlags } from './option-flags.ts';
import { connect, namingFlags, serverFlag, toRequest } from './remote-service.ts';
import { createProgressDisplay, interruptSignal, writeLine, type Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

interface ServerFlags {
  readonly server?: string;
  readonly json?: boolean;
}

/** Adds the commands for jobs of a service: `submit`, `jobs` and `cancel`. */
export function addServiceCommands(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  addSubmitCommand(program, terminal, definitions);
  addJobsCommand(program, terminal, setExitCode);
  program
    .command('cancel')
    .description('cancel a job of a service')
    .argument('<id>', 'id of the job')
    .option(...serverFlag)
    .option('--json', 'print the job as one line of JSON on stdout')
    .action(async (id: string, { server, json }: ServerFlags) => {
      const job = await interruptible((signal) => connect(server).cancel(id, { signal }));
      if (json) writeLine(terminal.stdout, JSON.stringify(job));
      else writeLine(terminal.stderr, `${job.id} is ${job.status}. ${job.message}`);
    });
}

function addSubmitCommand(program: Command, terminal: Terminal, definitions: readonly ProviderDefinition[]): void {
  const flags = new OptionFlags(definitions);
  const command = program
    .command('submit')
    .description('send a job to a service, print its id and return')
    .argument('<video>', 'video or still image: a file to upload, or an http(s) URL that the service fetches')
    .argument('<audio>', 'speech recording: a file or an http(s) URL')
    .option(...serverFlag)
    .option('--idempotency-key <text>', 'a repeated submit with this key gets the same job (default: a new key)')
    .option('--json', 'print the job as one line of JSON on stdout');
  flags
    .addTo(command)
    .addHelpText('after', modesHelp)
    .action(async (video: string, audio: string, given: ServerFlags & Record<string, unknown>) => {
      const client = connect(given.server);
      const request = await toRequest({ video, audio }, flags, given);
      const { idempotencyKey } = given;
      const job = await interruptible((signal) =>
        namingFlags(flags, () =>
          client.create(request, { signal, ...(typeof idempotencyKey === 'string' && { idempotencyKey }) }),
        ),
      );
      writeLine(terminal.stdout, given.json ? JSON.stringify(job) : job.id);
    });
}

interface JobsFlags extends ServerFlags {
  readonly status?: string;
  readonly userId?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly wait?: boolean;
  readonly output?: string;
  readonly overwrite?: boolean;
}

const jobsHelp = `
With an id, the job is shown, and --wait and --output apply; else the jobs of the key, newest first.
Exit codes: 0 success, 1 the job has failed or was canceled, or the service refused the request, 2 invalid usage.`;

function addJobsCommand(program: Command, terminal: Terminal, setExitCode: (code: number) => void): void {
  program
    .command('jobs')
    .description('list the jobs of a service, or show one, wait for it and download its output')
    .argument('[id]', 'id of a job')
    .option(...serverFlag)
    .option('--status <status>', `only jobs with this status: ${jobStatuses.join(', ')}`)
    .option('--user-id <id>', 'only jobs of this user')
    .option('--limit <number>', 'number of jobs, 1 to 100 (default: 20)', readLimit)
    .option('--cursor <text>', 'continue a list, as printed below it')
    .option('--wait', 'wait until the job has ended')
    .option('-o, --output <file>', 'wait, then download the output to this path')
    .option('--overwrite', 'replace an existing output (default: refuse)')
    .option('--json', 'print the job, or the page of jobs, as one line of JSON on stdout')
    .addHelpText('after', jobsHelp)
    .action(async (id: string | undefined, given: JobsFlags) => {
      if (id === undefined) return listJobs(given, terminal);
      const job = await showJob(id, given, terminal);
      setExitCode(job.status === 'failed' || job.status === 'canceled' ? 1 : 0);
    });
}

function readLimit(text: string): number {
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit < 1 || limit > 100) throw new InvalidArgumentError('It must be 1 to 100.');
  return limit;
}

async function listJobs(given: JobsFlags, { stdout, stderr }: Terminal): Promise<void> {
  const { server, status, userId, limit, cursor, json, wait, output } = given;
  if (wait || output !== undefined) throw new UsageError('--wait and --output need the id of a job.');
  const known = jobStatuses.find((candidate) => candidate === status);
  if (status !== undefined && known === undefined)
    throw new UsageError(`--status must be one of ${jobStatuses.join(', ')}.`);
  const page = await interruptible((signal) =>
    connect(server).list({ status: known, user_id: userId, limit, cursor }, { signal }),
  );
  if (json) return writeLine(stdout, JSON.stringify(page));
  for (const job of page.jobs) writeLine(stdout, describeJob(job));
  if (page.next_cursor !== null) writeLine(stderr, `More: --cursor ${page.next_cursor}`);
}

async function showJob(id: string, given: JobsFlags, terminal: Terminal): Promise<JobView> {
  const { server, wait = false, output, overwrite = false, json } = given;
  const client = connect(server);
  const job = await interruptible(async (signal) => {
    if (output !== undefined) await new OutputFiles().requireFree(resolve(output), overwrite);
    const shown =
      wait || output !== undefined ? await follow(client, id, terminal, signal) : await client.get(id, { signal });
    if (output !== undefined && shown.status === 'completed')
      await download(client, id, { path: output, overwrite, signal });
    return shown;
  });
  const outputPath = job.status === 'completed' ? (output ?? null) : null;
  if (json)
    writeLine(terminal.stdout, JSON.stringify({ ...job, ...(output !== undefined && { output_path: outputPath }) }));
  else if (outputPath !== null) writeLine(terminal.stdout, outputPath);
  else writeLine(terminal.stdout, describeJob(job));
  if (!json && job.error) writeLine(terminal.stderr, `${job.error.code}: ${job.error.message}`);
  return job;
}

async function follow(client: LipsyncClient, id: string, { stderr }: Terminal, signal: AbortSignal): Promise<JobView> {
  const display = createProgressDisplay(stderr);
  try {
    return await client.waitFor(id, { signal, onProgress: (job) => display.show(job) });
  } finally {
    display.end();
  }
}

/** Downloads the output of a job. Readers of the path never see a partial file. Throws as `OutputFiles.claim` does. */
export async function download(
  client: LipsyncClient,
  id: string,
  { path, overwrite, signal }: { readonly path: string; readonly overwrite: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const output = await new OutputFiles().claim(resolve(path), { overwrite, jobId: `${id}-${randomUUID()}` });
  try {
    const { stream } = await client.download(id, { signal });
    await output.publishChunks(stream);
  } finally {
    await output.release();
  }
}

function describeJob({
  id,
  status,
  progress,
  method,
  method_used: used,
  cost_usd: cost,
  created_at: created,
}: JobView): string {
  const columns = [id, status.padEnd(10), `${progress}%`.padStart(4), (used ?? method).padEnd(8)];
  return [...columns, (cost === null ? '' : `$${cost.toFixed(4)}`).padStart(9), created].join('  ');
}

/** Runs `call` until it ends or the user interrupts it. */
async function interruptible<Result>(call: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const interrupt = interruptSignal();
  try {
    return await call(interrupt.signal);
  } finally {
    interrupt.end();
  }
}
