/** Exported networks (bench/peers/export.py) on onnxruntime-node's WebGPU provider. */
import { existsSync, readFileSync } from 'node:fs';
import { type Cost, costs } from '../cost.ts';
import { loadRuntime } from './onnx.ts';

/** What runs take of out/peers/<name>.onnx with made-up inputs, copies of inputs and outputs included. */
export async function peerCosts(name: string, runs: number): Promise<Cost[] | { readonly missing: string }> {
  const file = new URL(`../out/peers/${name}.onnx`, import.meta.url);
  if (!existsSync(file)) return { missing: `${name}.onnx is missing: bench/peers/export.py makes it` };
  const ort = loadRuntime();
  if ('missing' in ort) return ort;
  const options = { executionProviders: ['webgpu'], logSeverityLevel: 3 };
  const session = await ort.InferenceSession.create(readFileSync(file), options);
  const feeds = Object.fromEntries(
    session.inputMetadata.map(({ name: input, type, shape }) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const data = type === 'int64' ? new BigInt64Array(count).fill(17n) : new Float32Array(count).map(noise);
      return [input, new ort.Tensor(type, data, shape)];
    }),
  );
  await session.run(feeds);
  const all = await costs(runs, () => session.run(feeds));
  await session.release();
  return all;
}

/** Between -0.5 and 0.5. */
function noise(_: number, i: number): number {
  return (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5;
}
