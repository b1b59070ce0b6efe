import { describe, expect, it } from 'vitest';
import { loadSession } from './onnx-session.ts';
import { encodeOnnxAddition, encodeOnnxModel, onnxElementType, onnxModelParts, type OnnxGraph } from './onnx-writer.ts';

/** y = x · slope with a dynamic batch axis and a float16 slope. */
const scaling: OnnxGraph = {
  name: 'scaling',
  inputs: [{ name: 'x', dims: ['batch', 3] }],
  outputs: [{ name: 'y', dims: ['batch', 3] }],
  constants: [{ name: 'slope', dims: [3], data: Float16Array.of(1, 0.5, 1 / 3) }],
  nodes: [
    { operator: 'Cast', inputs: ['slope'], output: 'wide', attributes: { to: onnxElementType.float32 } },
    { operator: 'Mul', inputs: ['x', 'wide'], output: 'y' },
  ],
  metadata: { license: 'none' },
};

describe('ONNX writer', () => {
  it('A written model has a dynamic batch axis and keeps the precision of its constants.', async () => {
    const session = await loadSession(encodeOnnxModel(scaling), { threads: 1 });
    expect(session.inputs).toEqual([{ name: 'x', elementType: 'float32', dims: [null, 3] }]);
    for (const batch of [1, 4]) {
      const { y } = await session.run({
        x: { type: 'float32', data: new Float32Array(batch * 3).fill(3), dims: [batch, 3] },
      });
      expect(y?.dims).toEqual([batch, 3]);
      // The float16 nearest to 1/3 is 1365/4096.
      expect([...(y?.data ?? [])].slice(-3)).toEqual([3, 1.5, Math.fround((3 * 1365) / 4096)]);
    }
    await session.release();
  });

  it('The parts of a model are its bytes and share memory with the constants.', () => {
    const parts = onnxModelParts(scaling);
    expect(Buffer.concat(parts)).toEqual(Buffer.from(encodeOnnxModel(scaling)));
    expect(parts.some(({ buffer }) => buffer === scaling.constants[0]?.data.buffer)).toBe(true);
  });

  it('Appended bytes add nodes and outputs to a written model.', async () => {
    const addition = encodeOnnxAddition(
      [{ operator: 'Neg', inputs: ['wide'], output: 'negative' }],
      [{ name: 'wide' }, { name: 'negative' }],
    );
    const session = await loadSession(Buffer.concat([encodeOnnxModel(scaling), addition]), { threads: 1 });
    const { y, wide, negative } = await session.run({
      x: { type: 'float32', data: Float32Array.of(1, 1, 1), dims: [1, 3] },
    });
    await session.release();
    expect(wide?.data).toEqual(y?.data);
    expect(Number(negative?.data[1])).toBe(-0.5);
  });
});
