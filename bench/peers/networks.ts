/** Exported networks (bench/peers/export.py) on onnxruntime-node's WebGPU provider. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Cost } from '../cost.ts';
import type { BenchAdapter } from '../schema.ts';
import { startPeer } from './start-peer.ts';

/**
 * What runs take of out/peers/<name>.onnx with made-up inputs, which lie on the device as its outputs do.
 * @param adapter that ours run on
 */
export async function peerCosts(
  name: string,
  runs: number,
  adapter: BenchAdapter,
): Promise<Cost[] | { readonly missing: string }> {
  const file = fileURLToPath(new URL(`../out/peers/${name}.onnx`, import.meta.url));
  if (!existsSync(file)) return { missing: `${name}.onnx is missing: bench/peers/export.py makes it` };
  const peer = await startPeer('onnxruntime', { adapter });
  if ('missing' in peer) return peer;
  try {
    const opened = await peer.open({ name, op: 'network', shape: {}, storage: {}, file });
    if ('missing' in opened) return opened;
    const all: Cost[] = [];
    for (let i = 0; i < runs; i++) {
      const cost = await peer.sample();
      if ('missing' in cost) return cost;
      all.push(cost);
    }
    return all;
  } finally {
    peer.close();
  }
}
