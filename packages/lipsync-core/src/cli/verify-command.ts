import type { Command } from 'commander';
import { configFromEnvironment } from '../config.ts';
import type { FingerprintView, OriginView } from '../contract/index.ts';
import { errorPolicies, toLipsyncError } from '../errors/index.ts';
import { printable } from '../errors/quoted-text.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { findLocalState } from '../service/local-state.ts';
import { createOriginVerifier } from '../service/origin-verifier.ts';
import { nameOfSource } from '../service/parse-input.ts';
import type { StateStore } from '../storage/index.ts';
import { interruptSignal, writeLine, type Terminal } from './terminal.ts';

const help = `
Reads the signed manifest (C2PA) of any video, image or sound, made here or elsewhere, and searches the outputs that this
command has made for the one that a video shows; nothing is changed or uploaded.
docs/marking.md explains the fields. With --json, stdout has one line.
Exit codes: 0 the manifest is valid, 1 it is not, there is none, or the file cannot be read, 2 invalid usage.`;

export function addVerifyCommand(
  program: Command,
  terminal: Terminal,
  definitions: readonly ProviderDefinition[],
  setExitCode: (code: number) => void,
): void {
  program
    .command('verify')
    .description('show who signed the origin of a file, and whether the file was changed since')
    .argument('<file>', 'a file or an http(s) URL')
    .option('--json', 'print the origin as one line of JSON on stdout')
    .addHelpText('after', help)
    .action(async (file: string, { json }: { json?: boolean }) => {
      const interrupt = interruptSignal();
      let state: StateStore | undefined;
      try {
        const config = configFromEnvironment(undefined, definitions);
        state = findLocalState(config);
        const caller = { signal: interrupt.signal, mayAccess: () => true };
        const origin = await createOriginVerifier(config, { state }).verify(file, caller);
        writeLine(
          terminal.stdout,
          json ? JSON.stringify(origin) : describeOrigin(nameOfSource(file), origin).map(printable).join('\n'),
        );
        setExitCode(origin.state === 'valid' ? 0 : 1);
      } catch (thrown) {
        const { code, message } = toLipsyncError(thrown);
        const error = { code, message, retryable: errorPolicies[code].retryable };
        if (json) writeLine(terminal.stdout, JSON.stringify({ state: null, error }));
        else writeLine(terminal.stderr, `${code}: ${message}`);
        setExitCode(1);
      } finally {
        await state?.close();
        interrupt.end();
      }
    });
}

const verdicts: Readonly<Record<OriginView['state'], string>> = {
  valid: 'valid: the manifest and the file are unchanged since signing',
  invalid: 'invalid',
  unsigned: 'unsigned: the file has no manifest',
  unreadable: 'unreadable',
};

function describeOrigin(file: string, origin: OriginView): string[] {
  const { state, reason, signer, trusted, actions, ingredients, fingerprint } = origin;
  const trust = trusted ? 'trusted here' : 'unknown here';
  return [
    `${file}: ${verdicts[state]}${reason === null ? '' : `. ${reason}`}`,
    ...(signer ? [`  signer       ${describeSigner(signer)} (${trust})`] : []),
    ...actions.map((action) => `  action       ${describeAction(action)}`),
    ...ingredients.map(
      (ingredient) => `  ${'  '.repeat(ingredient.depth - 1)}ingredient   ${describeIngredient(ingredient)}`,
    ),
    ...(fingerprint ? [`  fingerprint  ${describeFingerprint(fingerprint)}`] : []),
  ];
}

function describeFingerprint({ match, job_id: job, searched, reason, ...similarity }: FingerprintView): string {
  const measured = (['picture', 'sound', 'mouth'] as const).flatMap((part) => {
    const value = similarity[part];
    return value === null ? [] : [`${part} ${value.toFixed(2)}`];
  });
  const resembles = match === null ? `no match in ${searched} outputs` : match.replaceAll('_', ' ');
  const subject = job === null ? [] : [`job ${job}`];
  return [resembles, ...subject, ...measured, ...(reason === null ? [] : [reason])].join(', ');
}

function describeSigner({ name, organization }: NonNullable<OriginView['signer']>): string {
  return [name, organization].filter((part) => part !== null).join(', ') || 'a certificate without names';
}

function describeIngredient({ relationship, signer, actions }: OriginView['ingredients'][number]): string {
  const origin = signer ? describeSigner(signer) : 'no manifest';
  return [relationship ?? 'unknown', origin, ...actions.map(({ action }) => action)].join(', ');
}

function describeAction({ action, when, source_type: source, software, provider }: OriginView['actions'][number]) {
  const type = source?.split('/').at(-1) ?? null;
  return [action, when, type, software, provider].filter((part) => part !== null).join(', ');
}
