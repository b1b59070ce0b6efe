import { describe, expect, it } from 'vitest';
import type { PortInfo } from '../../../inference/onnx-session.ts';
import { describeWav2LipModel, type ModelPorts } from './model-facts.ts';

function port(name: string, dims: readonly (number | null)[], elementType = 'float32'): PortInfo {
  return { name, elementType, dims };
}

const mel = port('mel_spectrogram', [null, 1, 80, 16]);
const frames = port('video_frames', [null, 6, 96, 96]);
const output = port('predicted_frames', [null, 3, 96, 96]);

describe('the facts of a Wav2Lip model', () => {
  it('are read from an export with a free batch', () => {
    expect(describeWav2LipModel({ inputs: [mel, frames], outputs: [output] })).toEqual({
      cropSizePx: 96,
      fixedBatch: null,
      melInput: 'mel_spectrogram',
      framesInput: 'video_frames',
      output: 'predicted_frames',
    });
  });

  it('do not depend on the order and the names of inputs', () => {
    const inputs = [port('x', [4, 6, 384, 384]), port('y', [4, 1, 80, 16])];
    expect(describeWav2LipModel({ inputs, outputs: [port('z', [4, 3, 384, 384])] })).toEqual({
      cropSizePx: 384,
      fixedBatch: 4,
      melInput: 'y',
      framesInput: 'x',
      output: 'z',
    });
  });

  it('take the size from whichever side tells it, and the official one when none does', () => {
    const free = [null, null, null, null];
    expect(
      describeWav2LipModel({
        inputs: [mel, port('frames', [null, 6, null, null])],
        outputs: [port('out', [null, 3, 256, 256])],
      }).cropSizePx,
    ).toBe(256);
    expect(
      describeWav2LipModel({
        inputs: [port('face_sequences', free), port('audio_sequences', free)],
        outputs: [port('out', free)],
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
      'mel, whatever the other is called',
      port('input.1', [null, 1, 80, 16]),
      port('audio', [null, null, null, null]),
      { melInput: 'input.1', framesInput: 'audio' },
    ],
  ])(
    'follow by elimination where one input can only be %s and the other leaves its shape open',
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
    ['batches that hold too much together', 1024, 33],
  ])('refuse %s before any memory is asked for', (_, side, batch) => {
    const inputs = [port('mel', [batch, 1, 80, 16]), port('frames', [batch, 6, side, side])];
    expect(() => describeWav2LipModel({ inputs, outputs: [port('out', [batch, 3, side, side])] })).toThrow(
      expect.objectContaining({
        code: 'model_invalid',
        message: expect.stringContaining(`found crops of ${side} × ${side} in batches of ${batch ?? 1}`),
      }),
    );
  });

  it('allow what is just not too large', () => {
    const inputs = [port('mel', [32, 1, 80, 16]), port('frames', [32, 6, 1024, 1024])];
    expect(describeWav2LipModel({ inputs, outputs: [port('out', [32, 3, 1024, 1024])] })).toMatchObject({
      cropSizePx: 1024,
      fixedBatch: 32,
    });
  });

  it('escape the names of ports in messages, which could steer a terminal', () => {
    expect(() => describeWav2LipModel({ inputs: [port('\u001b[2J', [1])], outputs: [] })).toThrow(
      String.raw`found inputs "\u001b[2J" float32 (1)`,
    );
  });

  const others: Readonly<Record<string, ModelPorts>> = {
    'channels last': { inputs: [mel, port('video_frames', [null, 96, 96, 6])], outputs: [output] },
    'frames with a time axis': { inputs: [mel, port('video_frames', [null, 6, 5, 96, 96])], outputs: [output] },
    'half-precision inputs': { inputs: [port('mel', [null, 1, 80, 16], 'float16'), frames], outputs: [output] },
    'crops that are not square': { inputs: [mel, port('video_frames', [null, 6, 96, 192])], outputs: [output] },
    'batches that differ': { inputs: [port('mel', [1, 1, 80, 16]), port('frames', [2, 6, 96, 96])], outputs: [output] },
    'inputs that neither shape nor name tells apart': {
      inputs: [port('input.1', [null, null, null, null]), port('input.2', [null, null, null, null])],
      outputs: [output],
    },
    'a third input': { inputs: [mel, frames, port('reference', [null, 3, 96, 96])], outputs: [output] },
    'nothing that goes in': { inputs: [], outputs: [output] },
    'nothing that comes out': { inputs: [mel, frames], outputs: [] },
  };

  it.each(Object.entries(others))('refuse a model with %s, saying what was expected and found', (_, ports) => {
    expect(() => describeWav2LipModel(ports)).toThrow(
      expect.objectContaining({
        code: 'model_invalid',
        message: expect.stringMatching(/Expected .*\(batch, 6, S, S\).*found inputs/),
      }),
    );
  });
});
