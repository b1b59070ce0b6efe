import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, type Checkpoint } from '../../../src/inference/checkpoints/checkpoint.ts';

const vectors = process.env['LIPSYNC_TEST_VECTORS_DIR'];

async function openVector(...path: string[]): Promise<Checkpoint> {
  return openCheckpoint(join(vectors ?? '', ...path), { signal: new AbortController().signal });
}

function countElements(checkpoint: Checkpoint): number {
  return Array.from(checkpoint.tensors.values()).reduce(
    (sum, { dims }) => sum + dims.reduce((product, size) => product * size, 1),
    0,
  );
}

describe.skipIf(vectors === undefined)('Checkpoints written by PyTorch (needs LIPSYNC_TEST_VECTORS_DIR)', () => {
  it('The released Wav2Lip generator is listed and read within 30 seconds.', async () => {
    const start = performance.now();
    const checkpoint = await openVector('wav2lip', 'wav2lip.pth');
    expect(checkpoint).toMatchObject({ format: 'legacy' });
    expect(checkpoint.tensors.size).toBe(352);
    expect(countElements(checkpoint)).toBe(36_320_837);
    expect(checkpoint.tensors.get('audio_encoder.0.conv_block.0.weight')).toEqual({
      name: 'audio_encoder.0.conv_block.0.weight',
      dims: [32, 1, 3, 3],
      elementType: 'float32',
    });
    let floats = 0;
    for (const { name, elementType } of checkpoint.tensors.values()) {
      if (elementType !== 'float32') continue;
      const values = await checkpoint.read(name);
      expect(values.includes(NaN)).toBe(false);
      floats += values.length;
    }
    expect(floats).toBe(36_298_035 + 22_752);
    await checkpoint.close();
    expect(performance.now() - start).toBeLessThan(30_000);
  });

  it('SyncNet, a zip checkpoint without a state_dict entry, is listed and read.', async () => {
    const checkpoint = await openVector('syncnet', 'syncnet_v2.model');
    expect(checkpoint.format).toBe('zip');
    expect(checkpoint.tensors.get('netcnnaud.0.weight')).toEqual({
      name: 'netcnnaud.0.weight',
      dims: [64, 1, 3, 3],
      elementType: 'float32',
    });
    expect(await firstMember()).toEqual(await checkpoint.read('netcnnaud.0.weight'));
    await checkpoint.close();
  });
});

/** Elements of the member `data/0`, located by its name in the local file headers. */
async function firstMember(): Promise<Float32Array> {
  const file = await open(join(vectors ?? '', 'syncnet', 'syncnet_v2.model'), 'r');
  try {
    const head = Buffer.alloc(64 * 1024);
    await file.read(head, 0, head.length, 0);
    const name = head.indexOf('syncnet_v2/data/0');
    const start = name + head.readUInt16LE(name - 4) + head.readUInt16LE(name - 2);
    return new Float32Array(head.buffer.slice(head.byteOffset + start, head.byteOffset + start + 64 * 9 * 4));
  } finally {
    await file.close();
  }
}
