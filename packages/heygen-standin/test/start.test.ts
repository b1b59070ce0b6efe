import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

function start(...args: string[]) {
  return spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

describe('npm run heygen-standin', () => {
  it('The command prints its URL and key, and stops on SIGTERM.', async () => {
    const child = start('--port', '0', '--key', 'sk_V2_mine', '--balance-usd', '2.5');
    const ended = once(child, 'exit');
    let url = '';
    let key = '';
    for await (const line of createInterface(child.stdout)) {
      url = /HEYGEN_API_ENDPOINT=(\S+)/.exec(line)?.[1] ?? url;
      key = /HEYGEN_API_KEY=(\S+)/.exec(line)?.[1] ?? key;
      if (line.startsWith('Control-C')) break;
    }
    expect(key).toBe('sk_V2_mine');
    const answer = await fetch(`${url}/v3/users/me`, { headers: { 'X-Api-Key': key } });
    expect(await answer.json()).toMatchObject({ data: { wallet: { remaining_balance: 2.5 } } });
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('The command stops when its parent process disconnects.', async () => {
    const child = fork(main, ['--port', '0'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    const ended = once(child, 'exit');
    if (child.stdout !== null) await once(child.stdout, 'data');
    child.disconnect();
    expect(await ended).toEqual([0, null]);
  });

  it.each([
    ['--port', 'many', '--port must be a port, 0 to 65535.'],
    ['--port', '65536', '--port must be a port, 0 to 65535.'],
    ['--balance-usd', 'much', '--balance-usd must be a number of at least 0.'],
    ['--timescale', '0', '--timescale must be a number above 0.'],
    ['--max-concurrent', '1.5', '--max-concurrent must be an integer of at least 1.'],
    ['--unknown', '1', "Unknown option '--unknown'"],
    ['--mouth', 'open', '--mouth must be one of moving, old, frozen, shifted.'],
  ])('The invalid argument %s %s is refused with its rule and the usage.', async (flag, value, rule) => {
    const child = start(flag, value);
    let errorOutput = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errorOutput += text));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(errorOutput).toContain(rule);
    expect(errorOutput).toContain('npm run heygen-standin');
  });
});
