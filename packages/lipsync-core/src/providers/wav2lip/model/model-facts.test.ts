import { describe, expect, it } from 'vitest';
import type { PortInfo } from '../../../inference/onnx-session.ts';
import { describeWav2LipModel, type ModelPorts } from './model-facts.ts';

function port(name: string, dims: readonly (number | null)[], elementType = 'float32'): PortInfo {
  return { name, elementType, dims };
}

const mel = port('mel_spectrogram', [null, 1, 80, 16]);
const frames = port('video_frames', [null, 6, 96, 96]);
const output = port('predicted_frames', [null, 3, 96, 96]);

describe('Wav2Lip model facts', () => {
  it('An export with a dynamic batch axis is described.', () => {
    expect(describeWav2LipModel({ inputs: [mel, frames], outputs: [output] })).toEqual({
      cropSizePx: 96,
      fixedBatch: null,
      melInput: 'mel_spectrogram',
      framesInput: 'video_frames',
      startRowInput: null,
      output: 'predicted_frames',
    });
  });

  it('The start row is recognized by name, element type and shape; any other third input is rejected.', () => {
    const rows = [port('predicted_frames', [null, 3, null, 96])];
    const describeWith = (third: PortInfo) => describeWav2LipModel({ inputs: [mel, frames, third], outputs: rows });
    expect(describeWith(port('start_row', [1], 'int64'))).toMatchObject({ cropSizePx: 96, startRowInput: 'start_row' });
    for (const third of [port('start_row', [1]), port('start_row', [2], 'int64'), port('row', [1], 'int64')])
      expect(() => describeWith(third)).toThrow(expect.objectContaining({ code: 'model_invalid' }));
  });

  it('The order and names of inputs do not matter when their shapes are unambiguous.', () => {
    const inputs = [port('x', [4, 6, 384, 384]), port('y', [4, 1, 80, 16])];
    expect(describeWav2LipModel({ inputs, outputs: [port('z', [4, 3, 384, 384])] })).toEqual({
      cropSizePx: 384,
      fixedBatch: 4,
      melInput: 'y',
      framesInput: 'x',
      startRowInput: null,
      output: 'z',
    });
  });

  it('The crop size comes from input or output, and defaults to 96 when both are dynamic.', () => {
    const dynamic = [null, null, null, null];
    expect(
      describeWav2LipModel({
        inputs: [mel, port('frames', [null, 6, null, null])],
        outputs: [port('out', [null, 3, 256, 256])],
      }).cropSizePx,
    ).toBe(256);
    expect(
      describeWav2LipModel({
        inputs: [port('face_sequences', dynamic), port('audio_sequences', dynamic)],
        outputs: [port('out', dynamic)],
      }),
    ).toMatchObject({ cropSizePx: 96, melInput: 'audio_sequences', framesInput: 'face_sequences' });
  });

  it.each([
    [
      'mel',
      port('input.1', [null, 1, 80, 16]),
      port('input.2', [null, null, null, null]),
      { melInput: 'input.1', framesInput: 'input.2' },
    ],
    [
      'frames',
      port('input.1', [null, null, null, null]),
      port('input.2', [null, 6, 96, 96]),
      { melInput: 'input.1', framesInput: 'input.2' },
    ],
    [
      'mel, regardless of the name of the other',
      port('input.1', [null, 1, 80, 16]),
      port('audio', [null, null, null, null]),
      { melInput: 'input.1', framesInput: 'audio' },
    ],
  ])(
    'An input with a dynamic shape is matched by elimination when the other can only be %s.',
    (_, one, other, expected) => {
      for (const inputs of [
        [one, other],
        [other, one],
      ])
        expect(describeWav2LipModel({ inputs, outputs: [output] })).toMatchObject(expected);
    },
  );

  it.each([
    ['crops of 1025', 1025, null],
    ['batches of 1025', 16, 1025],
    ['batches with too many pixels in total', 1024, 33],
  ])('A model with %s is rejected before any allocation.', (_, side, batch) => {
    const inputs = [port('mel', [batch, 1, 80, 16]), port('frames', [batch, 6, side, side])];
    expect(() => describeWav2LipModel({ inputs, outputs: [port('out', [batch, 3, side, side])] })).toThrow(
      expect.objectContaining({
        code: 'model_invalid',
        message: expect.stringContaining(`found crops of ${side} × ${side} in batches of ${batch ?? 1}`),
      }),
    );
  });

  it('A model at the size limits is accepted.', () => {
    const inputs = [port('mel', [32, 1, 80, 16]), port('frames', [32, 6, 1024, 1024])];
    expect(describeWav2LipModel({ inputs, outputs: [port('out', [32, 3, 1024, 1024])] })).toMatchObject({
      cropSizePx: 1024,
      fixedBatch: 32,
    });
  });

  it('Port names in messages are escaped.', () => {
    expect(() => describeWav2LipModel({ inputs: [port('\u001b[2J', [1])], outputs: [] })).toThrow(
      String.raw`found inputs "\u001b[2J" float32 (1)`,
    );
  });

  const others: Readonly<Record<string, ModelPorts>> = {
    'channels last': { inputs: [mel, port('video_frames', [null, 96, 96, 6])], outputs: [output] },
    'frames with a time axis': { inputs: [mel, port('video_frames', [null, 6, 5, 96, 96])], outputs: [output] },
    'half-precision inputs': { inputs: [port('mel', [null, 1, 80, 16], 'float16'), frames], outputs: [output] },
    'crops that are not square': { inputs: [mel, port('video_frames', [null, 6, 96, 192])], outputs: [output] },
    'different batch sizes': {
      inputs: [port('mel', [1, 1, 80, 16]), port('frames', [2, 6, 96, 96])],
      outputs: [output],
    },
    'ambiguous inputs': {
      inputs: [port('input.1', [null, null, null, null]), port('input.2', [null, null, null, null])],
      outputs: [output],
    },
    'a third input': { inputs: [mel, frames, port('reference', [null, 3, 96, 96])], outputs: [output] },
    'no inputs': { inputs: [], outputs: [output] },
    'no outputs': { inputs: [mel, frames], outputs: [] },
  };

  it.each(Object.entries(others))('A model with %s is rejected with the expected and the actual ports.', (_, ports) => {
    expect(() => describeWav2LipModel(ports)).toThrow(
      expect.objectContaining({
        code: 'model_invalid',
        message: expect.stringMatching(/Expected .*\(batch, 6, S, S\).*found inputs/),
      }),
    );
  });
});
