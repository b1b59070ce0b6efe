import type * as OnnxRuntime from 'onnxruntime-node';
import { encodeOnnxModel, type OnnxGraph } from './onnx-writer.ts';

const channels = 8;
const outputs = 16;
/** The largest codes of activations and weights. */
const [input, weight] = [255, 127];
/** Code of the exact sum. A sum of products that saturate in pairs has about half of it. */
const exactCode = 200;

/** A convolution whose products are as large as possible. */
const largestProducts: OnnxGraph = {
  name: 'largest_products',
  inputs: [{ name: 'values', dims: [1, 1, 1, channels] }],
  outputs: [{ name: 'sums' }],
  constants: [
    { name: 'one', dims: [], data: Float32Array.of(1) },
    { name: 'zero', dims: [], data: Uint8Array.of(0) },
    { name: 'weight_zero', dims: [], data: Int8Array.of(0) },
    { name: 'weight', dims: [outputs, channels, 1, 1], data: new Int8Array(outputs * channels).fill(weight) },
    { name: 'step', dims: [], data: Float32Array.of((channels * input * weight) / exactCode) },
  ],
  nodes: [
    { operator: 'QuantizeLinear', inputs: ['values', 'one', 'zero'], output: 'codes' },
    {
      domain: 'com.microsoft',
      operator: 'QLinearConv',
      inputs: ['codes', 'one', 'zero', 'weight', 'one', 'weight_zero', 'step', 'zero'],
      output: 'sum_codes',
      attributes: { channels_last: 1, kernel_shape: [1, 1] },
    },
    { operator: 'DequantizeLinear', inputs: ['sum_codes', 'one', 'zero'], output: 'sums' },
  ],
};

/**
 * Whether this processor loses part of eight-bit products: without VNNI, ONNX Runtime adds pairs of unsigned × signed
 * products in 16 bits, which saturate. Its session option `session.x64quantprecision` has no effect on the operators of
 * com.microsoft, so weights of a model for such a processor have at most seven bits: 2 · 255 · 63 < 2¹⁵.
 */
export async function measureSaturation({ InferenceSession, Tensor }: typeof OnnxRuntime): Promise<boolean> {
  const session = await InferenceSession.create(encodeOnnxModel(largestProducts), { intraOpNumThreads: 1 });
  try {
    const values = new Tensor('float32', new Float32Array(channels).fill(input), [1, 1, 1, channels]);
    const { sums } = await session.run({ values });
    return Array.from(sums?.data ?? [], Number).some((sum) => sum < exactCode - 1);
  } finally {
    await session.release();
  }
}
